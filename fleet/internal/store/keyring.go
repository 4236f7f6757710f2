package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/internal/durable"
)

const maxKeyrings = 8 << 20 // bytes of keyrings.json

// keyrings is the form of keyrings.json.
type keyrings struct {
	Schema    int               `json:"schema"`
	Documents []json.RawMessage `json:"documents"`
}

// Keyrings are the documents that robots are to take, of rising versions. The
// old ones are kept: a robot that was away takes one after the other. The
// caller does not change the list.
func (s *Store) Keyrings(ctx context.Context) ([]keyring.Document, error) {
	return s.keyrings.load(ctx)
}

func parseKeyrings(data []byte) ([]keyring.Document, error) {
	var l keyrings
	if err := decode(data, &l, &l.Schema); err != nil {
		return nil, err
	}
	var all []keyring.Document
	for i, raw := range l.Documents {
		d, err := keyring.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		if i > 0 && d.Version() <= all[i-1].Version() {
			return nil, fmt.Errorf("document %d: version %d comes after %d", i+1, d.Version(), all[i-1].Version())
		}
		all = append(all, d)
	}
	return all, nil
}

// AddKeyring adds a document to those that are there, unless accept refuses it.
// One that is the newest already is there already.
func (s *Store) AddKeyring(ctx context.Context, fresh keyring.Document, accept func(have []keyring.Document) error) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := s.keyrings.read()
	if err != nil {
		return err
	}
	if err := accept(all); err != nil {
		return err
	}
	if n := len(all); n > 0 && all[n-1].Digest() == fresh.Digest() {
		return nil
	}
	l := keyrings{Schema: schema}
	for _, d := range append(all, fresh) {
		l.Documents = append(l.Documents, d.Encode())
	}
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("release store: %w", err)
	}
	// Whatever accept says, a server has to be able to read it.
	if len(data) >= maxKeyrings {
		return fmt.Errorf("release store: the keyrings would have more than %d bytes", maxKeyrings)
	}
	if _, err := parseKeyrings(data); err != nil {
		return fmt.Errorf("release store: %w", err)
	}
	if err := durable.WriteFile(s.keyrings.path, append(data, '\n'), 0o640); err != nil {
		return fmt.Errorf("release store: %w", err)
	}
	return nil
}

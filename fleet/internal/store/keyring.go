package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/internal/durable"
)

const maxKeyrings = 8 << 20 // bytes of keyrings.json

// keyrings is the form of keyrings.json.
type keyrings struct {
	Schema    int               `json:"schema"`
	Documents []json.RawMessage `json:"documents"`
}

func (s *Store) keyringFile() string { return filepath.Join(s.dir, "keyrings.json") }

// Keyrings are the documents that robots are to take, of rising versions. The
// old ones are kept: a robot that was away takes one after the other. The
// caller does not change the list.
func (s *Store) Keyrings(ctx context.Context) ([]keyring.Document, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rings.load(s.keyringFile(), s.readKeyrings)
}

func (s *Store) readKeyrings() ([]keyring.Document, error) {
	data, err := readBounded(s.keyringFile(), maxKeyrings)
	if err != nil || data == nil {
		return nil, err
	}
	all, err := parseKeyrings(data)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w; restore it from a backup", s.keyringFile(), err)
	}
	return all, nil
}

func parseKeyrings(data []byte) ([]keyring.Document, error) {
	if len(data) > maxKeyrings {
		return nil, fmt.Errorf("it has more than %d bytes", maxKeyrings)
	}
	var l keyrings
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return nil, err
	}
	if l.Schema != schema {
		return nil, fmt.Errorf("its schema is %d, this program knows %d", l.Schema, schema)
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
	all, err := s.readKeyrings()
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
	if _, err := parseKeyrings(data); err != nil {
		return fmt.Errorf("release store: %w", err)
	}
	if err := durable.WriteFile(s.keyringFile(), append(data, '\n'), 0o640); err != nil {
		return fmt.Errorf("release store: %w", err)
	}
	return nil
}

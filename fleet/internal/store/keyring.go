package store

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/internal/durable"
)

func (s *Store) keyringFile() string { return filepath.Join(s.dir, "keyring.json") }

// Keyring is the document that robots are to take, zero where there is none.
func (s *Store) Keyring(ctx context.Context) (keyring.Document, error) {
	if err := ctx.Err(); err != nil {
		return keyring.Document{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keyring.load(s.keyringFile(), s.readKeyring)
}

func (s *Store) readKeyring() (keyring.Document, error) {
	data, err := readBounded(s.keyringFile(), keyring.MaxDocument)
	if err != nil || data == nil {
		return keyring.Document{}, err
	}
	d, err := keyring.Parse(data)
	if err != nil {
		return keyring.Document{}, fmt.Errorf("%s cannot be used: %w; put the last document there again", s.keyringFile(), err)
	}
	return d, nil
}

// ReplaceKeyring puts a document in the place of the one that is there, zero
// where there is none, unless accept refuses it.
func (s *Store) ReplaceKeyring(ctx context.Context, d keyring.Document, accept func(have keyring.Document) error) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	have, err := s.readKeyring()
	if err != nil {
		return err
	}
	if err := accept(have); err != nil {
		return err
	}
	if err := durable.WriteFile(s.keyringFile(), d.Encode(), 0o640); err != nil {
		return fmt.Errorf("release store: %w", err)
	}
	return nil
}

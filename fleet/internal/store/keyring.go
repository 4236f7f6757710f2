package store

import (
	"context"
	"fmt"

	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// Keyrings are the documents that robots are to take, of rising versions. The
// old ones are kept: a robot that was away takes one after the other.
func (r *Reader) Keyrings(ctx context.Context) ([]keyring.Document, error) {
	out, err := all(ctx, r.q, func(r row) (keyring.Document, error) {
		var version uint64
		var document string
		if err := r.Scan(&version, &document); err != nil {
			return keyring.Document{}, err
		}
		d, err := keyring.Parse([]byte(document))
		if err != nil || d.Version() != version {
			return keyring.Document{}, fmt.Errorf("keyring %d: what is stored is not that document; restore a backup (%w)", version, err)
		}
		return d, nil
	}, `SELECT version, document FROM keyrings ORDER BY version`)
	if err != nil {
		return nil, fmt.Errorf("store: keyrings: %w", err)
	}
	return out, nil
}

// AddKeyring adds a document to those that are there, unless accept refuses it.
// The keys that it adds are known from then on, those that it revokes are
// revoked here as well. One that is the newest already is there already.
func (s *Store) AddKeyring(ctx context.Context, fresh keyring.Document, accept func(have []keyring.Document) error) error {
	return s.Update(ctx, "add keyring", func(tx *Tx) error {
		have, err := tx.Keyrings(ctx)
		if err != nil {
			return err
		}
		if err := accept(have); err != nil {
			return err
		}
		if n := len(have); n > 0 {
			if have[n-1].Digest() == fresh.Digest() {
				return nil
			}
			if fresh.Version() <= have[n-1].Version() {
				return fmt.Errorf("version %d comes after %d", fresh.Version(), have[n-1].Version())
			}
		}
		return tx.addKeyring(ctx, fresh)
	})
}

func (tx *Tx) addKeyring(ctx context.Context, d keyring.Document) error {
	if err := exec(ctx, tx.q, `INSERT INTO keyrings (version, document, added) VALUES ($1, $2, $3)`,
		int64(d.Version()), string(d.Encode()), stamp(tx.now())); err != nil {
		return err
	}
	content, source := d.Content(), fmt.Sprintf("keyring %d", d.Version())
	for _, k := range content.Keys {
		if _, err := tx.AddKey(ctx, k, source); err != nil {
			return err
		}
	}
	for _, id := range content.Revoked {
		if err := tx.RevokeKey(ctx, id, source, content.Comment); err != nil {
			return err
		}
	}
	return nil
}

// KeyringVersion is that of the newest document; 0: there is none.
func (r *Reader) KeyringVersion(ctx context.Context) (uint64, error) {
	n, err := number(ctx, r.q, `SELECT COALESCE(max(version), 0) FROM keyrings`)
	if err != nil {
		return 0, fmt.Errorf("store: keyrings: %w", err)
	}
	return uint64(n), nil
}

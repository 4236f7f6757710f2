package store

import (
	"context"
	"fmt"
)

// Metadata is a document of release metadata as it is served. What it says is
// for others to know; here it has a role and a version.
type Metadata struct {
	Role     string // root, targets, snapshot or timestamp
	Version  int64  // 0: there is none
	Document []byte
}

// keptMetadata is how many documents of a role stay, for robots and caches that
// are on their way through them; roots stay for ever, as robots take one after
// the other.
const keptMetadata = 16

// Metadata is a document; ErrNotFound where there is none of that version.
func (r *Reader) Metadata(ctx context.Context, role string, version int64) (Metadata, error) {
	out, err := one(ctx, r.q, scanMetadata, `SELECT role, version, document FROM metadata WHERE role = $1 AND version = $2`, role, version)
	if err != nil {
		return Metadata{}, fmt.Errorf("store: metadata %d.%s: %w", version, role, err)
	}
	return out, nil
}

// NewestMetadata is the one of the highest version; zero where there is none.
func (r *Reader) NewestMetadata(ctx context.Context, role string) (Metadata, error) {
	out, err := all(ctx, r.q, scanMetadata, `SELECT role, version, document FROM metadata WHERE role = $1 ORDER BY version DESC LIMIT 1`, role)
	if err != nil {
		return Metadata{}, fmt.Errorf("store: metadata %s: %w", role, err)
	}
	if len(out) == 0 {
		return Metadata{Role: role}, nil
	}
	return out[0], nil
}

func scanMetadata(from row) (Metadata, error) {
	var m Metadata
	var document string
	err := from.Scan(&m.Role, &m.Version, &document)
	m.Document = []byte(document)
	return m, err
}

// AddMetadata adds a document, of a version above all that its role has:
// ErrConflict else. What is too old of the role goes.
func (tx *Tx) AddMetadata(ctx context.Context, m Metadata) error {
	have, err := tx.NewestMetadata(ctx, m.Role)
	if err != nil {
		return err
	}
	if m.Version <= have.Version {
		return fmt.Errorf("store: metadata %s: version %d comes after %d: %w", m.Role, m.Version, have.Version, ErrConflict)
	}
	if err := exec(ctx, tx.q, `INSERT INTO metadata (role, version, document, added) VALUES ($1, $2, $3, $4)`,
		m.Role, m.Version, string(m.Document), stamp(tx.now())); err != nil {
		return err
	}
	return exec(ctx, tx.q, `DELETE FROM metadata WHERE role = $1 AND role <> 'root' AND version NOT IN (
		SELECT version FROM metadata WHERE role = $1 ORDER BY version DESC LIMIT $2)`, m.Role, keptMetadata)
}

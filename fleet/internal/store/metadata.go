package store

import (
	"context"
	"fmt"

	"github.com/robot-platform/robot-ota/internal/tuf"
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

// checkMetadata reads all documents, and sees that no root is missing of those
// that robots take one after the other.
func (s *Store) checkMetadata(ctx context.Context, fault func(string, ...any)) error {
	documents, err := all(ctx, s.q, scanMetadata, `SELECT role, version, document FROM metadata ORDER BY role, version`)
	if err != nil {
		return fmt.Errorf("store: check: %w", err)
	}
	roots := int64(0)
	for _, m := range documents {
		d, err := tuf.Describe(m.Document)
		if err == nil && (string(d.Role) != m.Role || d.Version != m.Version) {
			err = fmt.Errorf("it is %s %d", d.Role, d.Version)
		}
		if err != nil {
			fault("release metadata %d.%s: %v", m.Version, m.Role, err)
		}
		if m.Role != string(tuf.RoleRoot) {
			continue
		}
		if m.Version != roots+1 && roots > 0 {
			fault("release metadata: root %d is missing, without which robots that have an older one get no further", roots+1)
		}
		roots = m.Version
	}
	return nil
}

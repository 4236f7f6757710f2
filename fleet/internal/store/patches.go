package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
)

// Patch makes one signed file of another. From and To are their SHA-256.
type Patch struct {
	From   string    `json:"from_sha256"`
	To     string    `json:"to_sha256"`
	SHA256 string    `json:"sha256,omitempty"` // of the patch; "": it was too large to be kept
	Size   int64     `json:"size"`             // bytes
	Made   time.Time `json:"made"`
}

// Kept says that robots may be given it.
func (p Patch) Kept() bool { return p.SHA256 != "" }

// live holds of an artifact a with its key k: robots may have it.
const live = `k.revoked = 0 AND EXISTS (SELECT 1 FROM releases r WHERE r.sha256 = a.sha256 AND r.status IN ('published', 'stable'))`

const patchColumns = `SELECT p.from_sha256, p.to_sha256, p.sha256, p.size, p.made FROM patches p `

func scanPatch(from row) (Patch, error) {
	var p Patch
	err := from.Scan(&p.From, &p.To, &p.SHA256, &p.Size, moment{&p.Made})
	return p, err
}

// Patches lists all that were made, those that are not kept as well.
func (r *Reader) Patches(ctx context.Context) ([]Patch, error) {
	out, err := all(ctx, r.q, scanPatch, patchColumns+`ORDER BY p.to_sha256, p.from_sha256`)
	if err != nil {
		return nil, fmt.Errorf("store: patches: %w", err)
	}
	return out, nil
}

// PatchTo gives the smallest kept patch to a signed file from one of those;
// ErrNotFound where there is none.
func (r *Reader) PatchTo(ctx context.Context, to string, from []string) (Patch, error) {
	var best Patch
	for _, f := range from {
		p, err := one(ctx, r.q, scanPatch, patchColumns+`WHERE p.from_sha256 = $1 AND p.to_sha256 = $2 AND p.sha256 <> ''`, f, to)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return Patch{}, fmt.Errorf("store: patch to %.12s…: %w", to, err)
		case !best.Kept() || p.Size < best.Size:
			best = p
		}
	}
	if !best.Kept() {
		return Patch{}, fmt.Errorf("store: patch to %.12s…: %w", to, ErrNotFound)
	}
	return best, nil
}

// KeepPatch makes a patch durable, and then visible. Without a file it notes
// that there is none that is worth while. One that is there stays as it is.
func (s *Store) KeepPatch(ctx context.Context, p Patch, file []byte) error {
	if !release.IsDigest(p.From) || !release.IsDigest(p.To) || p.From == p.To {
		return errors.New("store: patch: from or to is no artifact")
	}
	if p.SHA256 = ""; file != nil {
		sum := sha256.Sum256(file)
		p.SHA256, p.Size = hex.EncodeToString(sum[:]), int64(len(file))
		if err := s.keep(p.SHA256, file); err != nil {
			return err
		}
	}
	var there Patch
	err := s.Update(ctx, "patch", func(tx *Tx) (err error) {
		if err := exec(ctx, tx.q, `INSERT INTO patches (from_sha256, to_sha256, sha256, size, made) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (from_sha256, to_sha256) DO NOTHING`, p.From, p.To, p.SHA256, p.Size, stamp(tx.now())); err != nil {
			return err
		}
		there, err = one(ctx, tx.q, scanPatch, patchColumns+`WHERE p.from_sha256 = $1 AND p.to_sha256 = $2`, p.From, p.To)
		return err
	})
	if p.Kept() && there.SHA256 != p.SHA256 {
		return errors.Join(err, s.removeFile(p.SHA256))
	}
	return err
}

func (s *Store) removeFile(sum string) error {
	if err := os.Remove(s.artifactPath(sum)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: patch: %w", err)
	}
	return nil
}

// DropPatch removes a patch, and its file.
func (s *Store) DropPatch(ctx context.Context, p Patch) error {
	err := s.Update(ctx, "drop patch", func(tx *Tx) error {
		return exec(ctx, tx.q, `DELETE FROM patches WHERE from_sha256 = $1 AND to_sha256 = $2`, p.From, p.To)
	})
	if err != nil || !p.Kept() {
		return err
	}
	return s.removeFile(p.SHA256)
}

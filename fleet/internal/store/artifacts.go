package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/internal/durable"
)

// Artifact is a signed file, or a patch that makes one.
type Artifact struct {
	SHA256 string
	Size   int64
	Added  time.Time
	// Live says that robots may have it: a release with it is published or
	// stable, and its key is not revoked.
	Live bool
}

// Artifact finds a signed file, or a patch, by its hash.
func (r *Reader) Artifact(ctx context.Context, sum string) (Artifact, error) {
	if !release.IsDigest(sum) {
		return Artifact{}, fmt.Errorf("store: artifact: %w", ErrNotFound)
	}
	out, err := one(ctx, r.q, func(from row) (Artifact, error) {
		var a Artifact
		err := from.Scan(&a.SHA256, &a.Size, moment{&a.Added}, &a.Live)
		return a, err
	}, `SELECT a.sha256, a.size, a.added, `+live+`
		FROM artifacts a JOIN signing_keys k ON k.id = a.key_id WHERE a.sha256 = $1
		UNION ALL SELECT p.sha256, p.size, p.made, `+live+` -- a patch, as long as robots may have what it makes
		FROM patches p JOIN artifacts a ON a.sha256 = p.to_sha256 JOIN signing_keys k ON k.id = a.key_id WHERE p.sha256 = $1`, sum)
	if err != nil {
		return Artifact{}, fmt.Errorf("store: artifact %.12s…: %w", sum, err)
	}
	return out, nil
}

func (s *Store) artifactPath(sum string) string { return filepath.Join(s.dir, "artifacts", sum) }

// keep writes a signed file under its hash.
func (s *Store) keep(sum string, signed []byte) error {
	if err := durable.WriteFile(s.artifactPath(sum), signed, 0o640); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// OpenArtifact opens a signed file or a patch, whether or not robots may have it; ErrNotFound
// where there is none.
func (s *Store) OpenArtifact(ctx context.Context, sum string) (io.ReadSeekCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !release.IsDigest(sum) {
		return nil, fmt.Errorf("store: artifact: %w", ErrNotFound)
	}
	f, err := os.OpenFile(s.artifactPath(sum), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store: artifact %.12s…: its file: %w", sum, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return f, nil
}

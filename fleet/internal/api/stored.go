package api

import (
	"context"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// FromStore makes a store all backends but Reports and Metrics.
func FromStore(s *store.Store) Backends {
	b := stored{s}
	return Backends{Offers: b, Artifacts: s, Patches: s, Downloads: b, Robots: s, Keyrings: s, Health: s}
}

// stored puts into transactions what is noted of requests.
type stored struct{ *store.Store }

// Checked notes a check.
func (s stored) Checked(ctx context.Context, robot string, offered compat.Version) error {
	return s.Note(ctx, "check", func(tx *store.Tx) error { return tx.NoteCheck(ctx, robot, offered) })
}

// Download counts a download.
func (s stored) Download(ctx context.Context, d store.Download, limit int) (ok bool, err error) {
	err = s.Note(ctx, "download", func(tx *store.Tx) (err error) {
		ok, err = tx.CountDownload(ctx, d, limit)
		return err
	})
	return ok, err
}

// Sent counts bytes.
func (s stored) Sent(ctx context.Context, taker, sha256 string, bytes int64) error {
	return s.Note(ctx, "bytes", func(tx *store.Tx) error { return tx.CountBytes(ctx, taker, sha256, bytes) })
}

package metrics

import (
	"context"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// metadata tells when the release metadata expires, where there is any: then
// robots that want it install nothing more.
func (r *reading) metadata(ctx context.Context, s *store.Reader, _ time.Time) error {
	for _, role := range tuf.Roles() {
		m, err := s.NewestMetadata(ctx, string(role))
		if err != nil {
			return err
		}
		if m.Version == 0 {
			continue
		}
		d, err := tuf.Describe(m.Document)
		if err != nil {
			return fmt.Errorf("metadata %s %d: %w", role, m.Version, err)
		}
		r.gauge("ota_fleet_metadata_expires_timestamp_seconds", "When the newest release metadata of a role expires; absent where there is none.", []string{"role"}, []string{string(role)}, float64(d.Expires.Unix()))
	}
	return nil
}

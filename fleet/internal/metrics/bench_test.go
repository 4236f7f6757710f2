package metrics

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// A reading of a fleet of 100,000 robots, each with an update. It has to be done
// well within the ten seconds that Prometheus waits.
func BenchmarkReading(b *testing.B) {
	env := storetest.SQLite(b)
	s := env.Open(b)
	const robots, piece = 100_000, 5_000
	now := env.Clock.Now()
	add := func(ctx context.Context, tx *store.Tx, i int) error {
		id := fmt.Sprintf("robot-%06d", i)
		if err := tx.AddRobot(ctx, store.Robot{ID: id, SKU: "standard"}); err != nil {
			return err
		}
		if err := tx.SetState(ctx, id, store.RobotState{Version: v(fmt.Sprintf("0.1.%d", i%30)), Received: now, Online: true, SigningKey: fmt.Sprint("k", i%3)}); err != nil {
			return err
		}
		return tx.SaveUpdate(ctx, store.Update{Robot: id, JobID: "j", SKU: "standard", Started: now.Add(-time.Hour), Outcome: "confirmed", Download: 3})
	}
	for from := 0; from < robots; from += piece {
		if err := s.Update(b.Context(), "fill", func(tx *store.Tx) error {
			for i := from; i < from+piece; i++ {
				if err := add(b.Context(), tx, i); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := s.View(b.Context(), func(r *store.Reader) error {
			var out reading
			return out.read(b.Context(), r, now)
		}); err != nil {
			b.Fatal(err)
		}
	}
}

package dashboard

import (
	"fmt"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// Pages of a fleet of 100,000 robots, each with an update. The clock of tests
// stands still, so that each is read anew: a server keeps what took long.
func BenchmarkPages(b *testing.B) {
	s := open(b, storetest.SQLite(b))
	s.fill(b)
	const robots, piece = 100_000, 5_000
	now := s.env.Clock.Now()
	for from := 0; from < robots; from += piece {
		s.update(b, func(tx *store.Tx) error {
			for i := from; i < from+piece; i++ {
				id := fmt.Sprintf("many-%06d", i)
				if err := tx.AddRobot(b.Context(), store.Robot{ID: id, SKU: "industrial"}); err != nil {
					return err
				}
				if err := tx.SetState(b.Context(), id, store.RobotState{Version: v(fmt.Sprintf("0.1.%d", i%30)), Received: now, Online: true, SigningKey: fmt.Sprint("k", i%3)}); err != nil {
					return err
				}
				if err := tx.SaveUpdate(b.Context(), store.Update{Robot: id, JobID: "j", SKU: "industrial", Started: now.Add(-time.Hour), Outcome: "confirmed", Download: 3}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	browser := s.browser(b).login("ben")
	for _, page := range []string{"/", "/robots", "/robots/many-050000", "/rollouts/o1"} {
		b.Run(page, func(b *testing.B) {
			for b.Loop() {
				if w := browser.get(page); w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}

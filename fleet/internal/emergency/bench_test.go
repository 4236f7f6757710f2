package emergency

import (
	"fmt"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

const robots = 10_000

// A release that 10,000 robots run is called back: until nobody gets it
// (order), until each robot has its command in the outbox (tell), and a look at
// all of them that finds nothing to do (look). Run it with -benchtime 1x.
func BenchmarkCallBack(b *testing.B) {
	for _, kind := range []struct {
		name string
		env  func(testing.TB) storetest.Env
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := kind.env(b).Open(b)
				crowd(b, s)
				e, ctx := New(s, time.Now), b.Context()
				b.StartTimer()
				took := func(what string, f func() error) {
					began := time.Now()
					if err := f(); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(time.Since(began).Milliseconds()), what+"-ms")
				}
				took("order", func() error { _, err := e.Rollback(ctx, "ann", "standard-0.2.1", "it bites"); return err })
				took("tell", func() error { return e.Follow(ctx, NoFence) })
				took("look", func() error { return e.Follow(ctx, NoFence) })
				if n := len(must(s.Commands(ctx, store.CommandQuery{Open: true}))); n != robots {
					b.Errorf("%d commands", n)
				}
			}
		})
	}
}

// crowd are robots that run the release, with a status as agents send it.
func crowd(b *testing.B, s *store.Store) {
	b.Helper()
	fleet(b, s)
	state := runs("0.2.1")
	state.Status = []byte(fmt.Sprintf(`{"state":"observing","message":"%0600d"}`, 0))
	update(b, s, func(tx *store.Tx) error {
		for i := range robots {
			id := fmt.Sprintf("robot-%05d", i)
			if err := tx.AddRobot(b.Context(), store.Robot{ID: id, SKU: "standard"}); err != nil {
				return err
			}
			if err := tx.SetState(b.Context(), id, state); err != nil {
				return err
			}
		}
		return nil
	})
}

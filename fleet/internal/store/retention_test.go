package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestPrune(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		addRobot(t, s, "r1", "basic")
		addRobot(t, s, "r2", "basic")
		event := func(tx *store.Tx, robot string, n int) error {
			_, err := tx.AddEvent(t.Context(), store.Event{Robot: robot, ID: fmt.Sprintf("e%d", n), Seq: uint64(n), Received: env.Clock.Now(), Body: json.RawMessage(`{}`)})
			return err
		}
		fill := func(from, to int) {
			update(t, s, func(tx *store.Tx) error {
				for i := from; i < to; i++ {
					if err := event(tx, "r1", i); err != nil {
						return err
					}
				}
				if err := tx.SaveUpdate(t.Context(), store.Update{Robot: "r1", JobID: fmt.Sprint(from), Started: env.Clock.Now()}); err != nil {
					return err
				}
				if err := tx.AddHealth(t.Context(), store.Hour{Robot: "r1", Begin: env.Clock.Now()}); err != nil {
					return err
				}
				if _, err := tx.CountDownload(t.Context(), store.Download{Taker: "r1", SHA256: "a", Size: 1}, 100); err != nil {
					return err
				}
				return event(tx, "r2", from)
			})
		}
		fill(0, 30)
		env.Clock.Add(10 * 24 * time.Hour)
		fill(100, 150)
		keep := store.Retention{Events: 24 * time.Hour, EventsPerRobot: 20, Updates: 24 * time.Hour, Health: 24 * time.Hour, Downloads: 24 * time.Hour}
		if n, err := s.Prune(t.Context(), keep); err != nil || n != 31+30+1+1+1 {
			t.Errorf("removed %d, %v", n, err)
		}
		for table, want := range map[store.HistoryTable]int64{store.Events: 21, store.Updates: 1, store.Health: 1, store.Downloads: 1} {
			if n, err := s.Count(t.Context(), table); err != nil || n != want {
				t.Errorf("%s: %d rows, %v", table, n, err)
			}
		}
		latest := must(s.Events(t.Context(), "r1", time.Time{}, 100))
		if len(latest) != 20 || latest[0].ID != "e149" || latest[19].ID != "e130" {
			t.Errorf("%d events are left", len(latest))
		}
		if n, err := s.Prune(t.Context(), keep); err != nil || n != 0 {
			t.Errorf("removed %d more, %v", n, err)
		}
	})
}

// A database that is full of history is pruned in pieces.
func TestPruneMuch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		addRobot(t, s, "r1", "basic")
		const n = 5000
		update(t, s, func(tx *store.Tx) error {
			for i := range n {
				if _, err := tx.AddEvent(t.Context(), store.Event{Robot: "r1", ID: fmt.Sprint(i), Received: env.Clock.Now(), Body: json.RawMessage(`{}`)}); err != nil {
					return err
				}
			}
			return nil
		})
		env.Clock.Add(100 * 24 * time.Hour)
		if removed, err := s.Prune(t.Context(), store.DefaultRetention()); err != nil || removed != n {
			t.Errorf("removed %d, %v", removed, err)
		}
	})
}

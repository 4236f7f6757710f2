package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// A command that nobody answers is sent soon again and then ever more seldom,
// and what was never sent goes first.
func TestDue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		update(t, s, func(tx *store.Tx) error {
			return tx.Enqueue(t.Context(), store.Command{ID: "away", Robot: "r1", Verb: store.VerbCancel})
		})
		var sent []int
		for minute := range 24 * 60 {
			for _, c := range must(s.Due(t.Context(), env.Clock.Now(), time.Minute, 10)) {
				sent = append(sent, minute)
				update(t, s, func(tx *store.Tx) error { return tx.Sent(t.Context(), c.ID) })
			}
			env.Clock.Add(time.Minute)
		}
		if got := fmt.Sprint(sent[:5]); got != "[0 2 7 17 34]" || len(sent) < 20 || len(sent) > 24 {
			t.Errorf("sent in these minutes of a day: %v", sent)
		}
		env.Clock.Add(24 * time.Hour)
		update(t, s, func(tx *store.Tx) error {
			return tx.Enqueue(t.Context(), store.Command{ID: "new", Robot: "r2", Verb: store.VerbCancel})
		})
		if due := must(s.Due(t.Context(), env.Clock.Now(), time.Minute, 1)); len(due) != 1 || due[0].ID != "new" {
			t.Errorf("first of all: %+v", due)
		}
	})
}

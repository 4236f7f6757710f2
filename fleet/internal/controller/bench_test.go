package controller

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// BenchmarkTick is a look at a rollout on 10,000 robots, that changes nothing.
func BenchmarkTick(b *testing.B) {
	now := storetest.Noon()
	env := storetest.SQLite(b)
	s := env.Open(b, func(o *store.Options) { o.Now = func() time.Time { return now } })
	r := newRig(b.Context(), s, &now)
	if err := r.found(0, keyringtest.Signers(1)[0].Public); err != nil {
		b.Fatal(err)
	}
	message := must(json.Marshal(map[string]string{"status": strings.Repeat("x", 2000)}))
	for from := range 20 {
		err := s.Update(b.Context(), "register", func(tx *store.Tx) error {
			for i := range 500 {
				id := fmt.Sprint("r", from*500+i)
				if err := tx.AddRobot(b.Context(), store.Robot{ID: id, SKU: "basic"}); err != nil {
					return err
				}
				if err := tx.SetState(b.Context(), id, store.RobotState{Version: v("0.2.0"), Received: now, Status: message, Diagnostics: message}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := r.start(releaseName); err != nil {
		b.Fatal(err)
	}
	l := must(s.Acquire(b.Context(), Lease, "bench", time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.c.Tick(b.Context(), l); err != nil {
			b.Fatal(err)
		}
	}
}

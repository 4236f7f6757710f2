package api

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// many is a fleet of 10,000 robots in a rollout, half of which have their turn.
func many(b *testing.B, s *store.Store) {
	b.Helper()
	f := &fleet{store: s}
	err := s.Update(b.Context(), "fill", func(tx *store.Tx) error {
		if _, err := tx.AddKey(b.Context(), signer.Public, "pub.der"); err != nil {
			return err
		}
		if _, err := tx.StartRollout(b.Context(), store.Rollout{ID: "o1", Version: version("0.2.1"), SKUs: []string{"standard"}, Phase: "running", Stage: "canary"}); err != nil {
			return err
		}
		for i := range robots {
			id := fmt.Sprintf("robot-%05d", i)
			if err := tx.AddRobot(b.Context(), store.Robot{ID: id, SKU: "standard"}); err != nil {
				return err
			}
			if err := tx.SetToken(b.Context(), id, "token-"+id); err != nil {
				return err
			}
			if err := tx.Assign(b.Context(), store.Assignment{Rollout: "o1", Robot: id, SKU: "standard", Stage: []string{"canary", "wide"}[i%2]}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = f.release(b, "standard", "0.2.1", release.Published, content)
	}
	if err != nil {
		b.Fatal(err)
	}
}

const robots = 10_000

// A robot's check: who it is, what it is offered, and the note of it.
func BenchmarkCheck(b *testing.B) {
	for name, env := range map[string]storetest.Env{"sqlite": storetest.SQLite(b), "postgres": storetest.Postgres(b)} {
		s := env.Open(b)
		many(b, s)
		h := New(Config{Identity: IdentityRequired, Downloads: DefaultDownloads, Now: env.Clock.Now}, FromStore(s), slog.New(slog.DiscardHandler))
		b.Run(name, func(b *testing.B) {
			var next atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id := fmt.Sprintf("robot-%05d", next.Add(1)%robots)
					w := httptest.NewRecorder()
					h.ServeHTTP(w, request("GET", "/v1/check?sku=standard&version=0.2.0&robot_id="+id, "", "Authorization: Bearer token-"+id))
					if w.Code != 200 && w.Code != 204 {
						b.Errorf("%s: %d %s", id, w.Code, w.Body)
						return
					}
				}
			})
		})
	}
}

package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func version(text string) compat.Version {
	v, err := compat.ParseVersion(text)
	if err != nil {
		panic(err)
	}
	return v
}

// fleet is a store with the robots r1 and r2, which have a part in a rollout of
// 0.2.1 that began thirty hours ago.
type fleet struct {
	*Ingest
	t     testing.TB
	store *store.Store
	now   func() time.Time
}

func newFleet(t testing.TB, env storetest.Env, cfg Config) *fleet {
	t.Helper()
	s := env.Open(t)
	cfg.Now = env.Clock.Now
	env.Clock.Add(-30 * time.Hour)
	f := &fleet{Ingest: New(cfg, s, slog.New(slog.DiscardHandler)), t: t, store: s, now: env.Clock.Now}
	f.update(func(ctx context.Context, tx *store.Tx) error {
		for _, id := range []string{"r1", "r2"} {
			if err := tx.AddRobot(ctx, store.Robot{ID: id, SKU: "standard"}); err != nil {
				return err
			}
		}
		if _, err := tx.StartRollout(ctx, store.Rollout{ID: "o1", Version: version("0.2.1"), SKUs: []string{"standard"}, Phase: "running", Stage: "canary"}); err != nil {
			return err
		}
		return tx.Assign(ctx, store.Assignment{Rollout: "o1", Robot: "r1", SKU: "standard", Stage: "canary"})
	})
	env.Clock.Add(30 * time.Hour)
	return f
}

func (f *fleet) update(do func(ctx context.Context, tx *store.Tx) error) {
	f.t.Helper()
	if err := f.store.Update(f.t.Context(), "test", func(tx *store.Tx) error { return do(f.t.Context(), tx) }); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) take(messages ...Message) {
	f.t.Helper()
	if err := f.Take(f.t.Context(), messages); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) robot(id string) store.Robot {
	f.t.Helper()
	r, err := f.store.Robot(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// hours are a robot's, and their sum.
func (f *fleet) hours(robot string) (hours []store.Hour, total store.Counters) {
	f.t.Helper()
	err := f.store.EachHour(f.t.Context(), store.HealthQuery{Robot: robot}, func(h store.Hour) error {
		hours, total = append(hours, h), sum(total, h.Counters)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return hours, total
}

// fields are a message's.
type fields map[string]any

// say makes r1's message, received now.
func (f *fleet) say(k Kind, w fields) Message {
	f.t.Helper()
	full := fields{"robot_id": "r1", "sku": "standard"}
	for name, v := range w {
		full[name] = v
	}
	raw, err := json.Marshal(full)
	if err != nil {
		f.t.Fatal(err)
	}
	return Message{Robot: "r1", Kind: k, Payload: raw, Received: f.now()}
}

// event is a transition of a job, or whatever w makes of it.
func (f *fleet) event(seq int, job, to string, w fields) Message {
	full := fields{
		"id": fmt.Sprintf("e-%d", seq), "seq": seq, "at": f.now(), "kind": "transition", "job_id": job, "job_kind": "update", "origin": "schedule", "to": to,
		"running": fields{"version": "0.2.0", "slot": "ota_0"}, "target": "0.2.1",
	}
	for name, v := range w {
		full[name] = v
	}
	return f.say(Event, full)
}

// contract is a message as agents send it.
func contract(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../../tests/contract", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

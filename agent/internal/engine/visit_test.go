package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

func TestVisitGoesIntoTheLoaderAndBack(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		v, err := e.Visit(t.Context())
		if err != nil || v.Boots.Slot != "ota_0" || v.Boots.Version.String() != "0.2.0" || v.Back <= 0 {
			t.Fatalf("%+v, %v", v, err)
		}
		want := []string{"take", "connect", "inspect", "reset", "give"}
		var did []string
		r.do(func() { did = slices.Clone(r.log) })
		if !slices.Equal(did, want) {
			t.Errorf("did %v, want %v", did, want)
		}
		r.ends(t, 0, "after the visit")
		if s := e.Status(); s.Held || s.State != update.Idle {
			t.Errorf("%+v", s)
		}
		trigger(t, e) // and nothing is in the way of an update
		wait(t, e, update.Observing)
		if _, err := e.Visit(t.Context()); !errors.Is(err, update.ErrObserved) {
			t.Errorf("while a firmware is observed: %v", err)
		}
	})
}

func TestVisitRespectsTheGates(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		refused := func(want preflight.Code) {
			t.Helper()
			_, err := e.Visit(t.Context())
			var not *update.NotNowError
			if !errors.As(err, &not) || len(not.Reasons) != 1 || not.Reasons[0].Code != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
		r.do(func() { r.moving = 1 })
		time.Sleep(time.Second)
		refused(preflight.Moving)
		r.do(func() { r.moving = 0 })
		time.Sleep(time.Second)
		if err := e.Inhibit(t.Context(), "docking", "", time.Minute); err != nil {
			t.Fatal(err)
		}
		refused(preflight.Inhibited)
		time.Sleep(time.Minute)
		r.do(func() { r.battery = 0.1 }) // which an update would wait for
		time.Sleep(time.Second)
		if _, err := e.Visit(t.Context()); err != nil {
			t.Error(err)
		}
		r.do(func() { r.log = nil })
		id := trigger(t, e)
		var busy *update.BusyError
		if _, err := e.Visit(t.Context()); !errors.As(err, &busy) || busy.JobID != id {
			t.Errorf("during an update: %v", err)
		}
		if r.did("take") {
			t.Error("a refused visit took the line")
		}
	})
}

func TestVisitThatFailsPutsTheRobotBack(t *testing.T) {
	tests := []struct {
		at   string
		want string
		did  []string
	}{
		{"take", "take: it broke", []string{"take", "give"}}, // the chip is not touched
		{"connect", "connect: it broke", []string{"take", "connect", "reset", "give"}},
		{"inspect", "slots cannot be read", []string{"take", "connect", "inspect", "reset", "give"}},
	}
	for _, tt := range tests {
		t.Run(tt.at, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				r.do(func() { r.failAt[tt.at] = 1 })
				if _, err := e.Visit(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %s", err, tt.want)
				}
				time.Sleep(5 * time.Second)
				r.ends(t, 0, "after "+tt.at)
				var did []string
				r.do(func() { did = slices.Clone(r.log) })
				if !slices.Equal(did, tt.did) {
					t.Errorf("did %v, want %v", did, tt.did)
				}
				if s := e.Status(); s.Held {
					t.Error("still held")
				}
			})
		})
	}
}

// The agent dies on a visit: the next one brings the chip back.
func TestVisitThatIsKilled(t *testing.T) {
	for _, at := range []string{"take", "connect", "reset", "give"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go r.live(ctx)
				e, kill := r.engine(ctx)
				time.Sleep(2 * time.Second)
				r.die(at)
				asked, stop := context.WithTimeout(ctx, 10*time.Second)
				defer stop()
				_, _ = e.Visit(asked)
				kill()
				if !r.killed() {
					t.Fatalf("never got to %s", at)
				}
				r.thaw()
				e, kill = r.engine(ctx)
				defer kill()
				time.Sleep(time.Minute)
				r.ends(t, 0, "killed at "+at)
				if s := e.Status(); s.Held || s.State != update.Idle {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

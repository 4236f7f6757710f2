package engine_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// shelf keeps a baseline.
type shelf struct {
	mu    sync.Mutex
	tally watch.Tally
	kept  int
}

func (s *shelf) Baseline() (watch.Tally, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tally, nil
}

func (s *shelf) KeepBaseline(t watch.Tally) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally = t
	s.kept++
	return nil
}

// probed is a rig whose engine keeps a baseline, and whose DTLS server is tried
// every 10 s and fails where fails says so.
func probed(t *testing.T, s *shelf, fails func() bool, f func(*testing.T, *rig, *engine.Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		cfg := engine.Config{Chip: image.ESP32S3, SKU: "standard", Gates: preflight.DefaultPolicy(), Trial: watch.DefaultTrialPolicy(),
			Observe: watch.DefaultObservePolicy(), ObserveFor: time.Hour, Baud: 921600}
		cfg.Gates.Companion = compat.Version{Minor: 2}
		e := engine.New(cfg, engine.Ports{Source: r, Images: r, Line: r, Chip: r, Robot: r, Journal: r, Baselines: s}, r.mem, slog.New(slog.DiscardHandler))
		var wg sync.WaitGroup
		wg.Go(func() { r.live(ctx) })
		wg.Go(func() { _ = e.Run(ctx) })
		wg.Go(func() {
			var d robot.DTLS
			tick := time.NewTicker(10 * time.Second)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				d.Tries++
				if fails() {
					d.Failures++
				}
				r.board.Post(d)
			}
		})
		time.Sleep(2 * time.Second)
		f(t, r, e)
		cancel()
		wg.Wait()
	})
}

func TestFirmwareThatRefusesHandshakesIsPutBack(t *testing.T) {
	var s shelf
	var mu sync.Mutex
	bad := false
	fails := func() bool { mu.Lock(); defer mu.Unlock(); return bad }
	probed(t, &s, fails, func(t *testing.T, r *rig, e *engine.Engine) {
		time.Sleep(time.Hour)
		trigger(t, e)
		wait(t, e, update.Observing)
		before := s.tally
		if s.kept < 5 || before.Tries < 300 || before.Seconds < 3000 || before.Odometry < 6000 {
			t.Errorf("kept %d times: %+v", s.kept, before)
		}
		mu.Lock()
		bad = true
		mu.Unlock()
		st := wait(t, e, update.RolledBack)
		if st.Failure == nil || st.Failure.Code != watch.CodeDTLS {
			t.Fatalf("%+v", st.Failure)
		}
		rec := r.history[len(r.history)-1]
		if !slices.ContainsFunc(rec.Evidence, func(line string) bool {
			return strings.Contains(line, "odometry 2.0 Hz before the update, 2.0 Hz in the observation")
		}) {
			t.Errorf("evidence %q", rec.Evidence)
		}
		if s.tally != before {
			t.Errorf("the observation was learned from: %+v, then %+v", before, s.tally)
		}
	})
}

func TestFirmwareThatEmptiesTheBatteryIsPutBack(t *testing.T) {
	// A tenth of the charge in an hour, as an earlier run of the agent has seen.
	s := shelf{tally: watch.Tally{Seconds: 3600, Charge: watch.Charge{Used: 1, Discharging: 36000}}}
	probed(t, &s, func() bool { return false }, func(t *testing.T, r *rig, e *engine.Engine) {
		trigger(t, e)
		wait(t, e, update.Observing)
		began := time.Now()
		for e.Status().State == update.Observing && time.Since(began) < 30*time.Minute {
			time.Sleep(10 * time.Second)
			r.mu.Lock()
			r.battery -= 0.4 / 360
			r.mu.Unlock()
		}
		st := wait(t, e, update.RolledBack)
		if st.Failure == nil || st.Failure.Code != watch.CodeDrain {
			t.Fatalf("%+v", st.Failure)
		}
		if took := time.Since(began); took < 10*time.Minute || took > 12*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

func TestAnOperatorAnnouncesStopsByAnInhibitor(t *testing.T) {
	for owner, want := range map[string]update.State{"Operator Jane": update.Observing, "docking": update.RolledBack} {
		play(t, func(t *testing.T, r *rig, e *engine.Engine) {
			trigger(t, e)
			wait(t, e, update.Observing)
			if err := e.Inhibit(t.Context(), owner, "brake test", time.Minute); err != nil {
				t.Fatal(err)
			}
			time.Sleep(130 * time.Millisecond) // between two words of the robot
			r.board.Post(robot.EStop{Stopped: true, State: robot.EStopStopped, Reason: "button", At: time.Now()})
			time.Sleep(time.Minute)
			if s := e.Status(); s.State != want {
				t.Errorf("%s: %s, want %s", owner, s.State, want)
			}
		})
	}
}

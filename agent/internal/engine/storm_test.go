package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// TestAStormOfTriggers: who asks ten times a second gets a burst of jobs, and then
// one now and then, so that the history grows by no more. Neither the schedule nor
// who sits at the robot's command line is held up by that.
func TestAStormOfTriggers(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.failAt["download"] = 1 << 30 })
		began, refused := 0, 0
		for range 6000 {
			_, err := e.Trigger(t.Context(), update.Request{URL: "https://u/i", Origin: update.FromROS})
			var busy *update.BusyError
			var storm *engine.StormError
			switch {
			case err == nil:
				began++
			case errors.As(err, &storm):
				if refused++; storm.Wait <= 0 || storm.Wait > time.Minute || !strings.HasSuffix(err.Error(), "s") {
					t.Fatal(err)
				}
			case !errors.As(err, &busy):
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if began < 55 || began > 62 || refused < 5000 { // 30, and one every 20 s for ten minutes
			t.Errorf("%d jobs began in ten minutes, %d were refused", began, refused)
		}
		if n := len(r.records()); n > began {
			t.Errorf("%d records of %d jobs", n, began)
		}
		for _, o := range []update.Origin{update.FromCLI, update.FromSchedule} {
			if _, err := e.Trigger(t.Context(), update.Request{URL: "https://u/i", Origin: o}); err != nil {
				t.Errorf("%s: %v", o, err)
			}
			wait(t, e, update.Failed, update.Idle)
		}
		time.Sleep(time.Hour)
		if _, err := e.Trigger(t.Context(), update.Request{URL: "https://u/i", Origin: update.FromMQTT}); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

// TestBusyIsNoStorm: what is refused because a job goes on counts for nothing.
func TestBusyIsNoStorm(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.battery = 0.1 })
		trigger(t, e)
		wait(t, e, update.Waiting)
		for range 1000 {
			if _, err := e.Trigger(t.Context(), update.Request{URL: "https://u/i", Origin: update.FromROS}); !errors.As(err, new(*update.BusyError)) {
				t.Fatal(err)
			}
		}
		if err := e.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		wait(t, e, update.Failed)
		trigger(t, e)
	})
}

// TestInhibitorsAreText: an application's name steers no terminal.
func TestInhibitorsAreText(t *testing.T) {
	play(t, func(t *testing.T, _ *rig, e *engine.Engine) {
		for _, owner := range []string{"a\x1b[31mb", "a\nb", "\u202eb", "\xff", "a\x00"} {
			for _, as := range [][2]string{{owner, "why"}, {"owner", owner}} {
				if err := e.Inhibit(t.Context(), as[0], as[1], time.Minute); !errors.Is(err, engine.ErrInhibitor) {
					t.Errorf("%q: %v", as, err)
				}
			}
		}
		for i := range 1000 { // a storm of them fills the places there are
			_ = e.Inhibit(t.Context(), strings.Repeat("x", i%150+1), "storm", time.Hour)
		}
		if err := e.Inhibit(t.Context(), "one more", "", time.Hour); !errors.Is(err, engine.ErrInhibitor) {
			t.Errorf("one more than there is room for: %v", err)
		}
	})
}

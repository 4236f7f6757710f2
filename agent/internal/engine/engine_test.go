package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

// ends is what the robot must look like after a job.
func (r *rig) ends(t *testing.T, slot int, why string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running != slot || r.boot != slot || !r.owner {
		t.Errorf("%s: slot %d runs, %d boots next, owner of the line runs: %v; want slot %d and the owner", why, r.running, r.boot, r.owner, slot)
	}
	if s := r.slots[slot].state; s != flashmap.Valid {
		t.Errorf("%s: the running slot is %s", why, s)
	}
}

func TestOutcomes(t *testing.T) {
	tests := []struct {
		name   string
		nature nature
		state  update.State
		slot   int
		code   string
	}{
		{"good", good, update.Observing, 1, ""},
		{"crashes at boot", crash, update.RolledBack, 0, "rolled_back_by_itself"},
		{"fails its self-test", sick, update.RolledBack, 0, "rolled_back_by_itself"},
		{"hangs without confirming", hang, update.RolledBack, 0, "not_confirmed"},
		{"goes silent", silent, update.RolledBack, 0, "no_sign_of_life"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				r.do(func() { r.next = tt.nature })
				id := trigger(t, e)
				s := wait(t, e, update.Observing, update.RolledBack, update.Failed)
				time.Sleep(5 * time.Second)
				if s.State != tt.state || s.JobID != id || (s.Failure != nil) != (tt.code != "") || (s.Failure != nil && s.Failure.Code != tt.code) {
					t.Fatalf("%+v, failure %+v", s, s.Failure)
				}
				r.ends(t, tt.slot, tt.name)
				if len(r.records()) != 1 || r.records()[0].JobID != id || len(r.records()[0].Durations) == 0 {
					t.Errorf("history %+v", r.records())
				}
				if s := e.Status(); s.Held {
					t.Error("still held")
				}
			})
		})
	}
}

func TestTheServersOffer(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.nothing = true })
		if _, err := e.Trigger(t.Context(), update.Request{Origin: update.FromSchedule}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if s := e.Status(); s.State != update.Idle || len(r.records()) != 0 {
			t.Fatalf("nothing offered: %+v, history %v", s, r.records())
		}
		r.do(func() { r.nothing = false })
		if _, err := e.Trigger(t.Context(), update.Request{Origin: update.FromSchedule}); err != nil {
			t.Fatal(err)
		}
		wait(t, e, update.Observing)
		r.ends(t, 1, "offered")
	})
}

func TestWaitsForTheBatteryAndGoesOn(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.battery = 0.4 })
		time.Sleep(time.Second)
		trigger(t, e)
		wait(t, e, update.Waiting)
		time.Sleep(10 * time.Minute)
		s := e.Status()
		if s.State != update.Waiting || len(s.Reasons) != 1 || s.Reasons[0].Code != preflight.BatteryLow || time.Since(s.Reasons[0].Since) < 9*time.Minute {
			t.Fatalf("%+v", s)
		}
		var before, after int
		r.do(func() { before = r.saves })
		time.Sleep(time.Hour)
		if r.do(func() { after = r.saves }); after > before+1 {
			t.Errorf("waiting wrote to the disk %d times in an hour", after-before)
		}
		r.do(func() { r.battery = 0.6 })
		wait(t, e, update.Observing)
	})
}

// The robot begins to move between the gates' opening and the hand-over: the
// line is not taken, and above all the chip is not reset under a moving robot.
func TestGatesAreAskedAgainAtTheHandover(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() {
			r.onSave = func(s update.State) {
				if s == update.Handover && r.moving == 0 {
					r.moving = 0.5
					r.board.Post(robot.Odometry{Linear: 0.5, At: time.Now()})
				}
			}
		})
		trigger(t, e)
		time.Sleep(time.Minute)
		if s := e.Status(); s.State != update.Waiting || len(s.Reasons) != 1 || s.Reasons[0].Code != preflight.Moving {
			t.Fatalf("%+v", s)
		}
		for _, op := range []string{"take", "connect", "reset"} {
			if r.did(op) {
				t.Errorf("%s although the robot moves", op)
			}
		}
		r.do(func() { r.moving, r.onSave = 0, nil })
		wait(t, e, update.Observing)
	})
}

func TestInhibited(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		if err := e.Inhibit(t.Context(), "nav", "mapping", time.Minute); err != nil {
			t.Fatal(err)
		}
		trigger(t, e)
		wait(t, e, update.Waiting)
		time.Sleep(time.Second)
		if s := e.Status(); len(s.Reasons) != 1 || s.Reasons[0].Code != preflight.Inhibited {
			t.Fatalf("%+v", s.Reasons)
		}
		for _, op := range []string{"take", "connect", "reset"} {
			if r.did(op) {
				t.Errorf("%s while inhibited", op)
			}
		}
		wait(t, e, update.Observing) // the lease ends by itself
	})
}

func TestCommandsToTheEngine(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		id := trigger(t, e)
		wait(t, e, update.Writing)
		var busy *update.BusyError
		if _, err := e.Trigger(t.Context(), update.Request{URL: "https://u/j", Origin: update.FromCLI}); !errors.As(err, &busy) || busy.JobID != id {
			t.Errorf("second trigger: %v", err)
		}
		if _, err := e.Rollback(t.Context(), "", update.FromCLI); !errors.As(err, &busy) {
			t.Errorf("rollback in the middle: %v", err)
		}
		if err := e.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := wait(t, e, update.Failed)
		time.Sleep(2 * time.Second)
		if s.Failure.Code != update.CodeCancelled || e.Status().Held {
			t.Errorf("%+v", s)
		}
		r.ends(t, 0, "cancelled")

		trigger(t, e)
		wait(t, e, update.Validating)
		if err := e.Cancel(t.Context()); !errors.Is(err, update.ErrTooLate) {
			t.Errorf("cancel on trial: %v", err)
		}
		wait(t, e, update.Observing)
		if _, err := e.Rollback(t.Context(), "it squeaks", update.FromCLI); err != nil {
			t.Fatal(err)
		}
		wait(t, e, update.RolledBack)
		r.ends(t, 0, "rolled back on request")
		if _, err := e.Trigger(t.Context(), update.Request{URL: "ftp://u/i", Origin: update.FromCLI}); !errors.Is(err, update.ErrRequest) {
			t.Errorf("bad URL: %v", err)
		}
	})
}

func TestAFailedVersionIsNotTriedAgain(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.next = hang })
		trigger(t, e)
		wait(t, e, update.RolledBack)
		r.do(func() { r.next = good })
		trigger(t, e)
		if s := wait(t, e, update.Failed); s.Failure.Code != "failed_before" {
			t.Fatalf("%+v", s.Failure)
		}
		if _, err := e.Trigger(t.Context(), update.Request{Origin: update.FromSchedule}); err != nil {
			t.Fatal(err)
		}
		wait(t, e, update.Idle)
		if _, err := e.Trigger(t.Context(), update.Request{URL: "https://u/i", Force: true, Origin: update.FromCLI}); err != nil {
			t.Fatal(err)
		}
		wait(t, e, update.Observing)
	})
}

func TestEveryEffectFailing(t *testing.T) {
	tests := []struct {
		op    string
		times int
		state update.State
		slot  int
	}{
		{"download", 1, update.Failed, 0},
		{"verify", 1, update.Failed, 0},
		{"take", 1, update.Failed, 0},
		{"give", 2, update.Observing, 1},
		{"give", 12, update.RolledBack, 0}, // the trial cannot be seen
		{"connect", 1, update.Observing, 1},
		{"connect", 5, update.Failed, 0},
		{"inspect", 1, update.Observing, 1},
		{"write", 2, update.Observing, 1},
		{"write", 9, update.Failed, 0},
		{"attest", 1, update.Observing, 1},
		{"switch", 1, update.RolledBack, 0},
	}
	for _, tt := range tests {
		t.Run(tt.op, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				r.do(func() { r.failAt[tt.op] = tt.times })
				trigger(t, e)
				s := wait(t, e, update.Failed, update.RolledBack, update.Observing)
				time.Sleep(2 * time.Minute)
				if s.State != tt.state {
					t.Fatalf("%+v", s)
				}
				if s.Failure != nil && !strings.Contains(s.Failure.Text, errFake.Error()) {
					t.Errorf("the failure does not say why: %q", s.Failure.Text)
				}
				r.ends(t, tt.slot, tt.op)
			})
		})
	}
}

func TestACablePulledInTheWrite(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.onSave = func(s update.State) { r.dead = r.dead || s == update.Writing } })
		trigger(t, e)
		began := time.Now()
		s := wait(t, e, update.Failed)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %s to tell", took)
		}
		if !s.Held {
			t.Error("the robot does not run, and the status does not say so")
		}
		if _, err := e.Trigger(t.Context(), update.Request{URL: "https://u/i", Origin: update.FromCLI}); err == nil {
			t.Error("a new job was taken although the chip is not back")
		}
		time.Sleep(time.Hour)
		r.do(func() { r.dead, r.onSave = false, nil })
		time.Sleep(time.Minute)
		r.ends(t, 0, "cable back")
		if e.Status().Held {
			t.Error("still held")
		}
	})
}

func TestADiskThatIsFull(t *testing.T) {
	for _, state := range []update.State{update.Idle, update.Waiting, update.Writing} {
		t.Run(string(state), func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				if state == update.Waiting {
					r.do(func() { r.battery = 0.1 })
					time.Sleep(time.Second)
				}
				full := func() { r.do(func() { r.noSpace, r.battery = true, 0.9 }) }
				if state == update.Idle {
					full()
					trigger(t, e)
				} else {
					trigger(t, e)
					wait(t, e, state)
					full()
				}
				s := wait(t, e, update.Failed)
				time.Sleep(5 * time.Second)
				if s.Failure.Code != "state_not_saved" || !strings.Contains(s.Failure.Text, "no space left") {
					t.Errorf("%+v", s.Failure)
				}
				if r.did("switch") {
					t.Error("the slot was switched although that could not be remembered")
				}
				r.ends(t, 0, "disk full")
			})
		})
	}
}

// The agent dies in each state and after each operation, and comes back a
// moment or an hour later; firmware of each nature is offered.
func TestKilled(t *testing.T) {
	points := []string{"take", "connect", "write", "switch", "reset", "give", "restore", "record"}
	for _, s := range update.States() {
		if s != update.Idle && s != update.Failed {
			points = append(points, string(s))
		}
	}
	for _, at := range points {
		for _, n := range []nature{good, sick, hang} {
			for _, away := range []time.Duration{time.Second, time.Hour} {
				t.Run(fmt.Sprintf("%s/%d/%s", at, n, away), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { dieAndComeBack(t, at, n, away) })
				})
			}
		}
	}
}

func dieAndComeBack(t *testing.T, at string, n nature, away time.Duration) {
	r := newRig(t)
	r.do(func() { r.next = n })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go r.live(ctx)
	e, kill := r.engine(ctx)
	time.Sleep(2 * time.Second)
	r.die(at)
	_, _ = e.Trigger(t.Context(), update.Request{URL: "https://u/i", Origin: update.FromROS})
	for i := 0; !r.killed() && i < 2400; i++ {
		time.Sleep(50 * time.Millisecond)
	}
	died := r.killed()
	kill()
	if !died { // this firmware does not lead there
		if n == good && at != "restore" && at != "rolling_back" && at != "rolled_back" {
			t.Fatalf("never got to %s", at)
		}
		return
	}
	r.thaw()
	time.Sleep(away)
	e, kill = r.engine(ctx)
	defer kill()
	wait(t, e, update.Observing, update.Failed, update.RolledBack)
	time.Sleep(3 * time.Minute)
	s := e.Status()
	if s.State == update.Observing || s.State == update.Idle {
		r.ends(t, 1, "confirmed")
	} else {
		r.ends(t, 0, string(s.State))
	}
	if n != good && s.State == update.Observing {
		t.Error("a bad firmware was confirmed")
	}
	if s.Held {
		t.Error("still held")
	}
	told := map[string]int{}
	for _, rec := range r.records() {
		told[rec.JobID+" "+string(rec.Outcome)]++
	}
	if outcome := s.Outcome(); outcome != "" && told[s.JobID+" "+string(outcome)] != 1 {
		t.Errorf("it is %s, and the history holds %v", outcome, told)
	}
}

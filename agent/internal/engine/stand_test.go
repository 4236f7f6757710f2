package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// gone is how a confirmed firmware turns bad: it reboots four times.
func (r *rig) gone() { r.boots += 4 }

// since says how long after the start a state was entered; it waits for it.
func since(t *testing.T, e *engine.Engine, start time.Time, state update.State) time.Duration {
	t.Helper()
	return wait(t, e, state).Since.Sub(start)
}

// A firmware turns bad while it drives the robot: the chip is not reset under
// it before it stands, and the wait is told.
func TestARollbackWaitsForARobotThatMoves(t *testing.T) {
	for name, ask := range map[string]func(*rig, *engine.Engine) error{
		"a trigger": func(r *rig, _ *engine.Engine) error { r.do(r.gone); return nil },
		"asked for": func(_ *rig, e *engine.Engine) error {
			_, err := e.Rollback(context.Background(), "it squeaks", update.FromCLI)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				trigger(t, e)
				wait(t, e, update.Observing)
				r.do(func() { r.moving, r.log = 0.4, nil })
				time.Sleep(time.Second)
				if err := ask(r, e); err != nil {
					t.Fatal(err)
				}
				wait(t, e, update.RollingBack)
				time.Sleep(5 * time.Minute)
				s := e.Status()
				if s.State != update.RollingBack || s.Held || !slices.Equal(codesOf(s.Reasons), []preflight.Code{preflight.Moving}) ||
					!strings.Contains(s.Message, "waits for the robot to stand") || !strings.Contains(s.Reasons[0].Lift, "at the latest") {
					t.Fatalf("%+v", s)
				}
				r.untouched(t, "while the robot moves")
				r.do(func() {
					if n := len(r.mem.Job.Reasons); n != 1 {
						t.Errorf("the memory holds %d reasons", n)
					}
					r.moving = 0
				})
				stopped := time.Now()
				s = wait(t, e, update.RolledBack)
				if took := s.Since.Sub(stopped); took < 2*time.Second || took > time.Minute {
					t.Errorf("it took %s from standing still", took)
				}
				r.ends(t, 0, "rolled back")
			})
		})
	}
}

// What a roll-back does not wait for, and for how long it waits at most.
func TestHowLongARollbackWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		set         func(r *rig)
		least, most time.Duration // from the trigger to the line being taken
	}{
		"the robot stands":          {func(*rig) {}, 0, 5 * time.Second},
		"it never stands":           {func(r *rig) { r.moving = 0.4 }, 10 * time.Minute, 10*time.Minute + 5*time.Second},
		"motors at work":            {func(r *rig) { r.motors = "driving" }, 10 * time.Minute, 10*time.Minute + 5*time.Second},
		"commands keep coming":      {func(r *rig) { r.driven = 1 }, 10 * time.Minute, 10*time.Minute + 5*time.Second},
		"moves, but an E-stop":      {func(r *rig) { r.moving, r.estop = 0.4, robot.EStop{Stopped: true, Reason: "operator"} }, 0, 2 * time.Second},
		"moves, firmware silent":    {func(r *rig) { r.moving, r.quiet = 0.4, true }, 0, 7 * time.Second},
		"moves, then falls silent":  {func(r *rig) { r.moving = 0.4; r.later(time.Minute, func() { r.quiet = true }) }, time.Minute, time.Minute + 7*time.Second},
		"stops and goes all along":  {func(r *rig) { r.moving = 0.4; r.fidgets = true }, 10 * time.Minute, 10*time.Minute + 5*time.Second},
		"moves, then an E-stop":     {func(r *rig) { r.moving = 0.4; r.later(time.Minute, func() { r.estop.Stopped = true }) }, time.Minute, time.Minute + 2*time.Second},
		"odometry, then only words": {func(r *rig) { r.moving = 0.4; r.later(time.Minute, func() { r.blind = true }) }, time.Minute, time.Minute + 10*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				trigger(t, e)
				wait(t, e, update.Observing)
				var taken time.Time
				r.do(func() {
					r.log = nil
					r.onOp = func(op string) {
						if op == "take" && taken.IsZero() {
							taken = time.Now()
						}
					}
					tt.set(r)
				})
				if _, err := e.Rollback(t.Context(), "", update.FromCLI); err != nil {
					t.Fatal(err)
				}
				began := e.Status().Since
				wait(t, e, update.RolledBack)
				if took := taken.Sub(began); took < tt.least || took > tt.most {
					t.Errorf("the line was taken after %s, want %s to %s", took, tt.least, tt.most)
				}
			})
		})
	}
}

// The trial is another matter: what runs is not proven, and the robot stood
// when it began.
func TestATrialEndsAtOnceEvenWhenTheRobotMoves(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		trigger(t, e)
		wait(t, e, update.Validating)
		r.do(func() { r.moving = 0.4 })
		time.Sleep(time.Second)
		began := time.Now()
		if _, err := e.Rollback(t.Context(), "it drives off", update.FromCLI); err != nil {
			t.Fatal(err)
		}
		if took := since(t, e, began, update.RolledBack); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// The agent dies while a roll-back waits: the next one waits on, and not longer
// than the first would have, whatever the robot does.
func TestAWaitingRollbackOutlivesTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.live(ctx)
		e, kill := r.engine(ctx)
		time.Sleep(2 * time.Second)
		trigger(t, e)
		wait(t, e, update.Observing)
		r.do(func() { r.moving = 0.4 })
		time.Sleep(time.Second)
		r.do(func() { r.gone(); r.log = nil })
		began := wait(t, e, update.RollingBack).Since
		for range 6 {
			time.Sleep(time.Minute)
			kill()
			time.Sleep(20 * time.Second)
			e, kill = r.engine(ctx)
		}
		r.untouched(t, "after the restarts")
		if took := since(t, e, began, update.RolledBack); took < 10*time.Minute || took > 11*time.Minute {
			t.Errorf("it took %s", took)
		}
		kill()
		r.ends(t, 0, "rolled back")
	})
}

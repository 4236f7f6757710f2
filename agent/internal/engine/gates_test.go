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
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

func codesOf(rs []preflight.Reason) (out []preflight.Code) {
	for _, r := range rs {
		out = append(out, r.Code)
	}
	return out
}

// untouched says whether nothing was done to line and chip.
func (r *rig) untouched(t *testing.T, when string) {
	t.Helper()
	for _, op := range []string{"take", "connect", "reset"} {
		if r.did(op) {
			t.Errorf("%s: %s", when, op)
		}
	}
}

// A battery at its threshold reads now a little more, now a little less. No
// lucky reading starts the flash, the published reason stays, and neither disk
// nor fleet hear of every swing.
func TestAGateThatFlaps(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.battery = 0.49 })
		time.Sleep(time.Second)
		trigger(t, e)
		wait(t, e, update.Waiting)
		began := time.Now()
		var saves int
		r.do(func() { saves = r.saves })
		for range 300 {
			r.do(func() { r.battery = 1 - r.battery })
			time.Sleep(time.Second)
			if s := e.Status(); s.State != update.Waiting || !slices.Equal(codesOf(s.Reasons), []preflight.Code{preflight.BatteryLow}) || s.Reasons[0].Since.After(began) {
				t.Fatalf("%s, %+v", s.State, s.Reasons)
			}
		}
		r.untouched(t, "on a lucky reading")
		r.do(func() {
			if r.saves > saves+2 {
				t.Errorf("it was written down %d times", r.saves-saves)
			}
			r.battery = 0.51
		})
		time.Sleep(time.Second)
		if s := e.Status(); s.State != update.Waiting || len(s.Reasons) != 1 || !strings.Contains(s.Reasons[0].Lift, "staying open for 2s") {
			t.Errorf("open for a second: %s, %+v", s.State, s.Reasons)
		}
		wait(t, e, update.Observing)
	})
}

// Also the first reading may be a lucky one.
func TestTheFirstReadingIsNotEnough(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		trigger(t, e)
		wait(t, e, update.Waiting)
		began := time.Now()
		if s := e.Status(); len(s.Reasons) != 0 {
			t.Errorf("a robot that is ready gives reasons: %+v", s.Reasons)
		}
		wait(t, e, update.Writing)
		if took := time.Since(began); took < 1900*time.Millisecond || took > 3*time.Second {
			t.Errorf("the gates were watched for %s", took)
		}
	})
}

// The robot is stopped, or drives off, while the image is being fetched: the
// update waits until that is over, and goes on by itself.
func TestWhatHappensInTheDownload(t *testing.T) {
	for name, tt := range map[string]struct {
		set  func(r *rig, is bool)
		want preflight.Code
	}{
		"an emergency stop": {func(r *rig, is bool) { r.estop.Stopped = is }, preflight.EStopActive},
		"motion":            {func(r *rig, is bool) { r.moving = map[bool]float64{true: 0.4}[is] }, preflight.Moving},
		"a command":         {func(r *rig, is bool) { r.driven = map[bool]float64{true: 0.4}[is] }, preflight.Commanded},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				r.do(func() {
					r.onOp = func(op string) {
						if op == "download" {
							r.do(func() { tt.set(r, true) })
							time.Sleep(time.Second)
						}
					}
				})
				trigger(t, e)
				wait(t, e, update.Waiting)
				time.Sleep(time.Minute)
				if s := e.Status(); s.State != update.Waiting || !slices.Equal(codesOf(s.Reasons), []preflight.Code{tt.want}) {
					t.Fatalf("%s, %+v", s.State, s.Reasons)
				}
				r.untouched(t, name)
				r.do(func() { tt.set(r, false) })
				wait(t, e, update.Observing)
			})
		})
	}
}

// To stop the line's owner takes ten seconds, and in those somebody sends the
// robot off: the chip is not touched, and the owner gets its line back.
func TestTheRobotDrivesOffWhileTheLineIsTaken(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		drives := true
		r.do(func() {
			r.onOp = func(op string) {
				if op == "take" && drives {
					time.Sleep(10 * time.Second)
					r.do(func() { r.driven = 0.3 })
					time.Sleep(time.Second)
				}
			}
		})
		trigger(t, e)
		wait(t, e, update.Handover)
		wait(t, e, update.Waiting)
		time.Sleep(time.Second)
		if r.did("connect") || r.did("reset") || !r.did("give") {
			t.Error("the chip was touched, or the line kept")
		}
		if s := e.Status(); !slices.Equal(codesOf(s.Reasons), []preflight.Code{preflight.Commanded}) {
			t.Errorf("%s, %+v", s.State, s.Reasons)
		}
		r.do(func() { drives, r.driven = false, 0 })
		wait(t, e, update.Observing)
		if len(r.records()) != 1 {
			t.Errorf("history %+v", r.records())
		}
	})
}

// What a plan says stands in the way is what an update then waits for: both
// ask by one policy, also where that was changed while the agent runs.
func TestAPlanSaysWhatAnUpdateWaitsFor(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(r *rig, e *engine.Engine)
		want []preflight.Code
	}{
		"nothing":      {func(*rig, *engine.Engine) {}, nil},
		"battery":      {func(r *rig, _ *engine.Engine) { r.battery = 0.3 }, []preflight.Code{preflight.BatteryLow}},
		"motion":       {func(r *rig, _ *engine.Engine) { r.moving = 1 }, []preflight.Code{preflight.Moving}},
		"battery, set": {func(_ *rig, e *engine.Engine) { e.SetMinBattery(0.95) }, []preflight.Code{preflight.BatteryLow}},
		"several":      {func(r *rig, _ *engine.Engine) { r.moving, r.battery = 1, 0.1 }, []preflight.Code{preflight.BatteryLow, preflight.Moving}},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				r.do(func() { tt.do(r, e) })
				time.Sleep(time.Second)
				p, err := e.Plan(t.Context(), update.Request{URL: "https://u/i", Origin: update.FromCLI})
				if err != nil || !slices.Equal(codesOf(p.Reasons), tt.want) || p.WouldUpdate != (tt.want == nil) {
					t.Errorf("the plan: %+v, %v", p, err)
				}
				trigger(t, e)
				if tt.want == nil {
					wait(t, e, update.Observing)
					return
				}
				wait(t, e, update.Waiting)
				time.Sleep(3 * time.Second)
				s := e.Status()
				if !slices.Equal(codesOf(s.Reasons), tt.want) {
					t.Errorf("the update waits for %v", codesOf(s.Reasons))
				}
				time.Sleep(time.Minute)
				if p, err = e.Plan(t.Context(), update.Request{URL: "https://u/i", Origin: update.FromCLI}); err != nil || !p.Reasons[0].Since.Equal(s.Reasons[0].Since) {
					t.Errorf("since %s, the plan says %+v, %v", s.Reasons[0].Since, p.Reasons, err)
				}
			})
		})
	}
}

// quarters are starts at each quarter of an hour.
type quarters struct{}

func (quarters) Next(t time.Time) time.Time {
	return t.Truncate(15 * time.Minute).Add(15 * time.Minute)
}

// inWindow plays with a robot that has a window of five minutes every quarter
// of an hour; it begins ten minutes after one.
func inWindow(t *testing.T, f func(t *testing.T, r *rig, e *engine.Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 10, 0, 0, time.UTC)))
		r := newRig(t)
		r.gates = func(p *preflight.Policy) {
			p.Maintenance = []preflight.Window{{Spec: "quarterly", Starts: quarters{}, For: 5 * time.Minute, Zone: time.UTC}}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.live(ctx)
		e, kill := r.engine(ctx)
		defer kill()
		time.Sleep(2 * time.Second)
		f(t, r, e)
	})
}

func TestAnUpdateWaitsForItsWindow(t *testing.T) {
	inWindow(t, func(t *testing.T, r *rig, e *engine.Engine) {
		trigger(t, e)
		wait(t, e, update.Waiting)
		time.Sleep(time.Minute)
		s := e.Status()
		if !slices.Equal(codesOf(s.Reasons), []preflight.Code{preflight.OutsideWindow}) || !strings.Contains(s.Reasons[0].Lift, "from 2026-03-01T12:15:00Z on") {
			t.Fatalf("%+v", s.Reasons)
		}
		r.untouched(t, "outside of the window")
		wait(t, e, update.Writing)
		if now := time.Now().UTC(); now.Minute() != 15 {
			t.Errorf("it went on at %s", now)
		}
		wait(t, e, update.Observing)
	})
}

// An operator may go past the window, and past no other gate.
func TestAtAnyTime(t *testing.T) {
	inWindow(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.battery = 0.3 })
		time.Sleep(time.Second)
		anyTime := update.Request{URL: "https://u/i", AnyTime: true, Origin: update.FromCLI}
		if p, err := e.Plan(t.Context(), anyTime); err != nil || !slices.Equal(codesOf(p.Reasons), []preflight.Code{preflight.BatteryLow}) {
			t.Errorf("the plan: %+v, %v", p, err)
		}
		forced := anyTime
		forced.AnyTime, forced.Force = false, true
		if p, err := e.Plan(t.Context(), forced); err != nil || !slices.Contains(codesOf(p.Reasons), preflight.OutsideWindow) {
			t.Errorf("force opens a gate: %+v, %v", p, err)
		}
		if _, err := e.Trigger(t.Context(), anyTime); err != nil {
			t.Fatal(err)
		}
		wait(t, e, update.Waiting)
		time.Sleep(30 * time.Second)
		if s := e.Status(); !slices.Equal(codesOf(s.Reasons), []preflight.Code{preflight.BatteryLow}) {
			t.Errorf("%+v", s.Reasons)
		}
		r.do(func() { r.battery = 0.9 })
		wait(t, e, update.Writing)
		if now := time.Now().UTC(); now.Minute() >= 15 {
			t.Errorf("it waited for the window, until %s", now)
		}
	})
}

// "Since when" survives the agent.
func TestSinceSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.battery = 0.3
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.live(ctx)
		e, kill := r.engine(ctx)
		time.Sleep(2 * time.Second)
		trigger(t, e)
		wait(t, e, update.Waiting)
		time.Sleep(10 * time.Minute)
		before := e.Status().Reasons
		kill()
		time.Sleep(time.Hour)
		e, kill = r.engine(ctx)
		defer kill()
		time.Sleep(10 * time.Second)
		after := e.Status().Reasons
		if len(before) != 1 || len(after) != 1 || !after[0].Since.Equal(before[0].Since) {
			t.Errorf("before %+v, after %+v", before, after)
		}
		r.do(func() { r.battery = 0.9 })
		wait(t, e, update.Observing)
	})
}

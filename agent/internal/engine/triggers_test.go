package engine_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
)

// observed is a robot whose new firmware was confirmed a moment ago, after a
// life that is its baseline: a battery that loses 10 % an hour, and handshakes
// every 10 s of which none failed.
type observed struct {
	*rig
	t       *testing.T
	e       *engine.Engine
	refused atomic.Int32 // handshakes that are still to fail
	tried   atomic.Int32
}

// reboots lets the firmware reboot at these moments from now.
func (o *observed) reboots(at ...time.Duration) {
	for _, d := range at {
		o.later(d, func() { o.boots++ })
	}
}

// silentFor lets the firmware fall silent for so long.
func (o *observed) silentFor(d time.Duration) {
	o.quiet = true
	o.later(d, func() { o.quiet = false })
}

// drains lets the battery lose so much an hour, from now on.
func (o *observed) drains(perHour float64) {
	go func() {
		for range 370 {
			select {
			case <-time.After(10 * time.Second):
			case <-o.t.Context().Done():
				return
			}
			o.do(func() { o.battery -= perHour / 360 })
		}
	}()
}

// stops presses the emergency stop for ten seconds.
func (o *observed) stops(reason string) {
	o.estop = robot.EStop{Stopped: true, State: robot.EStopStopped, Reason: reason}
	o.later(10*time.Second, func() { o.estop = robot.EStop{} })
}

// Each trigger just below and just above, through the engine. One that fires
// puts the old firmware back, and the version is not tried again by itself;
// else the observation ends and the new firmware stays.
func TestTriggersOfTheObservation(t *testing.T) {
	lease := func(owner string) func(*observed) {
		return func(o *observed) {
			go func() {
				if err := o.e.Inhibit(o.t.Context(), owner, "brake test", time.Minute); err != nil {
					o.t.Error(err)
				}
				o.do(func() { o.stops("") })
			}()
		}
	}
	for name, tt := range map[string]struct {
		turn func(*observed) // with the rig's lock held
		code string          // "": none fires
		by   time.Duration   // at which it has
	}{
		"nothing happens": {func(*observed) {}, "", 0},

		"E-stop, nobody's":             {func(o *observed) { o.stops("overcurrent") }, watch.CodeEStop, time.Second},
		"E-stop without a reason":      {func(o *observed) { o.stops("") }, watch.CodeEStop, time.Second},
		"E-stop, an operator's":        {func(o *observed) { o.stops("operator: bumper test") }, "", 0},
		"E-stop, announced by a lease": {lease("operator-7"), "", 0},
		"E-stop, another's lease":      {lease("docking"), watch.CodeEStop, time.Second},

		"three reboots in 5 min":          {func(o *observed) { o.reboots(time.Second, time.Minute, 2*time.Minute) }, "", 0},
		"four reboots in just 5 min":      {func(o *observed) { o.reboots(time.Second, 100*time.Second, 200*time.Second, 300*time.Second) }, watch.CodeReboots, 301 * time.Second},
		"four reboots, the first at once": {func(o *observed) { o.boots++; o.reboots(time.Minute, 2*time.Minute, 3*time.Minute) }, watch.CodeReboots, 181 * time.Second},
		"four reboots in a little more":   {func(o *observed) { o.reboots(time.Second, 100*time.Second, 200*time.Second, 302*time.Second) }, "", 0},
		"three, and three ten minutes later": {func(o *observed) {
			o.reboots(time.Second, 2*time.Second, 3*time.Second, 10*time.Minute, 10*time.Minute+time.Second, 10*time.Minute+2*time.Second)
		}, "", 0},

		"silent for 59 s": {func(o *observed) { o.silentFor(59 * time.Second) }, "", 0},
		"silent for 61 s": {func(o *observed) { o.silentFor(61 * time.Second) }, watch.CodeSilent, 62 * time.Second},

		"5 of 20 handshakes fail": {func(o *observed) { o.refused.Store(5) }, "", 0},
		"6 of 20 handshakes fail": {func(o *observed) { o.refused.Store(6) }, watch.CodeDTLS, 202 * time.Second},

		"drains twice as fast":               {func(o *observed) { o.drains(0.20) }, "", 0},
		"drains a little more than that":     {func(o *observed) { o.drains(0.22) }, watch.CodeDrain, 45 * time.Minute},
		"drains four times as fast":          {func(o *observed) { o.drains(0.40) }, watch.CodeDrain, 11 * time.Minute},
		"drains four times as fast, charged": {func(o *observed) { o.charging = true; o.drains(0.40) }, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := shelf{tally: watch.Tally{Seconds: 3600, Charge: watch.Charge{Used: 1, Discharging: 36000}, Tries: 500}}
			var o observed
			fails := func() bool { o.tried.Add(1); return o.refused.Load() > 0 && o.refused.Add(-1) >= 0 }
			probed(t, &s, fails, func(t *testing.T, r *rig, e *engine.Engine) {
				o.rig, o.t, o.e = r, t, e
				trigger(t, e)
				wait(t, e, update.Observing)
				began := time.Now()
				r.do(func() { tt.turn(&o) })
				if tt.code == "" {
					time.Sleep(5 * time.Minute)
					wait(t, e, update.Idle)
					r.ends(t, 1, "nothing fired")
					if took := time.Since(began); took < 59*time.Minute {
						t.Errorf("the observation was over after %s", took)
					}
					return
				}
				st := wait(t, e, update.RollingBack)
				if st.Failure == nil || st.Failure.Code != tt.code || st.Since.Sub(began) > tt.by {
					t.Fatalf("after %s: %+v", st.Since.Sub(began), st.Failure)
				}
				wait(t, e, update.RolledBack)
				if recs := r.records(); len(recs) != 2 || recs[1].Failure.Code != tt.code || len(recs[1].Evidence) == 0 {
					t.Errorf("history %+v", recs)
				}
				o.staysAway()
				r.ends(t, 0, "rolled back")
			})
			if o.tried.Load() < 20 && tt.code == watch.CodeDTLS {
				t.Errorf("%d handshakes", o.tried.Load())
			}
		})
	}
}

// staysAway: the version that was put back is offered again, and not taken.
func (o *observed) staysAway() {
	o.t.Helper()
	if _, err := o.e.Trigger(o.t.Context(), update.Request{Origin: update.FromSchedule}); err != nil {
		o.t.Fatal(err)
	}
	wait(o.t, o.e, update.Idle)
	trigger(o.t, o.e)
	if s := wait(o.t, o.e, update.Failed); s.Failure.Code != "failed_before" {
		o.t.Errorf("%+v", s.Failure)
	}
}

// The firmware stops the robot, and the agent dies before it has noted that: the
// next one hears a stop that is on already, which is the firmware's all the same.
func TestAStopWhileNoAgentLived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		go r.live(t.Context())
		e, kill := r.engine(t.Context())
		time.Sleep(2 * time.Second)
		trigger(t, e)
		wait(t, e, update.Observing)
		time.Sleep(time.Minute)
		kill()
		r.do(func() { r.estop = robot.EStop{Stopped: true, State: robot.EStopStopped, Reason: "overcurrent"} })
		time.Sleep(3 * time.Second) // the stop is known before the agent is back
		e, kill = r.engine(t.Context())
		defer kill()
		if s := wait(t, e, update.RolledBack); s.Failure == nil || s.Failure.Code != watch.CodeEStop {
			t.Errorf("rolled back for %+v, want %s", s.Failure, watch.CodeEStop)
		}
	})
}

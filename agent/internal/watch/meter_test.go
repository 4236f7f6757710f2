package watch

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// life is a robot whose figures grow with fake time: a look every 10 s.
type life struct {
	f       robot.Facts
	s       float64
	perHour float64 // charge used, fraction
	speed   float64 // m/s
	silent  bool    // no odometry
	motors  string  // "": as confirmed has it
	fails   func(try uint64) bool
}

func newLife() *life {
	return &life{f: robot.Facts{Battery: robot.Battery{Fraction: 0.9, At: noon}}, perHour: 0.1, fails: func(uint64) bool { return false }}
}

// step lives 10 s: one handshake, 500 messages of odometry, 10 of the battery.
func (l *life) step() (robot.Facts, time.Time) {
	l.s += 10
	d := l.f.DTLS
	d.Tries++
	if l.fails(d.Tries) {
		d.Failures++
	}
	b := l.f.Battery
	b.Fraction -= l.perHour / 360
	b.At, d.At = at(l.s), at(l.s)
	f := l.f
	if !l.silent {
		f = f.With(robot.Odometry{Linear: l.speed, Messages: 500, At: at(l.s)})
	}
	f = confirmed(f.With(d), l.s, 7).With(b)
	if l.motors != "" {
		f.Firmware.Motors = l.motors
	}
	l.f = f
	l.f.Heard.Battery += 9
	return l.f, at(l.s)
}

// learned is the baseline after some hours of this life.
func (l *life) learned(d time.Duration) Tally {
	var learner Learner
	for range int(d / (10 * time.Second)) {
		learner = learner.Look(l.step())
	}
	return learner.Baseline()
}

// observed is the alarm within d of this life, and what was seen by then.
func (l *life) observed(d time.Duration, base Tally) (*Alarm, Observation) {
	o := NewObservation(DefaultObservePolicy(), next, l.f, at(l.s)).Against(base)
	var a *Alarm
	for range int(d / (10 * time.Second)) {
		if o, a = o.Look(l.step()); a != nil {
			break
		}
	}
	return a, o
}

func TestHandshakeFailures(t *testing.T) {
	first := func(n uint64) func(uint64) bool { return func(try uint64) bool { return try <= n } }
	every := func(n uint64) func(uint64) bool { return func(try uint64) bool { return try%n == 0 } }
	tests := []struct {
		name  string
		tries int
		fails func(uint64) bool
		fires bool
	}{
		{"none of a day", 8640, first(0), false},
		{"all of 19: too few to judge", 19, first(19), false},
		{"all of 20", 20, first(20), true},
		{"5 of 20: chance with 5 %, once in 390", 20, first(5), false},
		{"6 of 20: once in 3,000", 20, first(6), true},
		{"each 20th of a day: 5 %", 8640, every(20), false},
		{"each 19th of a day: 5.3 %, not told from 5 %", 8640, every(19), false},
		{"each 14th of a day: 7 %", 8640, every(14), true},
		{"good for 12 hours, then each 5th", 4320 + 360, func(try uint64) bool { return try > 4320 && try%5 == 0 }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLife()
			l.fails = tt.fails
			a, o := l.observed(time.Duration(tt.tries)*10*time.Second, Tally{})
			if (a != nil) != tt.fires || (a != nil && a.Code != CodeDTLS) {
				t.Fatalf("%+v after %v", a, o.meter.sum)
			}
		})
	}
	l := newLife()
	l.fails = every(3)
	base := l.learned(time.Hour)
	if a, o := l.observed(time.Hour, base); a != nil || !slices.ContainsFunc(o.Evidence(), func(s string) bool { return strings.Contains(s, "they failed before") }) {
		t.Errorf("the new firmware is blamed for what failed before: %+v, %q", a, o.Evidence())
	}
}

func TestTailIsTheBinomials(t *testing.T) {
	for _, tt := range []struct {
		n, k int
		want float64
	}{{1, 1, 0.05}, {2, 1, 0.0975}, {20, 0, 1}, {20, 1, 1 - math.Pow(0.95, 20)}, {20, 20, math.Pow(0.05, 20)}} {
		if got := tail(tt.n, tt.k, 0.05); math.Abs(got/tt.want-1) > 1e-9 {
			t.Errorf("tail(%d, %d) = %g, want %g", tt.n, tt.k, got, tt.want)
		}
	}
}

func TestBatteryDrain(t *testing.T) {
	learned := newLife().learned(10 * time.Hour) // 10 % an hour, known to 0.1 %
	idle := func(perHour float64) Tally { return Tally{Seconds: 14400, Charge: Charge{10 * perHour, 36000}} }
	both := idle(0.03)
	both.Work = Charge{1.2, 36000} // 3 % an hour standing, 12 % at work
	drives := func(l *life) { l.speed = 0.4 }
	tests := []struct {
		name    string
		base    Tally
		perHour float64
		lives   time.Duration
		change  func(*life)
		fires   bool
	}{
		{"as before", learned, 0.1, 3 * time.Hour, nil, false},
		{"twice", learned, 0.2, 3 * time.Hour, nil, false},
		{"more than twice, for an hour", learned, 0.22, 62 * time.Minute, nil, true},
		{"more than twice, for less than what tells it", learned, 0.22, 30 * time.Minute, nil, false},
		{"threefold, just below ten minutes", learned, 0.3, 9*time.Minute + 50*time.Second, nil, false},
		{"threefold", learned, 0.3, 10*time.Minute + 20*time.Second, nil, true},
		{"no baseline", Tally{}, 0.9, 3 * time.Hour, nil, false},
		{"59 minutes of a baseline", newLife().learned(59 * time.Minute), 0.9, time.Hour, nil, false},
		{"it stood before, and goes to work", idle(0.03), 0.3, 3 * time.Hour, drives, false},
		{"standing, fourfold", both, 0.12, time.Hour, nil, true},
		{"at work as before", both, 0.12, 3 * time.Hour, drives, false},
		{"at work, twice", both, 0.24, 3 * time.Hour, drives, false},
		{"at work, more than twice", both, 0.3, time.Hour, drives, true},
		{"without odometry, motors busy as before", both, 0.12, time.Hour, func(l *life) { l.silent, l.motors = true, "running" }, false},
		{"without odometry, motors idle", both, 0.12, time.Hour, func(l *life) { l.silent, l.motors = true, "idle" }, true},
		{"motors said to be busy, of a robot that stands", both, 0.12, time.Hour, func(l *life) { l.motors = "running" }, true},
		{"a baseline of nothing at all, then next to nothing", idle(0), 0.04, 3 * time.Hour, nil, false},
		{"a baseline of a battery that gained, then next to nothing", idle(-0.05), 0.04, 3 * time.Hour, nil, false},
		{"a baseline of nothing at all, then more", idle(0), 0.06, 3 * time.Hour, nil, true},
		{"charging", learned, 0.9, time.Hour, func(l *life) { l.f.Battery.Charging = true }, false},
		{"a driver that does not know", learned, math.NaN(), time.Hour, nil, false},
		{"a battery that was changed", learned, 0.1, time.Hour, func(l *life) { l.f.Battery.Fraction = 0.1 }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLife()
			l.step()
			l.perHour = tt.perHour
			if tt.change != nil {
				tt.change(l)
			}
			a, o := l.observed(tt.lives, tt.base)
			if (a != nil) != tt.fires || (a != nil && a.Code != CodeDrain) {
				t.Fatalf("%+v after %+v", a, o.meter.sum)
			}
		})
	}
}

func TestADrainThatBeginsLateIsFound(t *testing.T) {
	l := newLife()
	base := l.learned(10 * time.Hour)
	l.f.Battery.Fraction = 0.9
	o := NewObservation(DefaultObservePolicy(), next, l.f, at(l.s)).Against(base)
	var a *Alarm
	for i := range 6 * 360 {
		if i == 4*360 {
			l.perHour = 0.5
		}
		if o, a = o.Look(l.step()); a != nil {
			break
		}
	}
	if a == nil || a.Code != CodeDrain {
		t.Fatalf("%+v, %+v", a, o.meter.sum)
	}
}

func TestEvidenceHoldsTheTopicRates(t *testing.T) {
	l := newLife()
	base := l.learned(2 * time.Hour)
	_, o := l.observed(time.Hour, base)
	all := strings.Join(o.Evidence(), "\n")
	for _, want := range []string{"odometry 50.0 Hz before the update, 50.0 Hz in the observation", "diagnostics 0.1 Hz before", "battery 1.0 Hz before",
		"battery drain: 10.0 % an hour in the observation, 10.5 % for the same work before the update", "DTLS in the observation: 0 of 360 handshakes failed (before the update 0 of 719)"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	_, o = newLife().observed(time.Minute, Tally{})
	all = strings.Join(o.Evidence(), "\n")
	for _, want := range []string{"odometry unknown before", "battery drain in the observation: no verdict: before the update 0.0 min", "no verdict: it takes 20"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
}

func TestNothingIsLostBetweenLooksOfOneMoment(t *testing.T) {
	o := NewObservation(DefaultObservePolicy(), next, robot.Facts{}, noon)
	f := robot.Facts{}
	for i := range 10 {
		f = f.With(robot.Odometry{}).With(robot.DTLS{Tries: uint64(i + 1)})
		o, _ = o.Look(f, at(1))
	}
	if s := o.meter.sum; s.Odometry != 10 || s.Tries != 10 || s.Seconds != 1 {
		t.Errorf("%+v", s)
	}
}

func TestReadingsFarApartSayNothingOfTheDrain(t *testing.T) {
	for gap, want := range map[float64]float64{60: 60, 60.1: 0} {
		a := robot.Facts{}.With(robot.Battery{Fraction: 0.5, At: noon})
		if got := between(a, a.With(robot.Battery{Fraction: 0.49, At: at(gap)}), gap); got.Discharging != want {
			t.Errorf("%v s apart: %+v", gap, got)
		}
	}
}

func TestTrialCounts(t *testing.T) {
	p := DefaultTrialPolicy()
	p.Window = 10 * time.Minute
	for failed, code := range map[uint64]string{5: "", 6: CodeDTLS} {
		tr := NewTrial(p, next, was, noon).Against(Tally{})
		var f robot.Facts
		var v Verdict
		for s := 1.0; s <= 602 && v.Phase < Passed; s++ {
			w := word(next, s)
			w.OTAState, w.SelfTest = "valid", "passed"
			if tries := uint64(s) / 30; tries > f.DTLS.Tries {
				f = f.With(robot.DTLS{Tries: tries, Failures: min(tries, failed), At: at(s)})
			}
			f = f.With(w)
			tr, v = tr.Look(f, at(s))
		}
		if v.Code != code || v.Phase < Passed {
			t.Errorf("%d of 20 failed: %+v", failed, v)
		}
	}
}

func TestAnOperatorsStopInTheTrialMayBeReleased(t *testing.T) {
	seen := slices.Insert(good(), 9, []robot.Observation{
		robot.EStop{Stopped: true, State: robot.EStopStopped, Reason: "operator", At: at(9.2)},
		robot.EStop{State: robot.EStopRecovery, At: at(9.5)}, robot.EStop{At: at(9.8)},
	}...)
	if v := play(DefaultTrialPolicy(), seen); v.Phase != Passed {
		t.Errorf("%+v", v)
	}
}

func TestLearner(t *testing.T) {
	l := newLife()
	base := l.learned(100 * time.Hour)
	if base.Discharging > rememberedDischarging || base.Seconds > rememberedSeconds || base.Tries > rememberedTries {
		t.Errorf("it remembers for ever: %+v", base)
	}
	if got := base.perHour(); math.Abs(got-10) > 0.01 {
		t.Errorf("%.3f %% an hour, want 10", got)
	}
	ln := NewLearner(Tally{})
	ln = ln.Look(l.step()).Pause()
	l.perHour = 100
	l.step()
	l.perHour = 0.1
	if ln = ln.Look(l.step()).Look(l.step()); math.Abs(ln.Baseline().perHour()-10) > 0.01 {
		t.Errorf("what happened in the pause was learned: %+v", ln.Baseline())
	}
	if got := NewLearner(Tally{Work: Charge{Used: math.NaN()}}).Baseline(); got != (Tally{}) {
		t.Errorf("went on from %+v", got)
	}
}

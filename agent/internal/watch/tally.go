package watch

import (
	"math"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// Tally is what was counted over a time. That of the time before an update is
// the baseline against which the new firmware is held.
type Tally struct {
	// Seconds of the counting, and the messages heard in them.
	Seconds     float64 `json:"seconds"`
	Odometry    float64 `json:"odometry"`
	Diagnostics float64 `json:"diagnostics"`
	Battery     float64 `json:"battery"`
	// What went out of the battery while the robot stood, and while it was at
	// work. Agents of before counted both as standing.
	Charge
	Work Charge `json:"work"`
	// DTLS handshakes.
	Tries    float64 `json:"tries"`
	Failures float64 `json:"failures"`
}

func (t Tally) plus(u Tally, sign float64) Tally {
	return Tally{
		Seconds: t.Seconds + sign*u.Seconds, Odometry: t.Odometry + sign*u.Odometry,
		Diagnostics: t.Diagnostics + sign*u.Diagnostics, Battery: t.Battery + sign*u.Battery,
		Charge: t.Charge.plus(u.Charge, sign), Work: t.Work.plus(u.Work, sign),
		Tries: t.Tries + sign*u.Tries, Failures: t.Failures + sign*u.Failures,
	}
}

// Charge is the charge, a fraction, that went in the Discharging seconds.
type Charge struct {
	Used        float64 `json:"used"`
	Discharging float64 `json:"discharging"`
}

func (c Charge) plus(d Charge, sign float64) Charge {
	return Charge{c.Used + sign*d.Used, c.Discharging + sign*d.Discharging}
}

// fade forgets half of what is more than is remembered.
func (c Charge) fade() Charge {
	if c.Discharging > rememberedDischarging {
		return Charge{c.Used / 2, c.Discharging / 2}
	}
	return c
}

// perHour is the charge used in an hour, in percent; NaN where none was seen.
func (c Charge) perHour() float64 { return 100 * c.Used / c.Discharging * 3600 }

// sane says that t can have been counted: what a file holds may be anything.
func (t Tally) sane() bool {
	for _, x := range []float64{t.Seconds, t.Odometry, t.Diagnostics, t.Battery, t.Discharging, t.Work.Discharging, t.Tries, t.Failures} {
		if !(x >= 0 && x <= 1e12) {
			return false
		}
	}
	for _, x := range []float64{t.Used, t.Work.Used} {
		if !(x >= -1e6 && x <= 1e6) {
			return false
		}
	}
	return t.Failures <= t.Tries
}

// How two readings of the battery must follow each other so that their
// difference is what the robot has used: not too far apart, and no leap, such
// as a battery that was changed or a reading that was none.
const (
	batteryGap  = time.Minute
	batteryLeap = 0.05
)

// between is what was counted from one look at the facts to the next.
func between(was, is robot.Facts, seconds float64) Tally {
	t := Tally{
		Seconds:  seconds,
		Odometry: grown(was.Heard.Odometry, is.Heard.Odometry), Diagnostics: grown(was.Heard.Diagnostics, is.Heard.Diagnostics),
		Battery: grown(was.Heard.Battery, is.Heard.Battery),
	}
	if d, e := was.DTLS, is.DTLS; e.Tries >= d.Tries && e.Failures >= d.Failures {
		t.Tries, t.Failures = float64(e.Tries-d.Tries), float64(e.Failures-d.Failures)
	}
	a, b := was.Battery, is.Battery
	gap, used := b.At.Sub(a.At), a.Fraction-b.Fraction
	if !a.At.IsZero() && gap > 0 && gap <= batteryGap && !a.Charging && !b.Charging && math.Abs(used) <= batteryLeap {
		c := &t.Charge
		if works(was) || works(is) {
			c = &t.Work
		}
		*c = Charge{used, gap.Seconds()}
	}
	return t
}

// More than this is motion, in m/s and rad/s: what odometry measures of a robot
// that stands.
const (
	standsLinear  = 0.01
	standsAngular = 0.02
)

// works says whether the robot does what takes more charge than standing about.
// Motion tells it, which the firmware cannot feign by a word; its motors' state
// tells it of a robot that has published no odometry for a minute.
func works(f robot.Facts) bool {
	if f.Battery.At.Sub(f.Odometry.At) > batteryGap {
		return f.Firmware.MotorsBusy()
	}
	return math.Abs(f.Odometry.Linear) > standsLinear || math.Abs(f.Odometry.Angular) > standsAngular
}

func grown(was, is uint64) float64 {
	if is < was {
		return 0
	}
	return float64(is - was)
}

// Learner learns the baseline of a robot while no update is going on.
type Learner struct {
	sum  Tally
	last robot.Facts
	at   time.Time // of the last look; zero: there was none to go on from
}

// NewLearner goes on from what was learned before; one that cannot be right is
// forgotten.
func NewLearner(before Tally) Learner {
	if !before.sane() {
		before = Tally{}
	}
	return Learner{sum: before}
}

// Baseline is what was learned so far.
func (l Learner) Baseline() Tally { return l.sum }

// Pause ends the learning until the next look.
func (l Learner) Pause() Learner { return Learner{sum: l.sum} }

// How much is remembered: after so much the older half is let fade, so that a
// robot's baseline follows its battery's age and its work.
const (
	rememberedSeconds     = 4 * 3600.0
	rememberedDischarging = 48 * 3600.0
	rememberedTries       = 2000.0
)

// Look is the learner after a look at the facts of now.
func (l Learner) Look(f robot.Facts, now time.Time) Learner {
	if s := now.Sub(l.at).Seconds(); !l.at.IsZero() && s >= 0 && s <= batteryGap.Seconds() {
		l.sum = l.sum.plus(between(l.last, f, s), 1)
	}
	l.last, l.at = f, now
	if s := &l.sum; s.Seconds > rememberedSeconds {
		s.Seconds, s.Odometry, s.Diagnostics, s.Battery = s.Seconds/2, s.Odometry/2, s.Diagnostics/2, s.Battery/2
	}
	l.sum.Charge, l.sum.Work = l.sum.Charge.fade(), l.sum.Work.fade()
	if s := &l.sum; s.Tries > rememberedTries {
		s.Tries, s.Failures = s.Tries/2, s.Failures/2
	}
	return l
}

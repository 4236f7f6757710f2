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
	// Used is the charge, a fraction, that went in the Discharging seconds.
	Used        float64 `json:"used"`
	Discharging float64 `json:"discharging"`
	// DTLS handshakes.
	Tries    float64 `json:"tries"`
	Failures float64 `json:"failures"`
}

func (t Tally) plus(u Tally, sign float64) Tally {
	return Tally{
		Seconds: t.Seconds + sign*u.Seconds, Odometry: t.Odometry + sign*u.Odometry,
		Diagnostics: t.Diagnostics + sign*u.Diagnostics, Battery: t.Battery + sign*u.Battery,
		Used: t.Used + sign*u.Used, Discharging: t.Discharging + sign*u.Discharging,
		Tries: t.Tries + sign*u.Tries, Failures: t.Failures + sign*u.Failures,
	}
}

// sane says that t can have been counted: what a file holds may be anything.
func (t Tally) sane() bool {
	for _, x := range []float64{t.Seconds, t.Odometry, t.Diagnostics, t.Battery, t.Discharging, t.Tries, t.Failures} {
		if !(x >= 0 && x <= 1e12) {
			return false
		}
	}
	return t.Used >= -1e6 && t.Used <= 1e6 && t.Failures <= t.Tries
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
		t.Used, t.Discharging = used, gap.Seconds()
	}
	return t
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
	if s := &l.sum; s.Discharging > rememberedDischarging {
		s.Discharging, s.Used = s.Discharging/2, s.Used/2
	}
	if s := &l.sum; s.Tries > rememberedTries {
		s.Tries, s.Failures = s.Tries/2, s.Failures/2
	}
	return l
}

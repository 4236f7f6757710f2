package watch

import (
	"fmt"
	"math"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// MeterPolicy sets the triggers that are told by counting, in the trial as in
// the observation. Each is judged over the latest hour, so that a firmware
// that turns bad late is found, and over the whole time, so that a small but
// lasting fault is.
type MeterPolicy struct {
	// Handshakes: more than MaxFailures of them, a fraction, may not fail. It
	// takes at least MinTries, and a number of failures that would come about
	// by chance with a probability below Chance if the rate were MaxFailures.
	MaxFailures float64
	MinTries    int
	Chance      float64
	// Battery: it may not drain more than MaxDrain times as fast as it did
	// before the update, standing held against standing and work against work.
	// What was not seen for MinLearned of discharging before is left out, and
	// it takes MinDischarge of the rest after. Resolution is what a reading may
	// be off by; it is granted before and after. A robot that used less than
	// Floor, a fraction an hour, counts as one that used that: twice nothing is
	// nothing.
	MaxDrain                 float64
	MinLearned, MinDischarge time.Duration
	Resolution               float64
	Floor                    float64
}

// DefaultMeterPolicy is the mission's 5 % and twofold. With its floor a charge
// lasts for two days.
func DefaultMeterPolicy() MeterPolicy {
	return MeterPolicy{
		MaxFailures: 0.05, MinTries: 20, Chance: 0.001,
		MaxDrain: 2, MinLearned: time.Hour, MinDischarge: 10 * time.Minute, Resolution: 0.01, Floor: 0.02,
	}
}

// Marks are kept of the latest hour, a minute apart.
const (
	markEvery = time.Minute
	markTime  = time.Hour
)

type mark struct {
	at  time.Time
	sum Tally
}

// meter counts from a moment on, and holds it against the baseline.
type meter struct {
	in    string // what of: the trial, the observation
	base  Tally
	sum   Tally
	last  robot.Facts
	at    time.Time
	marks []mark // never changed, only replaced
}

// look is the meter after a look at the facts of now; the first one begins it.
func (m meter) look(f robot.Facts, now time.Time) meter {
	if !m.at.IsZero() {
		m.sum = m.sum.plus(between(m.last, f, max(0, now.Sub(m.at).Seconds())), 1)
	}
	if n := len(m.marks); n == 0 || now.Sub(m.marks[n-1].at) >= markEvery {
		m.marks = append(m.marks[:n:n], mark{now, m.sum})
		for len(m.marks) > 1 && now.Sub(m.marks[1].at) >= markTime {
			m.marks = m.marks[1:]
		}
	}
	m.last, m.at = f, now
	return m
}

// recent is what was counted in the latest hour.
func (m meter) recent() Tally {
	if len(m.marks) == 0 {
		return m.sum
	}
	return m.sum.plus(m.marks[0].sum, -1)
}

// alarm is a trigger that fires, nil for none.
func (m meter) alarm(p MeterPolicy) *Alarm {
	for _, t := range []Tally{m.recent(), m.sum} {
		if p.fails(t) && !p.fails(m.base) { // what failed before is not the new firmware's fault
			return &Alarm{Code: CodeDTLS, Text: fmt.Sprintf("%.0f of %.0f DTLS handshakes failed, more than %.0f %%", t.Failures, t.Tries, 100*p.MaxFailures)}
		}
		if p.drains(t, m.base) {
			seen, normal := p.comparable(t, m.base)
			return &Alarm{Code: CodeDrain, Text: fmt.Sprintf("the battery drains %.1f %% an hour, more than %g times the %.1f %% that the robot used at the same work before the update",
				seen.perHour(), p.MaxDrain, Charge{normal, seen.Discharging}.perHour())}
		}
	}
	return nil
}

// fails is the one-sided exact binomial test of the failure rate.
func (p MeterPolicy) fails(t Tally) bool {
	if t.Tries < float64(p.MinTries) || t.Failures <= p.MaxFailures*t.Tries {
		return false
	}
	return tail(int(math.Round(t.Tries)), int(math.Round(t.Failures)), p.MaxFailures) < p.Chance
}

// tail is the probability of at least k failures in n tries of which each
// fails with probability p, 0 < p < 1.
func tail(n, k int, p float64) float64 {
	logFactorial := func(x int) float64 { l, _ := math.Lgamma(float64(x) + 1); return l }
	term := math.Exp(logFactorial(n) - logFactorial(k) - logFactorial(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += term
		term *= float64(n-i) / float64(i+1) * p / (1 - p)
		if float64(i) > p*float64(n) && term < 1e-12*sum { // beyond the mode terms only fall
			break
		}
	}
	return sum
}

func (p MeterPolicy) learned(base Charge) bool {
	return base.Discharging >= p.MinLearned.Seconds()
}

// normal is what a robot of that baseline uses in a second.
func (p MeterPolicy) normal(base Charge) float64 {
	return max(p.Floor/3600, (base.Used+p.Resolution)/base.Discharging)
}

// comparable is what of t there is a baseline for, and what a robot of that
// baseline would have used in its time.
func (p MeterPolicy) comparable(t, base Tally) (seen Charge, normal float64) {
	for _, c := range [...]struct{ is, was Charge }{{t.Charge, base.Charge}, {t.Work, base.Work}} {
		if p.learned(c.was) {
			seen = seen.plus(c.is, 1)
			normal += p.normal(c.was) * c.is.Discharging
		}
	}
	return seen, normal
}

func (p MeterPolicy) drains(t, base Tally) bool {
	seen, normal := p.comparable(t, base)
	return seen.Discharging >= p.MinDischarge.Seconds() && seen.Used-p.Resolution > p.MaxDrain*normal
}

// evidence says what was counted, before and after.
func (m meter) evidence(p MeterPolicy) []string {
	var out []string
	for _, topic := range []struct {
		name          string
		before, after float64
	}{
		{"odometry", m.base.Odometry, m.sum.Odometry},
		{"diagnostics", m.base.Diagnostics, m.sum.Diagnostics},
		{"battery", m.base.Battery, m.sum.Battery},
	} {
		out = append(out, fmt.Sprintf("%s %s before the update, %s in the %s", topic.name,
			rate(topic.before, m.base.Seconds), rate(topic.after, m.sum.Seconds), m.in))
	}
	return append(out, m.handshakes(p), m.drain(p))
}

func rate(n, seconds float64) string {
	if seconds < 1 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f Hz", n/seconds)
}

func (m meter) handshakes(p MeterPolicy) string {
	s := fmt.Sprintf("DTLS in the %s: %.0f of %.0f handshakes failed (before the update %.0f of %.0f)", m.in, m.sum.Failures, m.sum.Tries, m.base.Failures, m.base.Tries)
	switch {
	case m.sum.Tries < float64(p.MinTries):
		s += fmt.Sprintf("; no verdict: it takes %d", p.MinTries)
	case p.fails(m.base):
		s += "; no verdict: they failed before"
	}
	return s
}

func (m meter) drain(p MeterPolicy) string {
	seen, normal := p.comparable(m.sum, m.base)
	switch {
	case !p.learned(m.base.Charge) && !p.learned(m.base.Work):
		return fmt.Sprintf("battery drain in the %s: no verdict: before the update %.1f min of discharging were seen while it stood and %.1f min at work; it takes %.0f of either",
			m.in, m.base.Discharging/60, m.base.Work.Discharging/60, p.MinLearned.Minutes())
	case seen.Discharging < p.MinDischarge.Seconds():
		return fmt.Sprintf("battery drain in the %s: no verdict: %.1f min of discharging seen that can be compared, it takes %.0f", m.in, seen.Discharging/60, p.MinDischarge.Minutes())
	}
	return fmt.Sprintf("battery drain: %.1f %% an hour in the %s, %.1f %% for the same work before the update",
		seen.perHour(), m.in, Charge{normal, seen.Discharging}.perHour())
}

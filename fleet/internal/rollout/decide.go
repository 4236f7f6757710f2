package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// named is how many robots a decision names of each kind.
const named = 10

// Decide gives the state that follows, and the decision that leads there. Its
// verdict is Wait as long as nothing changes, and Measure where it needs the
// robots' windows: then it is called again with them.
func Decide(p Plan, s State, o Observations, now time.Time) (State, Decision) {
	if !s.Phase.Active() {
		return s, s.decision(Wait, CodeOrdered, now, "the rollout is "+string(s.Phase))
	}
	v := look{p: p, o: o, now: now, counts: count(p, s, o, now)}
	s, d := v.decide(s)
	if d.Verdict == Measure {
		return s, d
	}
	d.Counts, d.Checks = v.counts, append(v.checks, s.Tests...)
	if d.Verdict == Advance || d.Verdict == Complete {
		d.Checks = append(v.checks, v.tests...)
	}
	s.Latest = d
	return s, d
}

// look is one look at a rollout.
type look struct {
	p      Plan
	o      Observations
	now    time.Time
	counts Counts
	checks []Check // of what halts at any time
	tests  []Check // of the stage's gate
}

func (v *look) decide(s State) (State, Decision) {
	if v.o.Withdrawn != "" {
		return s.halt(CodeWithdrawn, v.now, "the release cannot be offered any more: "+v.o.Withdrawn)
	}
	for _, check := range []struct {
		code Code
		Check
	}{{CodeTrigger, v.triggers()}, {CodeFailures, v.failures(v.p.FalseAlarms / always)}} {
		v.checks = append(v.checks, check.Check)
		if check.Result == Bad {
			return s.halt(check.code, v.now, "halted: "+check.Text)
		}
	}
	if s.Phase == Paused {
		return s, s.decision(Wait, CodePaused, v.now, "paused: nobody is offered the release")
	}
	if s.Stage == Internal {
		return v.internal(s)
	}
	if s.Filled.IsZero() && !v.filled(s) {
		return s, v.updating(s)
	}
	if s.Filled.IsZero() {
		s.Filled = v.now
		s.NextLook = v.now.Add(v.p.Steps.Of(s.Stage).Watch / 2)
		if s.Stage == Full {
			s.NextLook = v.now.Add(v.p.Steps.Full.Watch)
		}
	}
	if v.now.Before(s.NextLook) {
		return s, v.watching(s)
	}
	if !v.o.Measured {
		return s, s.decision(Measure, CodeMeasure, v.now, "")
	}
	if s.Stage == Full {
		return v.full(s)
	}
	return v.gate(s)
}

// always is the part of a gate's false alarms that the limit on failures has
// at any time: it is asked again and again, so each answer has to be rare.
const always = 50

// triggers are rollback triggers that robots with the release reported.
func (v *look) triggers() Check {
	c := Check{Name: "triggers", Result: Good, Text: "no rollback trigger was reported"}
	var what []string
	for _, r := range v.o.Robots {
		if r.Trigger != "" {
			c.Robots = append(c.Robots, r.ID)
			if !slices.Contains(what, r.Trigger) {
				what = append(what, r.Trigger)
			}
		}
	}
	if n := len(c.Robots); n > 0 {
		c.Result = Bad
		c.Text = fmt.Sprintf("rollback triggers on %s: %s", robots(n), strings.Join(what, ", "))
		c.Robots = c.Robots[:min(n, named)]
	}
	return c
}

// failures compares the updates that failed with the plan's limit.
func (v *look) failures(alpha float64) Check {
	n, bad := v.updates(func(r Robot) bool { return true })
	c := Check{Name: "failures", Result: Good, Text: fmt.Sprintf("%d of %d updates failed or were rolled back", len(bad), n)}
	t := v.againstLimit(len(bad), n, alpha)
	c.Tests = []Test{t}
	if t.P <= alpha {
		c.Result, c.Robots = Bad, bad[:min(len(bad), named)]
		c.Text += fmt.Sprintf(": more than %.2g %%, so many would be a chance of %.2g", 100*v.p.FailureRate, t.P)
	}
	return c
}

// updates counts those that ended, and names the robots of such that went wrong
// in that way.
func (v *look) updates(counts func(Robot) bool) (n int, bad []string) {
	for _, r := range v.o.Robots {
		switch {
		case r.Fault():
			n++
			if counts(r) {
				bad = append(bad, r.ID)
			}
		case r.Outcome == Confirmed:
			n++
		}
	}
	return n, bad
}

func (v *look) againstLimit(hits, n int, alpha float64) Test {
	t := Test{Method: "binomial", Treated: n, TreatedHits: hits, P: binomialTail(hits, n, v.p.FailureRate), Alpha: alpha, Margin: v.p.FailureRate, Unit: "share of updates"}
	if n > 0 {
		t.Effect = float64(hits) / float64(n)
	}
	return t
}

// rollbacks are robots that tried the release and put it back by themselves. No
// firmware that is fine does that, so one of them is enough for a person to look
// at it, unless there are so many robots that the share is shown to be within the limit.
func (v *look) rollbacks(alpha float64) Check {
	n, bad := v.updates(func(r Robot) bool { return r.Outcome == RolledBack })
	c := Check{Name: "rollbacks", Result: Good, Text: fmt.Sprintf("%d of %d robots put it back", len(bad), n), Robots: bad[:min(len(bad), named)]}
	t := v.againstLimit(len(bad), n, alpha)
	shown := t
	shown.Method, shown.Alpha = methodMargin, shownBy
	shown.P = 1 - binomialTail(len(bad)+1, n, v.p.FailureRate) // of so few, if the rate is as high as the limit
	c.Tests = []Test{t, shown}
	switch {
	case t.P <= alpha:
		c.Result = Bad
		c.Text += fmt.Sprintf(": more than chance and the limit of %.2g %% explain (p = %.2g)", 100*v.p.FailureRate, t.P)
	case len(bad) > 0 && shown.P > shownBy:
		c.Result = Unclear
		c.Text += fmt.Sprintf(" (%s); that this is less than %.2g %% of the fleet is not shown", strings.Join(c.Robots, ", "), 100*v.p.FailureRate)
	}
	return c
}

// filled says whether nobody is waited for: all of the stage have taken the
// release or failed, or those that have not are away, or patience is over.
func (v *look) filled(s State) bool {
	open := v.now.Sub(s.Opened)
	switch {
	case v.counts.Pending == 0:
		return true
	case open >= v.p.Steps.Of(s.Stage).Patience:
		return true
	case s.Stage == Full || open < v.p.Away:
		return false
	}
	return v.counts.Pending == v.counts.Away
}

// updating waits for robots to take the release.
func (v *look) updating(s State) Decision {
	c := v.counts
	text := fmt.Sprintf("%d of %d robots have taken it; waiting for %d", c.Confirmed, c.Turn, c.Pending)
	if c.Away > 0 {
		text += fmt.Sprintf(", of which %d are away", c.Away)
	}
	if c.Unfit > 0 {
		text += fmt.Sprintf("; %s: %s", v.unfit(), strings.Join(c.UnfitRobots, ", "))
		return s.decision(Wait, CodeCompanions, v.now, text)
	}
	return s.decision(Wait, CodeUpdating, v.now, text)
}

func (v *look) unfit() string {
	return fmt.Sprintf("%s another companion version before the release fits (protocol %d)", plural(v.counts.Unfit, "robot needs", "robots need"), v.p.Protocol)
}

// watching waits for the next look of the gate.
func (v *look) watching(s State) Decision {
	text := fmt.Sprintf("%s took it; watched since %s, the gate looks at %s", robots(v.counts.Confirmed), clock(s.Filled), clock(s.NextLook))
	return s.decision(Wait, CodeWatching, v.now, text)
}

// ask asks a person, once: afterwards it waits for the answer.
func (v *look) ask(s State, code Code, text string) (State, Decision) {
	if s.Phase == Asking {
		return s, s.decision(Wait, code, v.now, text)
	}
	d := s.decision(Ask, code, v.now, text+"; promote it by hand, or halt it")
	s.Phase, s.Asked = Asking, v.now
	return s, d
}

// count counts the robots that have their turn.
func count(p Plan, s State, o Observations, now time.Time) Counts {
	c := Counts{Robots: len(o.Robots)}
	for _, r := range o.Robots {
		if s.Stage.Before(r.Stage) {
			continue
		}
		c.Turn++
		if !r.Offered.IsZero() {
			c.Offered++
		}
		switch r.Outcome {
		case Confirmed:
			c.Confirmed++
		case Failed:
			c.Failed++
		case RolledBack:
			c.RolledBack++
		case Trying, Pending:
			c.pending(p, r, now)
		}
	}
	return c
}

func (c *Counts) pending(p Plan, r Robot, now time.Time) {
	c.Pending++
	if r.Outcome == Trying {
		c.Trying++
	}
	if len(c.PendingRobots) < named {
		c.PendingRobots = append(c.PendingRobots, r.ID)
	}
	if now.Sub(r.Heard) > p.Away {
		c.Away++
		return
	}
	if r.Unfit != "" {
		c.Unfit++
		if len(c.UnfitRobots) < named {
			c.UnfitRobots = append(c.UnfitRobots, r.ID)
		}
	}
}

func robots(n int) string { return plural(n, "robot", "robots") }

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

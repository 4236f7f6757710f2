package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// okShare is the share of the watch of which a test robot has to have reported
// OK; the rest are gaps of its line, not WARN or ERROR.
const okShare = 0.9

// internal opens when every test robot was OK for the whole watch.
func (v *look) internal(s State) (State, Decision) {
	watch, late := v.p.Steps.Internal.Watch, v.now.Sub(s.Opened) >= v.p.Steps.Internal.Patience
	if v.counts.Turn == 0 {
		return v.ask(s, CodeAlone, "no test robots are named")
	}
	if bad := v.failed(); bad != "" {
		return v.ask(s, CodeUnhealthy, "the update did not succeed on "+bad)
	}
	if v.counts.Pending > 0 {
		d := v.updating(s)
		if late {
			return v.ask(s, d.Code, d.Text)
		}
		return s, d
	}
	if s.Filled.IsZero() {
		s.Filled = v.now
	}
	due := s.NextLook
	for _, r := range v.o.Robots {
		if at := r.Confirmed.Add(watch); r.Stage == Internal && at.After(due) {
			due = at
		}
	}
	if v.now.Before(due) {
		if s.Phase == Asking {
			return s, s.decision(Wait, CodeUnhealthy, v.now, s.Latest.Text)
		}
		s.NextLook = due
		return s, v.watching(s)
	}
	if !v.o.Measured {
		return s, s.decision(Measure, CodeMeasure, v.now, "")
	}
	s.Looks++
	s.NextLook = v.now.Add(watch / 24)
	check := v.healthy(watch)
	v.tests = []Check{check}
	if check.Result == Good {
		return s.advance(CodeGood, v.now, check.Text)
	}
	s.Tests = v.tests
	if late {
		return v.ask(s, CodeUnhealthy, check.Text)
	}
	return s, s.decision(Wait, CodeUnhealthy, v.now, check.Text)
}

// failed names robots on which the update failed.
func (v *look) failed() string {
	var all []string
	for _, r := range v.o.Robots {
		if r.Stage == Internal && (r.Outcome == Failed || r.Outcome == RolledBack) {
			all = append(all, fmt.Sprintf("%s (%s)", r.ID, r.Code))
		}
	}
	return strings.Join(all[:min(len(all), named)], ", ")
}

// healthy looks at each test robot's last hours.
func (v *look) healthy(watch time.Duration) Check {
	c := Check{Name: "healthy", Result: Good}
	n := 0
	for _, r := range v.o.Robots {
		if r.Stage != Internal {
			continue
		}
		n++
		w := r.Recent
		if bad := w.Warn + w.Error + w.Silent; bad > 0 || w.OK < okShare*watch.Minutes() {
			c.Result = Bad
			c.Robots = append(c.Robots, fmt.Sprintf("%s: %.0f min OK, %.0f WARN, %.0f ERROR, %.0f silent", r.ID, w.OK, w.Warn, w.Error, w.Silent))
		}
	}
	c.Text = fmt.Sprintf("all %d test robots were OK for %v", n, watch)
	if c.Result == Bad {
		c.Text = fmt.Sprintf("%d of %d test robots were not OK for the last %v: %s", len(c.Robots), n, watch, strings.Join(c.Robots[:min(len(c.Robots), named)], "; "))
	}
	return c
}

// share is a look's part of the false alarms that a gate may raise: a tenth for
// the one at half-time, most for the one at the end of the watch, and half of
// what is left for each one after it.
func share(look int) float64 {
	switch look {
	case 0:
		return 0.1
	case 1:
		return 0.6
	}
	part := 0.3
	for range look - 1 {
		part /= 2
	}
	return part
}

// gate looks at canary or wide robots, beside the control group.
func (v *look) gate(s State) (State, Decision) {
	step := v.p.Steps.Of(s.Stage)
	alpha := v.p.FalseAlarms * share(s.Looks)
	end := s.Filled.Add(step.Watch)
	g := v.groups(s, step.Watch)
	v.tests = v.compare(s.Stage, g, alpha)
	s.Tests, s.Looks = v.tests, s.Looks+1
	s.NextLook = s.NextLook.Add(step.Watch / 2)
	if !s.NextLook.After(v.now) {
		s.NextLook = v.now.Add(step.Watch / 2)
	}
	if bad := said(v.tests, Bad); bad != "" {
		return s.halt(CodeWorse, v.now, "halted: "+bad)
	}
	if v.now.Before(end) {
		if s.NextLook.After(end) {
			s.NextLook = end
		}
		return s, v.watching(s)
	}
	unclear := said(v.tests, Unclear)
	patient := v.now.Before(end.Add(step.Patience)) && s.Phase != Asking
	switch {
	case unclear == "" && v.counts.Unfit == 0:
		return s.advance(CodeGood, v.now, v.summary(g))
	case unclear == "" && v.now.Before(s.Opened.Add(step.Patience)) && s.Phase != Asking:
		return s, s.decision(Wait, CodeCompanions, v.now, v.unfit())
	case unclear == "":
		return v.ask(s, CodeCompanions, v.summary(g)+", but "+v.unfit())
	case patient && !v.hopeless(g):
		return s, s.decision(Wait, CodeUnclear, v.now, "watched longer: "+unclear)
	case v.unclear("power") && !v.unclear("rollbacks"):
		return v.ask(s, CodeTooFew, unclear)
	}
	return v.ask(s, CodeUnclear, unclear)
}

// hopeless says that more time would not help: even if all robots of the stage
// reported, they would be too few; or some put the release back.
func (v *look) hopeless(g groups) bool {
	return v.unclear("rollbacks") || detectable(v.counts.Turn-g.internal, g.controls, v.p.Power) > v.p.Detect
}

func (v *look) unclear(name string) bool {
	return slices.ContainsFunc(v.tests, func(c Check) bool { return c.Name == name && c.Result == Unclear })
}

// said is what the checks with that result say.
func said(checks []Check, r Result) string {
	var all []string
	for _, c := range checks {
		if c.Result == r {
			all = append(all, c.Text)
		}
	}
	return strings.Join(all, "; ")
}

// summary says in one line why a gate opens.
func (v *look) summary(g groups) string {
	least, alpha := 1.0, 0.0
	for _, c := range v.tests {
		for _, t := range c.Tests {
			if t.Method != "power" && t.Margin == 0 && t.P <= least {
				least, alpha = t.P, t.Alpha
			}
		}
	}
	return fmt.Sprintf("%s with the release are no worse than %d others (the strongest sign of harm has p = %.2g, it would count below %.2g)", robots(len(g.treated)), len(g.control), least, alpha)
}

// full completes the rollout when nothing happened after everybody took it.
func (v *look) full(s State) (State, Decision) {
	watch := v.p.Steps.Full.Watch
	g := v.groups(s, watch)
	v.tests = []Check{v.fellSilent(g), v.failures(v.p.FalseAlarms)}
	s.Tests, s.Looks, s.NextLook = v.tests, s.Looks+1, v.now.Add(watch/2)
	if bad := said(v.tests, Bad); bad != "" {
		return v.ask(s, CodeUnclear, bad)
	}
	text := fmt.Sprintf("%d of %d robots have the release, and none reported a trigger for %v", v.counts.Confirmed, v.counts.Turn, watch)
	switch {
	case v.counts.Unfit > 0 && v.now.Before(s.Opened.Add(v.p.Steps.Full.Patience)):
		return s, s.decision(Wait, CodeCompanions, v.now, text+"; "+v.unfit())
	case v.counts.Unfit > 0:
		return v.ask(s, CodeCompanions, text+"; "+v.unfit())
	case v.counts.Confirmed == 0:
		return v.ask(s, CodeNobody, "no robot has taken the release")
	}
	return s.advance(CodeGood, v.now, text)
}

// fellSilent looks for robots that reported before the rollout and no more.
func (v *look) fellSilent(g groups) Check {
	c := Check{Name: "silence", Result: Good, Text: fmt.Sprintf("%d of %d robots that reported before do not any more", g.quietTreated, g.eligibleTreated)}
	t := Test{Method: "binomial", Treated: g.eligibleTreated, TreatedHits: g.quietTreated, Margin: v.p.SafetyMargin, Alpha: v.p.FalseAlarms,
		P: binomialTail(g.quietTreated, g.eligibleTreated, v.p.SafetyMargin), Unit: "share of robots"}
	if t.Treated > 0 {
		t.Effect = float64(t.TreatedHits) / float64(t.Treated)
	}
	if c.Tests = []Test{t}; t.P <= t.Alpha {
		c.Result, c.Text = Bad, c.Text+": more than is left to chance"
	}
	return c
}

package rollout

import (
	"fmt"
	"math"
	"time"
)

// groups are the robots that are compared.
type groups struct {
	treated, control []Robot // that reported enough
	internal         int     // test robots, who were not drawn and are not compared
	controls         int     // robots that have not had their turn
	// Robots that reported before the rollout, and how many of them do no more.
	eligibleTreated, quietTreated int
	eligibleControl, quietControl int
	changes                       bool // enough is known of before, so that changes are compared
	now                           time.Time
}

// groups parts the robots. What was reported in the time since counts if it
// covers enough of it.
func (v *look) groups(s State, watch time.Duration) groups {
	since := min(watch, v.now.Sub(s.Filled))
	enough := v.p.Coverage * since.Minutes()
	g := groups{now: v.now}
	before := 0
	for _, r := range v.o.Robots {
		treated := !s.Stage.Before(r.Stage)
		switch {
		case r.Stage == Internal:
			g.internal++
			continue
		case treated && (r.Outcome != Confirmed || v.now.Sub(r.Confirmed) < since):
			continue // it has not had the release for long enough
		case !treated:
			g.controls++
		}
		covers := reported(r.Since) >= enough
		had := reported(r.Before) >= v.p.Coverage*watch.Minutes()
		g.count(treated, had, covers)
		if !covers {
			continue
		}
		if had {
			before++
		}
		if treated {
			g.treated = append(g.treated, r)
		} else {
			g.control = append(g.control, r)
		}
	}
	// New robots have no past. Where they are many, levels are compared: the
	// draw makes them alike as well, only with more scatter.
	g.changes = float64(before) >= 0.8*float64(len(g.treated)+len(g.control))
	return g
}

func (g *groups) count(treated, had, covers bool) {
	switch {
	case !had:
	case treated:
		g.eligibleTreated++
		if !covers {
			g.quietTreated++
		}
	default:
		g.eligibleControl++
		if !covers {
			g.quietControl++
		}
	}
}

// reported is of how many minutes the robot's agent has told anything.
func reported(w Window) float64 { return w.Heard() + w.Silent }

// measure measures each robot of both groups; robots without a value are left out.
func (g groups) measure(of func(r Robot) (float64, bool)) (treated, control []float64) {
	all := func(robots []Robot) []float64 {
		var values []float64
		for _, r := range robots {
			if x, ok := of(r); ok {
				values = append(values, x)
			}
		}
		return values
	}
	return all(g.treated), all(g.control)
}

// Tests of harm share a look's false alarms: failures, rollbacks, silence, and
// three each of ERROR and WARN; in the wide stage without the outliers, as one
// robot of so many proves nothing, but with five for regressions.
const (
	canaryTests = 9
	wideTests   = 12
)

// compare makes a stage's checks.
func (v *look) compare(stage Stage, g groups, alpha float64) []Check {
	each := alpha / canaryTests
	if stage == Wide {
		each = alpha / wideTests
	}
	checks := []Check{
		v.failures(each),
		v.rollbacks(each),
		g.minutes("error_minutes", "ERROR or silent", stage, each, func(c Counters) float64 { return c.Error + c.Silent }),
		g.minutes("warn_minutes", "WARN, ERROR or silent", stage, each, func(c Counters) float64 { return c.Warn + c.Error + c.Silent }),
		g.silence(each),
		v.power(g, each),
	}
	if stage == Wide {
		checks = append(checks, v.regressions(g, each)...)
	}
	return checks
}

// daily is the square root of minutes a day: on that scale counts scatter alike.
func daily(w Window, of func(Counters) float64) float64 {
	return math.Sqrt(of(w.Counters) / reported(w) * 24 * 60)
}

// change is how much more of something a robot has than before, or where there
// is no before, how much it has.
func (g groups) change(of func(Counters) float64) func(r Robot) (float64, bool) {
	return func(r Robot) (float64, bool) {
		x := daily(r.Since, of)
		if !g.changes {
			return x, true
		}
		if reported(r.Before) == 0 {
			return 0, false
		}
		return x - daily(r.Before, of), true
	}
}

// minutes compares minutes in which the diagnostics were bad: whether most
// robots have more of them, whether the worst robots are the treated, and
// whether the very worst is out of all measure.
func (g groups) minutes(name, level string, stage Stage, alpha float64, of func(Counters) float64) Check {
	treated, control := g.measure(g.change(of))
	a, b := g.mean(g.treated, of), g.mean(g.control, of)
	c := Check{Name: name, Result: Good, Text: fmt.Sprintf("%s: %.1f minutes a day on %s with the release, %.1f on %d others", level, a, robots(len(treated)), b, len(control))}
	base := Test{Treated: len(treated), Control: len(control), Alpha: alpha}
	found := func(t Test, format string, args ...any) {
		if c.Tests = append(c.Tests, t); t.P <= alpha && t.Effect > 0 {
			c.Result = Bad
			c.Text += fmt.Sprintf("; "+format+" (p = %.2g)", append(args, t.P)...)
		}
	}
	shared := base
	shared.Method, shared.P, shared.Effect, shared.Unit = "rank_sum", rankSum(treated, control), a-b, "minutes a day"
	found(shared, "that is more than chance explains")
	few := base
	few.Method, few.Unit = "extremes", "share of robots"
	few.P, few.TreatedHits, few.ControlHits = extremes(treated, control)
	few.Effect = difference(few)
	found(few, "of the worst %d robots %d have the release", few.TreatedHits+few.ControlHits, few.TreatedHits)
	if stage == Canary {
		single := base
		single.Method, single.Unit = "outliers", "minutes a day"
		single.P, _ = outlier(treated, control)
		worst, id := g.worst(of)
		single.Effect = worst
		if found(single, "%s, with %.0f minutes a day, is out of all measure", id, worst); single.P <= alpha {
			c.Robots = []string{id}
		}
	}
	return c
}

// difference of the shares of those that show what is counted.
func difference(t Test) float64 {
	if t.Treated == 0 || t.Control == 0 {
		return 0
	}
	return float64(t.TreatedHits)/float64(t.Treated) - float64(t.ControlHits)/float64(t.Control)
}

func (g groups) mean(robots []Robot, of func(Counters) float64) float64 {
	sum, minutes := 0.0, 0.0
	for _, r := range robots {
		sum, minutes = sum+of(r.Since.Counters), minutes+reported(r.Since)
	}
	if minutes == 0 {
		return 0
	}
	return sum / minutes * 24 * 60
}

// worst is the treated robot that changed most, and its minutes a day.
func (g groups) worst(of func(Counters) float64) (minutes float64, id string) {
	most := math.Inf(-1)
	change := g.change(of)
	for _, r := range g.treated {
		if x, ok := change(r); ok && x > most {
			most, id, minutes = x, r.ID, math.Pow(daily(r.Since, of), 2)
		}
	}
	return minutes, id
}

// silence compares how many robots reported before and do not any more: one
// that the release has silenced does not tell how it is.
func (g groups) silence(alpha float64) Check {
	t := Test{Method: "fisher", Treated: g.eligibleTreated, TreatedHits: g.quietTreated, Control: g.eligibleControl, ControlHits: g.quietControl, Alpha: alpha, P: 1, Unit: "share of robots"}
	c := Check{Name: "silence", Result: Good, Text: fmt.Sprintf("%d of %s with the release fell silent, %d of %d others", g.quietTreated, robots(g.eligibleTreated), g.quietControl, g.eligibleControl)}
	if t.Treated > 0 && t.Control > 0 {
		t.P, t.Effect = fisher(t.TreatedHits, t.Treated, t.ControlHits, t.Control), difference(t)
	}
	if c.Tests = []Test{t}; t.P <= alpha {
		c.Result, c.Text = Bad, c.Text+fmt.Sprintf(": more than chance explains (p = %.2g)", t.P)
	}
	return c
}

// day is what a robot that is bad all the time has, in minutes.
const day = 24 * 60

// power says what would have been noticed.
func (v *look) power(g groups, alpha float64) Check {
	_, control := g.measure(g.change(func(c Counters) float64 { return c.Error + c.Silent }))
	n, share := len(g.treated), detectable(len(g.treated), len(control), v.p.Power)
	t := Test{Method: "power", Treated: n, Control: len(control), Alpha: alpha, Detectable: share, Power: v.p.Power, Unit: "minutes a day"}
	c := Check{Name: "power", Result: Good}
	t.Effect = conspicuous(n, control, alpha)
	switch {
	case share > 1 || t.Effect > day:
		c.Result = Unclear
		c.Text = fmt.Sprintf("%s with the release and %d others are too few to tell harm from chance", robots(n), len(control))
		t.Detectable, t.Effect = min(share, 1), min(t.Effect, day)
	case share > v.p.Detect:
		c.Result = Unclear
		c.Text = fmt.Sprintf("%s would show harm to %.0f %% of the fleet with a probability of %.0f %%; the plan asks that of harm to %.0f %%, for which %d have to report",
			robots(n), 100*share, 100*v.p.Power, 100*v.p.Detect, needed(v.p.Detect, v.p.Power))
	default:
		c.Text = fmt.Sprintf("harm to %.1f %% of the fleet would have been noticed with a probability of %.0f %%, if it is %.0f minutes of ERROR a day or more", 100*share, 100*v.p.Power, t.Effect)
	}
	c.Tests = []Test{t}
	return c
}

// detectable is the smallest share of harmed robots of which at least one is
// among n with that probability; more than 1 where even a harmed robot would not stand out.
func detectable(n, control int, power float64) float64 {
	if n == 0 || control < leastGroup {
		return 2
	}
	return -math.Expm1(math.Log1p(-power) / float64(n))
}

// needed is how many robots it takes.
func needed(share, power float64) int {
	return int(math.Ceil(math.Log1p(-power) / math.Log1p(-share)))
}

package rollout

import (
	"fmt"
	"math"
	"strings"
)

// methodMargin is the test that something is not worse by a margin.
const methodMargin = "non_inferiority"

// shownBy is the error with which "no regression" may be said wrongly, of each
// thing for itself: all have to be shown, so it is that of all of them as well.
const shownBy = 0.05

// leastDischarge is how long a robot has to have run off its battery for its
// drain to say something, in seconds.
const leastDischarge = 600

// regressions are the wide stage's checks: for each, that it has not become
// worse by more than the margin has to be shown.
func (v *look) regressions(g groups, alpha float64) []Check {
	topic := func(name string, of func(Counters) float64) Check {
		return g.notWorse(name, "messages a minute, logarithm of the loss", -math.Log1p(-v.p.TopicMargin), alpha, func(r Robot) (float64, bool) {
			before, since := of(r.Before.Counters), of(r.Since.Counters)
			if before == 0 || reported(r.Before) == 0 || reported(r.Since) == 0 {
				return 0, false
			}
			return math.Log(before/reported(r.Before)) - math.Log((since+0.5)/reported(r.Since)), true
		})
	}
	return []Check{
		topic("odometry", func(c Counters) float64 { return c.Odometry }),
		topic("diagnostics", func(c Counters) float64 { return c.Diagnostics }),
		topic("battery", func(c Counters) float64 { return c.Battery }),
		g.notWorse("drain", "charge an hour, logarithm of the growth", math.Log1p(v.p.DrainMargin), alpha, drain),
		v.safety(g, alpha),
	}
}

// drain is the growth of the charge that a robot uses in an hour.
func drain(r Robot) (float64, bool) {
	b, s := r.Before, r.Since
	if b.Discharging < leastDischarge || s.Discharging < leastDischarge || b.Used <= 0 || s.Used <= 0 {
		return 0, false
	}
	return math.Log(s.Used/s.Discharging) - math.Log(b.Used/b.Discharging), true
}

// notWorse tests both ways: whether robots are worse, and whether they are not
// worse by the margin.
func (g groups) notWorse(name, unit string, margin, alpha float64, of func(Robot) (float64, bool)) Check {
	treated, control := g.measure(of)
	c := Check{Name: name, Result: Unclear}
	if len(treated) == 0 || len(control) == 0 {
		c.Text = fmt.Sprintf("%s: nothing to compare (%d robots with the release and %d others have told of it)", name, len(treated), len(control))
		return c
	}
	worse := Test{Method: "rank_sum", Treated: len(treated), Control: len(control), Alpha: alpha, P: rankSum(treated, control), Effect: shift(treated, control), Margin: margin, Unit: unit}
	moved := make([]float64, len(control))
	for i, x := range control {
		moved[i] = x + margin
	}
	shown := worse
	shown.Method, shown.P, shown.Alpha = methodMargin, rankSum(moved, treated), shownBy
	c.Tests = []Test{worse, shown}
	percent := 100 * math.Expm1(shown.Effect)
	switch {
	case worse.P <= alpha && worse.Effect > margin:
		c.Result = Bad
		c.Text = fmt.Sprintf("%s: worse by %.1f %% than on others, more than chance and the margin of %.1f %% explain (p = %.2g)", name, percent, 100*math.Expm1(margin), worse.P)
	case shown.P <= shownBy:
		c.Result = Good
		c.Text = fmt.Sprintf("%s: a change of %+.1f %% against others, shown to be within the margin of %.1f %%", name, percent, 100*math.Expm1(margin))
	default:
		c.Text = fmt.Sprintf("%s: a change of %+.1f %% against others, which may be more than the margin of %.1f %% (p = %.2g)", name, percent, 100*math.Expm1(margin), shown.P)
	}
	return c
}

// safety compares how many robots had a safety event in the last hours, as many
// for both groups.
func (v *look) safety(g groups, alpha float64) Check {
	hits := func(robots []Robot) (n int, ids []string) {
		for _, r := range robots {
			if unsafe(r.Recent.Counters) {
				n++
				ids = append(ids, r.ID)
			}
		}
		return n, ids
	}
	a, ids := hits(g.treated)
	b, _ := hits(g.control)
	n, m := len(g.treated), len(g.control)
	c := Check{Name: "safety", Result: Unclear, Robots: ids[:min(len(ids), named)]}
	if n == 0 || m == 0 {
		c.Text = "safety events: nothing to compare"
		return c
	}
	worse := Test{Method: "fisher", Treated: n, TreatedHits: a, Control: m, ControlHits: b, Alpha: alpha, P: fisher(a, n, b, m),
		Margin: v.p.SafetyMargin, Unit: "share of robots"}
	worse.Effect = difference(worse)
	shown := worse
	shown.Method, shown.Alpha = "newcombe", shownBy
	above := differenceBelow(a, n, b, m, shownBy)
	shown.Effect, shown.P = above, notAbove(a, n, b, m, v.p.SafetyMargin)
	c.Tests = []Test{worse, shown}
	c.Text = fmt.Sprintf("safety events on %d of %s with the release, on %d of %d others", a, robots(n), b, m)
	switch {
	case worse.P <= alpha:
		c.Result = Bad
		c.Text += fmt.Sprintf(": more than chance explains (p = %.2g; %s)", worse.P, strings.Join(c.Robots, ", "))
	case shown.P <= shownBy:
		c.Result = Good
	default:
		c.Text += fmt.Sprintf(": it may be %.1f points more, and %.1f are allowed", 100*above, 100*v.p.SafetyMargin)
	}
	return c
}

// unsafe: an emergency stop, a reboot, or a DTLS server that fails often.
func unsafe(c Counters) bool {
	const fewTries, failing = 20, 0.05
	return c.EStops > 0 || c.Reboots > 0 || c.Tries >= fewTries && c.Failures > failing*c.Tries
}

package rollout

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

const hour = time.Hour

// healthyFor is what a robot without a fault counts.
func healthyFor(d time.Duration) Window {
	m := d.Minutes()
	return Window{Counters: Counters{OK: m, Odometry: 3000 * m, Diagnostics: 120 * m, Battery: 60 * m, Discharging: 30 * m, Used: 0.001 * m}}
}

// scene is a rollout at noon: two test robots, 60 canaries, 300 more of the wide
// stage and 300 others, all with a week of health behind them.
type scene struct {
	p Plan
	s State
	o Observations
}

func at(t *testing.T, stage Stage) *scene {
	t.Helper()
	c := &scene{p: plan(t), s: State{Schema: Schema, Phase: Running, Stage: stage, Opened: noon}}
	add := func(n int, of Stage) {
		for i := range n {
			c.o.Robots = append(c.o.Robots, Robot{ID: fmt.Sprintf("%s-%d", of, i), Stage: of, Heard: noon, Before: healthyFor(7 * 24 * hour)})
		}
	}
	add(2, Internal)
	add(60, Canary)
	add(300, Wide)
	add(300, Full)
	return c
}

// each changes the robots of a stage, n of them; -1: all.
func (c *scene) each(stage Stage, n int, f func(r *Robot)) *scene {
	for i := range c.o.Robots {
		if r := &c.o.Robots[i]; r.Stage == stage && n != 0 {
			f(r)
			n--
		}
	}
	return c
}

func (c *scene) taken(stages ...Stage) *scene {
	for _, s := range stages {
		c.each(s, -1, func(r *Robot) { r.Progress = r.With(Confirmed, "", noon) })
	}
	return c
}

// decide looks after so long; robots were heard until then, unless they are away.
func (c *scene) decide(after time.Duration) Decision {
	now := noon.Add(after)
	for i := range c.o.Robots {
		if r := &c.o.Robots[i]; !r.Heard.IsZero() {
			r.Heard = now
		}
	}
	c.o.Measured = false
	s, d := Decide(c.p, c.s, c.o, now)
	if d.Verdict == Measure {
		c.o.Measured = true
		s, d = Decide(c.p, c.s, c.o, now)
	}
	c.s = s
	return d
}

// counted lets all robots count health for so long, and changes some of it.
func (c *scene) counted(d time.Duration, change func(r *Robot)) *scene {
	for i := range c.o.Robots {
		r := &c.o.Robots[i]
		r.Since, r.Recent = healthyFor(d), healthyFor(min(d, 24*hour))
		if change != nil {
			change(r)
		}
	}
	return c
}

func want(t *testing.T, d Decision, v Verdict, code Code, text string) {
	t.Helper()
	if d.Verdict != v || d.Code != code || !strings.Contains(d.Text, text) {
		t.Errorf("got %s %s %q\nwant %s %s %q", d.Verdict, d.Code, d.Text, v, code, text)
	}
	if b, err := json.Marshal(d); err != nil || len(b) > 64<<10 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestInternalGate(t *testing.T) {
	day := 24 * hour
	first := func(f func(r *Robot)) func(r *Robot) {
		return func(r *Robot) {
			if r.ID == "internal-0" {
				f(r)
			}
		}
	}
	for name, test := range map[string]struct {
		set   func(c *scene)
		after time.Duration
		v     Verdict
		code  Code
		text  string
	}{
		"nobody is named":          {func(c *scene) { c.o.Robots = c.o.Robots[2:] }, 0, Ask, CodeAlone, "no test robots"},
		"nothing happens":          {func(*scene) {}, hour, Wait, CodeUpdating, "waiting for 2"},
		"nothing happens for long": {func(*scene) {}, 72 * hour, Ask, CodeUpdating, "waiting for 2"},
		"one is missing":           {func(c *scene) { c.taken(Internal).each(Internal, 1, func(r *Robot) { r.Progress = Progress{} }) }, 25 * hour, Wait, CodeUpdating, "1 of 2"},
		"not yet":                  {func(c *scene) { c.taken(Internal).counted(day, nil) }, day - time.Second, Wait, CodeWatching, "took it"},
		"a day":                    {func(c *scene) { c.taken(Internal).counted(day, nil) }, day, Advance, CodeGood, "all 2 test robots were OK"},
		"a minute of WARN": {func(c *scene) {
			c.taken(Internal).counted(day, first(func(r *Robot) { r.Recent.OK--; r.Recent.Warn = 1 }))
		},
			day, Wait, CodeUnhealthy, "1 of 2 test robots were not OK"},
		"a silent minute": {func(c *scene) {
			c.taken(Internal).counted(day, first(func(r *Robot) { r.Recent.OK--; r.Recent.Silent = 1 }))
		},
			day, Wait, CodeUnhealthy, "1 silent"},
		"a minute of ERROR, and patience is over": {func(c *scene) { c.taken(Internal).counted(day, first(func(r *Robot) { r.Recent.Error = 1 })) },
			72 * hour, Ask, CodeUnhealthy, "promote it by hand, or halt it"},
		"just enough of the day": {func(c *scene) { c.taken(Internal).counted(day, first(func(r *Robot) { r.Recent.OK = 1296 })) }, day, Advance, CodeGood, ""},
		"too little of the day":  {func(c *scene) { c.taken(Internal).counted(day, first(func(r *Robot) { r.Recent.OK = 1295 })) }, day, Wait, CodeUnhealthy, ""},
		"silence is not health":  {func(c *scene) { c.taken(Internal) }, day, Wait, CodeUnhealthy, "2 of 2"},
		"it failed on one": {func(c *scene) {
			c.taken(Internal).each(Internal, 1, func(r *Robot) { r.Progress = Progress{}.With(Failed, "download", noon) })
		}, hour, Ask, CodeUnhealthy, "internal-0 (download)"},
		"the companion does not fit": {func(c *scene) { c.each(Internal, 1, func(r *Robot) { r.Unfit = "0.2.0 does not fit" }) }, hour, Wait, CodeCompanions, "1 robot needs another companion version"},
		"and will not":               {func(c *scene) { c.each(Internal, 1, func(r *Robot) { r.Unfit = "0.2.0 does not fit" }) }, 72 * hour, Ask, CodeCompanions, "internal-0"},
	} {
		t.Run(name, func(t *testing.T) {
			c := at(t, Internal)
			test.set(c)
			want(t, c.decide(test.after), test.v, test.code, test.text)
		})
	}
}

func TestInternalRecovers(t *testing.T) {
	c := at(t, Internal).taken(Internal).counted(24*hour, func(r *Robot) { r.Recent.Warn = 5 })
	want(t, c.decide(24*hour), Wait, CodeUnhealthy, "")
	want(t, c.decide(24*hour+time.Minute), Wait, CodeWatching, "") // it does not look with every tick
	want(t, c.decide(73*hour), Ask, CodeUnhealthy, "")
	want(t, c.decide(73*hour+time.Minute), Wait, CodeUnhealthy, "")
	c.counted(24*hour, nil)
	want(t, c.decide(99*hour), Advance, CodeGood, "")
	if c.s.Stage != Canary || c.s.Phase != Running || c.s.Split != noon.Add(99*hour) {
		t.Errorf("%+v", c.s)
	}
}

// A trigger on any robot halts in every phase in which something can happen.
func TestTriggersHalt(t *testing.T) {
	for _, trigger := range Triggers() {
		for _, phase := range []Phase{Running, Asking, Paused} {
			for _, stage := range Stages() {
				c := at(t, stage).taken(Internal)
				c.s.Phase = phase
				c.each(Internal, 1, func(r *Robot) { r.Progress = r.With(RolledBack, trigger, noon.Add(hour)) })
				want(t, c.decide(hour), Halt, CodeTrigger, "rollback triggers on 1 robot: "+trigger)
				if c.s.Phase != Halted || c.s.Ended.IsZero() {
					t.Errorf("%+v", c.s)
				}
				want(t, c.decide(2*hour), Wait, CodeOrdered, "halted")
			}
		}
	}
}

func TestWithdrawnHalts(t *testing.T) {
	c := at(t, Canary)
	c.o.Withdrawn = "its key was revoked"
	want(t, c.decide(hour), Halt, CodeWithdrawn, "its key was revoked")
}

// The limit is 1 %, and one in a thousand is the chance of a false answer.
func TestFailuresHalt(t *testing.T) {
	for _, test := range []struct {
		bad, good int
		halts     bool
	}{{0, 60, false}, {1, 0, false}, {1, 59, false}, {2, 3, true}, {2, 4, false}, {3, 16, true}, {3, 17, false}, {4, 40, true}, {4, 41, false}} {
		for _, outcome := range []Outcome{Failed, RolledBack} {
			c := at(t, Canary)
			c.each(Canary, test.good, func(r *Robot) { r.Progress = r.With(Confirmed, "", noon) })
			bad := test.bad
			c.each(Canary, -1, func(r *Robot) {
				if r.Outcome == Pending && bad > 0 {
					r.Progress = r.With(outcome, "self_test_failed", noon)
					bad--
				}
			})
			d := c.decide(hour)
			if (d.Verdict == Halt) != test.halts || test.halts && d.Code != CodeFailures {
				t.Errorf("%d %s beside %d: %s %s (p = %g)", test.bad, outcome, test.good, d.Verdict, d.Text, d.Checks[1].Tests[0].P)
			}
		}
	}
}

func TestPausedWaits(t *testing.T) {
	c := at(t, Canary).taken(Internal, Canary)
	c.s.Phase = Paused
	want(t, c.decide(100*hour), Wait, CodePaused, "nobody is offered")
}

// How long a stage waits for whom.
func TestFilling(t *testing.T) {
	away := func(r *Robot) { r.Progress, r.Heard = Progress{}, time.Time{} }
	slow := func(r *Robot) { r.Progress = Progress{}.With(Trying, "", noon) }
	unfit := func(r *Robot) { r.Progress, r.Unfit = Progress{}, "does not fit" }
	for name, test := range map[string]struct {
		stage Stage
		n     int
		what  func(r *Robot)
		after time.Duration
		code  Code
	}{
		"all have it":                         {Canary, 0, away, 0, CodeWatching},
		"one is slow":                         {Canary, 1, slow, 71 * hour, CodeUpdating},
		"one is slow, and patience is over":   {Canary, 1, slow, 72 * hour, CodeWatching},
		"two are away":                        {Canary, 2, away, 12 * hour, CodeUpdating},
		"two are away for long":               {Canary, 2, away, 13 * hour, CodeWatching},
		"one does not fit":                    {Canary, 1, unfit, 71 * hour, CodeCompanions},
		"one does not fit; patience":          {Canary, 1, unfit, 72 * hour, CodeWatching},
		"full waits for those who are away":   {Full, 1, away, 13 * 24 * hour, CodeUpdating},
		"full does not wait for them forever": {Full, 1, away, 14 * 24 * hour, CodeWatching},
	} {
		t.Run(name, func(t *testing.T) {
			c := at(t, test.stage).taken(Internal, Canary, Wide, Full)
			c.each(test.stage, test.n, test.what)
			want(t, c.decide(test.after), Wait, test.code, "")
		})
	}
}

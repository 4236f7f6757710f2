package rollout

import (
	"encoding/json"
	"fmt"
	"math"
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

func TestCanaryGate(t *testing.T) {
	watch := 48 * hour
	canary := func(n int, f func(r *Robot)) func(r *Robot) {
		return func(r *Robot) {
			if r.Stage == Canary && n > 0 {
				n--
				f(r)
			}
		}
	}
	noise := func(r *Robot) { r.Since.Warn = digit(r) }
	for name, test := range map[string]struct {
		change func(r *Robot)
		set    func(c *scene)
		v      Verdict
		code   Code
		text   string
	}{
		"all is well":              {v: Advance, code: CodeGood, text: "60 robots with the release are no worse than 600 others"},
		"noise on both sides":      {change: noise, v: Advance, code: CodeGood},
		"one in ERROR":             {change: canary(1, func(r *Robot) { r.Since.Error, r.Since.OK = 700, r.Since.OK-700 }), v: Halt, code: CodeWorse, text: "canary-0, with 350 minutes a day, is out of all measure"},
		"one silent":               {change: canary(1, func(r *Robot) { r.Since.Silent, r.Since.OK = 700, r.Since.OK-700 }), v: Halt, code: CodeWorse, text: "ERROR or silent"},
		"a little WARN everywhere": {change: canary(60, func(r *Robot) { r.Since.Warn = 4 }), v: Halt, code: CodeWorse, text: "more than chance explains"},
		"as much on the others":    {change: func(r *Robot) { r.Since.Error = 700 }, v: Advance, code: CodeGood},
		"and more on the others":   {change: func(r *Robot) { r.Since.Error = map[Stage]float64{Canary: 10, Wide: 700, Full: 700}[r.Stage] }, v: Advance, code: CodeGood},
		"many fall silent":         {change: canary(12, func(r *Robot) { r.Since = Window{} }), v: Halt, code: CodeWorse, text: "12 of 60 robots with the release fell silent"},
		"nobody reports":           {change: func(r *Robot) { r.Since = Window{} }, v: Ask, code: CodeTooFew, text: "too few"},
		"few report": {change: func(r *Robot) {
			if r.Stage == Canary && r.ID >= "canary-3" || r.Stage != Canary && digit(r) > 4 {
				r.Since = Window{}
			}
		}, v: Ask, code: CodeTooFew, text: "29 have to report"},
		"a companion is missing":  {set: func(c *scene) { c.each(Canary, 1, func(r *Robot) { r.Progress, r.Unfit = Progress{}, "x" }) }, v: Ask, code: CodeCompanions, text: "no worse"},
		"new robots have no past": {change: func(r *Robot) { r.Before = Window{} }, v: Advance, code: CodeGood},
	} {
		t.Run(name, func(t *testing.T) {
			c := at(t, Canary).taken(Internal, Canary)
			if test.set != nil {
				test.set(c)
			}
			c.counted(watch, test.change)
			var d Decision
			for after := time.Duration(0); after <= 30*24*hour; after += hour {
				if d = c.decide(after); d.Verdict != Wait {
					break
				}
			}
			want(t, d, test.v, test.code, test.text)
			if d.Verdict == Advance && (d.To != Wide || c.s.Stage != Wide) {
				t.Errorf("%+v", d)
			}
			if len(d.Checks) < 7 {
				t.Errorf("evidence: %+v", d.Checks)
			}
		})
	}
}

// The gate looks at half-time, at the end, and then now and then; until it looks
// nothing opens it.
func TestCanaryLooks(t *testing.T) {
	c := at(t, Canary).taken(Internal, Canary).counted(48*hour, nil)
	var looks []time.Duration
	for after := time.Duration(0); after < 48*hour; after += hour {
		was := c.s.Looks
		want(t, c.decide(after), Wait, CodeWatching, "")
		if c.s.Looks != was {
			looks = append(looks, after)
		}
	}
	if len(looks) != 1 || looks[0] != 24*hour {
		t.Errorf("it looked at %v", looks)
	}
	want(t, c.decide(48*hour), Advance, CodeGood, "")
	total := 0.0
	for i := range 60 {
		total += share(i)
	}
	near(t, "the looks' shares", total, 1, 1e-9)
}

// A gate that cannot tell asks once, and goes on by itself when it can.
func TestAskingEndsByItself(t *testing.T) {
	c := at(t, Canary).taken(Internal, Canary).counted(48*hour, func(r *Robot) {
		if r.Stage == Canary && r.ID > "canary-2" {
			r.Since = Window{}
		}
	})
	for i := range c.o.Robots { // nobody reported before, so that nobody fell silent
		c.o.Robots[i].Before = Window{}
	}
	asked := time.Duration(0)
	for after := time.Duration(0); after < 20*24*hour; after += hour {
		if d := c.decide(after); d.Verdict == Ask {
			if asked != 0 {
				t.Fatal("it asked twice")
			}
			asked = after
		} else if d.Verdict != Wait {
			t.Fatalf("%+v", d)
		}
	}
	if asked != 120*hour || c.s.Phase != Asking { // watch and patience
		t.Errorf("it asked after %v: %+v", asked, c.s.Phase)
	}
	c.counted(48*hour, nil)
	want(t, c.decide(21*24*hour), Advance, CodeGood, "")
}

func TestWideGate(t *testing.T) {
	treated := func(r *Robot) bool { return r.Outcome == Confirmed && r.Stage != Internal }
	for name, test := range map[string]struct {
		change func(r *Robot)
		v      Verdict
		code   Code
		text   string
	}{
		"all is well":            {nil, Advance, CodeGood, "360 robots"},
		"a little less odometry": {func(r *Robot) { r.Since.Odometry *= 0.97 }, Advance, CodeGood, ""},
		"less odometry on all":   {func(r *Robot) { r.Since.Odometry *= 0.5 }, Advance, CodeGood, ""},
		"odometry is lost":       {only(treated, func(r *Robot) { r.Since.Odometry *= 0.9 }), Halt, CodeWorse, "odometry: worse by 11.1 %"},
		"odometry stops":         {only(treated, func(r *Robot) { r.Since.Odometry = 0 }), Halt, CodeWorse, "odometry"},
		"just within":            {only(treated, func(r *Robot) { r.Since.Battery *= 0.951 }), Advance, CodeGood, ""},
		"battery drains":         {only(treated, func(r *Robot) { r.Since.Used *= 1.3 }), Halt, CodeWorse, "drain: worse by 30.0 %"},
		"battery drains a bit":   {only(treated, func(r *Robot) { r.Since.Used *= 1.05 }), Advance, CodeGood, ""},
		"nobody tells of drain":  {func(r *Robot) { r.Since.Discharging = 0 }, Ask, CodeUnclear, "drain: nothing to compare"},
		"emergency stops":        {only(treated, func(r *Robot) { r.Recent.EStops = math.Mod(digit(r), 2) }), Halt, CodeWorse, "safety events on"},
		"reboots on both":        {func(r *Robot) { r.Recent.Reboots = math.Mod(digit(r), 2) }, Ask, CodeUnclear, "points more"},
		"WARN on all of them":    {only(treated, func(r *Robot) { r.Since.Warn = 3 }), Halt, CodeWorse, "WARN"},
	} {
		t.Run(name, func(t *testing.T) {
			c := at(t, Wide).taken(Internal, Canary, Wide)
			c.counted(24*hour, test.change)
			var d Decision
			for after := time.Duration(0); after <= 10*24*hour; after += hour {
				if d = c.decide(after); d.Verdict != Wait {
					break
				}
			}
			want(t, d, test.v, test.code, test.text)
		})
	}
}

// digit is the last of a robot's id.
func digit(r *Robot) float64 { return float64(r.ID[len(r.ID)-1] - '0') }

func only(of func(r *Robot) bool, f func(r *Robot)) func(r *Robot) {
	return func(r *Robot) {
		if of(r) {
			f(r)
		}
	}
}

func TestFullGate(t *testing.T) {
	for name, test := range map[string]struct {
		set   func(c *scene)
		after time.Duration
		v     Verdict
		code  Code
		phase Phase
	}{
		"not yet":          {func(*scene) {}, 24*hour - time.Second, Wait, CodeWatching, Running},
		"a day":            {func(*scene) {}, 24 * hour, Complete, CodeGood, Stable},
		"many fell silent": {func(c *scene) { c.each(Full, 100, func(r *Robot) { r.Since = Window{} }) }, 24 * hour, Ask, CodeUnclear, Asking},
		"a trigger": {func(c *scene) {
			c.each(Full, 1, func(r *Robot) { r.Progress = r.With(RolledBack, "silent", noon.Add(hour)) })
		},
			24 * hour, Halt, CodeTrigger, Halted},
	} {
		t.Run(name, func(t *testing.T) {
			c := at(t, Full).taken(Stages()...).counted(24*hour, nil)
			c.decide(0)
			test.set(c)
			want(t, c.decide(test.after), test.v, test.code, "")
			if c.s.Phase != test.phase {
				t.Errorf("phase %s", c.s.Phase)
			}
		})
	}
}

// Robots that are away for ever do not count, neither as healthy nor as ill.
func TestFullWithoutAnybody(t *testing.T) {
	c := at(t, Full)
	c.each(Full, -1, func(r *Robot) { r.Heard = time.Time{} })
	c.decide(14 * 24 * hour)
	want(t, c.decide(15*24*hour), Ask, CodeNobody, "no robot has taken")
}

// A state goes through the store between two looks.
func TestStateSurvivesItsStore(t *testing.T) {
	c := at(t, Canary).taken(Internal, Canary).counted(48*hour, nil)
	for after := time.Duration(0); after < 48*hour; after += hour {
		c.decide(after)
		b, err := json.Marshal(c.s)
		if err != nil {
			t.Fatal(err)
		}
		if c.s, err = ParseState(b); err != nil {
			t.Fatal(err)
		}
	}
	want(t, c.decide(48*hour), Advance, CodeGood, "")
}

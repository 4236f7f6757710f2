package rollout

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

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
		"one put it back": {set: func(c *scene) {
			c.each(Canary, 1, func(r *Robot) { r.Progress = Progress{}.With(RolledBack, "unhealthy", noon) })
		}, v: Ask, code: CodeUnclear, text: "1 of 62 robots put it back (canary-0)"},
		"a person put it back": {set: func(c *scene) {
			c.each(Canary, 1, func(r *Robot) { r.Progress = r.With(RolledBack, "operator", noon) })
		}, v: Advance, code: CodeGood},
		"one download failed": {set: func(c *scene) {
			c.each(Canary, 1, func(r *Robot) { r.Progress = Progress{}.With(Failed, "download", noon) })
		}, v: Advance, code: CodeGood},
		"people cancelled some": {set: func(c *scene) {
			c.each(Canary, 9, func(r *Robot) { r.Progress = Progress{}.With(Failed, "cancelled", noon) })
		}, v: Advance, code: CodeGood},
		"nobody reports": {change: func(r *Robot) { r.Since = Window{} }, v: Ask, code: CodeTooFew, text: "too few"},
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

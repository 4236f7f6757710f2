package preflight

import (
	"slices"
	"testing"
	"time"
)

func reason(c Code) Reason { return Reason{Code: c, Text: string(c), Since: noon, Lift: "x"} }

// One lucky reading is not enough, also when it is the first.
func TestVigilWantsToHaveSeenAllGatesOpen(t *testing.T) {
	var v Vigil
	var open bool
	for _, tt := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {time.Second, false}, {2*time.Second - 1, false}, {2 * time.Second, true}, {time.Minute, true}} {
		var shut []Reason
		v, shut, open = v.Look(nil, noon.Add(tt.after), 2*time.Second, noon.Add(tt.after))
		if open != tt.want || len(shut) != 0 {
			t.Errorf("after %s: open %v, shut %v", tt.after, open, shut)
		}
	}
	if _, _, open = (Vigil{}).Look(nil, time.Time{}, 0, noon); !open {
		t.Error("without a settling time the first look is enough")
	}
}

// A battery that speaks every four seconds, or for the last time, opens nothing
// by one reading.
func TestVigilWantsNewReadings(t *testing.T) {
	var v Vigil
	at := func(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }
	for _, tt := range []struct {
		now, reading float64
		low, open    bool
	}{
		{0, 0, true, false},
		{4, 4, false, false}, // the lucky one
		{7.9, 4, false, false},
		{8, 8, true, false},
		{12, 12, false, false},
		{15.9, 12, false, false},
		{16, 16, false, true}, // the second on end
	} {
		var shut []Reason
		if tt.low {
			shut = []Reason{reason(BatteryLow)}
		}
		var open bool
		if v, _, open = v.Look(shut, at(tt.reading), 2*time.Second, at(tt.now)); open != tt.open {
			t.Errorf("after %v s: open %v", tt.now, open)
		}
	}
}

func TestOldestReading(t *testing.T) {
	for name, tt := range map[string]struct {
		do   do
		want bool // it is the oldest
	}{
		"battery":                     {func(s *scene) { s.facts.Battery.At = noon.Add(-time.Second) }, true},
		"battery on mains":            {func(s *scene) { s.p.Mains = true; s.facts.Battery.At = noon.Add(-time.Second) }, false},
		"battery that tells the dock": {func(s *scene) { s.p.Mains, s.p.DockTopic = true, false; s.facts.Battery.At = noon.Add(-time.Second) }, true},
		"emergency stop":              {func(s *scene) { s.facts.EStop.At = noon.Add(-time.Second) }, true},
		"firmware":                    {func(s *scene) { s.facts.Firmware.At = noon.Add(-time.Second) }, true},
		"odometry":                    {func(s *scene) { s.facts.Odometry.At = noon.Add(-time.Second) }, true},
		"no odometry":                 {func(s *scene) { s.facts.Odometry.At = time.Time{} }, false},
		"Wi-Fi":                       {func(s *scene) { s.facts.Conditions.RSSI.At = noon.Add(-time.Second) }, true},
		"Wi-Fi, not asked for":        {func(s *scene) { s.p.MinRSSI = 0; s.facts.Conditions.RSSI.At = noon.Add(-time.Second) }, false},
		"heat":                        {func(s *scene) { s.facts.Conditions.Thermal.At = noon.Add(-time.Second) }, true},
		"dock":                        {func(s *scene) { s.facts.Dock.At = noon.Add(-time.Second) }, true},
		"dock, not needed":            {func(s *scene) { s.p.NeedDock = false; s.facts.Dock.At = noon.Add(-time.Second) }, false},
		"dock on change alone":        {func(s *scene) { s.p.DockFresh = time.Hour; s.facts.Dock.At = noon.Add(-time.Second) }, false},
		"command":                     {func(s *scene) { s.facts.Command.At = noon.Add(-time.Second) }, false},
	} {
		s := at(noon)
		tt.do(s)
		if got := Oldest(s.facts, s.p); got.Equal(noon.Add(-time.Second)) != tt.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestVigilKeepsGatesApart(t *testing.T) {
	var v Vigil
	look := func(after time.Duration, shut ...Reason) []Reason {
		var out []Reason
		v, out, _ = v.Look(shut, noon.Add(after), 2*time.Second, noon.Add(after))
		return out
	}
	look(0, reason(BatteryLow), reason(Moving))
	// The battery opens; it still comes first, and says what it waits for.
	got := look(time.Second, reason(Moving))
	if !slices.Equal(codes(got), []Code{BatteryLow, Moving}) || got[0].Lift != "the gate staying open for 2s" || got[1].Lift != "x" {
		t.Errorf("%+v", got)
	}
	if got := look(3*time.Second, reason(Moving)); !slices.Equal(codes(got), []Code{Moving}) {
		t.Errorf("the battery has settled: %v", codes(got))
	}
	// Another inhibitor is another gate.
	a, b := Reason{Code: Inhibited, Text: "arm", Since: noon}, Reason{Code: Inhibited, Text: "nav", Since: noon}
	look(4*time.Second, a)
	if got := look(5*time.Second, b); !slices.Equal(codes(got), []Code{Moving, Inhibited, Inhibited}) {
		t.Errorf("%v", codes(got))
	}
}

func TestVigilSurvivesAClockThatJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"back": -1000 * time.Hour, "forth": 1000 * time.Hour} {
		var v Vigil
		var open bool
		v, _, _ = v.Look([]Reason{reason(Moving)}, noon, 2*time.Second, noon)
		v, _, _ = v.Look(nil, noon.Add(time.Second), 2*time.Second, noon.Add(time.Second))
		now := noon.Add(jump)
		for range 3 {
			v, _, open = v.Look(nil, now, 2*time.Second, now)
			now = now.Add(time.Second)
		}
		if !open {
			t.Errorf("%s: it never opens again", name)
		}
	}
}

// A vigil is a value: looking does not change the one that was looked from.
func TestVigilIsAValue(t *testing.T) {
	v, _, _ := (Vigil{}).Look([]Reason{reason(Moving)}, noon, 2*time.Second, noon)
	first, _, _ := v.Look(nil, noon.Add(time.Second), 2*time.Second, noon.Add(time.Second))
	_, _, _ = v.Look([]Reason{reason(Moving)}, noon, 2*time.Second, noon.Add(time.Second))
	if _, shut, _ := first.Look(nil, noon, 2*time.Second, noon.Add(3*time.Second)); len(shut) != 0 {
		t.Errorf("%v", codes(shut))
	}
}

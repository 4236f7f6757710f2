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
		v, shut, open = v.Look(nil, 2*time.Second, noon.Add(tt.after))
		if open != tt.want || len(shut) != 0 {
			t.Errorf("after %s: open %v, shut %v", tt.after, open, shut)
		}
	}
	if _, _, open = (Vigil{}).Look(nil, 0, noon); !open {
		t.Error("without a settling time the first look is enough")
	}
}

func TestVigilKeepsGatesApart(t *testing.T) {
	var v Vigil
	look := func(after time.Duration, shut ...Reason) []Reason {
		var out []Reason
		v, out, _ = v.Look(shut, 2*time.Second, noon.Add(after))
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
		v, _, _ = v.Look([]Reason{reason(Moving)}, 2*time.Second, noon)
		v, _, _ = v.Look(nil, 2*time.Second, noon.Add(time.Second))
		now := noon.Add(jump)
		for range 3 {
			v, _, open = v.Look(nil, 2*time.Second, now)
			now = now.Add(time.Second)
		}
		if !open {
			t.Errorf("%s: it never opens again", name)
		}
	}
}

// A vigil is a value: looking does not change the one that was looked from.
func TestVigilIsAValue(t *testing.T) {
	v, _, _ := (Vigil{}).Look([]Reason{reason(Moving)}, 2*time.Second, noon)
	first, _, _ := v.Look(nil, 2*time.Second, noon.Add(time.Second))
	_, _, _ = v.Look([]Reason{reason(Moving)}, 2*time.Second, noon.Add(time.Second))
	if _, shut, _ := first.Look(nil, 2*time.Second, noon.Add(3*time.Second)); len(shut) != 0 {
		t.Errorf("%v", codes(shut))
	}
}

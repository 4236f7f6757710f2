package rollout

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestObey(t *testing.T) {
	all := []Verdict{Pause, Resume, Advance, Halt}
	want := map[Phase]map[Verdict]Phase{
		Running: {Pause: Paused, Advance: Running, Halt: Halted},
		Asking:  {Pause: Paused, Advance: Running, Halt: Halted},
		Paused:  {Resume: Running, Halt: Halted},
		Halted:  {},
		Stable:  {},
	}
	for _, phase := range Phases() {
		for _, order := range all {
			s := State{Schema: Schema, Phase: phase, Stage: Canary, Opened: noon, PausedAt: noon}
			next, d, err := Obey(s, Order{order, "eve", " because "}, noon.Add(time.Hour))
			to, allowed := want[phase][order]
			if !allowed {
				var refused *OrderError
				if !errors.As(err, &refused) || next.Phase != phase {
					t.Errorf("%s %s: %v, %v", phase, order, next.Phase, err)
				}
				continue
			}
			if err != nil || next.Phase != to || d.Verdict != order || d.By != "eve" || d.Reason != "because" || d.Code != CodeOrdered || next.Latest.Text != d.Text {
				t.Errorf("%s %s: %+v, %+v, %v", phase, order, next, d, err)
			}
		}
	}
}

func TestObeyRefusesWhatNobodyStandsFor(t *testing.T) {
	s := State{Phase: Running, Stage: Canary}
	for _, o := range []Order{{Halt, "", "x"}, {Halt, "eve", " "}, {Halt, "eve", strings.Repeat("x", maxReason+1)}, {Wait, "eve", "x"}, {"explode", "eve", "x"}} {
		if _, _, err := Obey(s, o, noon); err == nil {
			t.Errorf("%+v was obeyed", o)
		}
	}
}

// A promotion goes through all stages, and says of each who wanted it.
func TestPromoteToTheEnd(t *testing.T) {
	s, d := Begin(plan(t), "eve", "", noon)
	if d.Verdict != Start || s.Phase != Running || s.Stage != Internal {
		t.Fatalf("%+v %+v", s, d)
	}
	for i, want := range []Stage{Canary, Wide, Full, ""} {
		before := s.Passed
		now := noon.Add(time.Duration(i+1) * time.Hour)
		var err error
		if s, d, err = Obey(s, Order{Advance, "eve", "it is fine"}, now); err != nil || d.To != want {
			t.Fatalf("%+v, %v", d, err)
		}
		if len(s.Passed) != len(before)+1 || s.Passed[i].By != "eve" {
			t.Errorf("%+v", s.Passed)
		}
		if want != "" && (s.Stage != want || s.Opened != now || !s.Filled.IsZero() || s.Split != noon.Add(time.Hour)) {
			t.Errorf("%+v", s)
		}
	}
	if s.Phase != Stable || d.Verdict != Complete || s.Ended != noon.Add(4*time.Hour) {
		t.Errorf("%+v %+v", s, d)
	}
}

// The time of a pause is no time of a stage that waits for its robots.
func TestPauseStopsPatience(t *testing.T) {
	s := State{Phase: Running, Stage: Canary, Opened: noon}
	s, _, _ = Obey(s, Order{Pause, "eve", "x"}, noon.Add(time.Hour))
	s, _, _ = Obey(s, Order{Resume, "eve", "x"}, noon.Add(6*time.Hour))
	if s.Opened != noon.Add(5*time.Hour) || !s.PausedAt.IsZero() {
		t.Errorf("%+v", s)
	}
}

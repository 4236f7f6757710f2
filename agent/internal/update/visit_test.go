package update

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
)

func TestAVisitOfTheLoader(t *testing.T) {
	m, effects := run(t, New(), VisitAsked{})
	if !m.Held || m.Loader || m.Job.State != Idle || !slices.Equal(effects, []Effect{DoBorrow}) {
		t.Fatalf("asked for: %+v %v", m, effects)
	}
	for _, ev := range []Event{asked, VisitAsked{}, RollbackAsked{ID: "r"}} {
		var busy *BusyError
		if _, _, err := Next(m, ev, noon); !errors.As(err, &busy) || !busy.Held {
			t.Errorf("%T during a visit: %v", ev, err)
		}
	}
	if _, effects := run(t, m, Restarted{}); !slices.Equal(effects, []Effect{DoRelease}) {
		t.Errorf("died with the line: %v", effects)
	}
	in, effects := run(t, m, LineTaken{})
	if !in.Held || !in.Loader || !slices.Equal(effects, []Effect{DoVisit}) {
		t.Fatalf("line taken: %+v %v", in, effects)
	}
	if _, effects := run(t, in, Restarted{}); !slices.Equal(effects, []Effect{DoRelease}) {
		t.Errorf("died in the loader: %v", effects)
	}
	out, effects := run(t, in, Released{})
	if !reflect.DeepEqual(out, New()) || len(effects) > 0 {
		t.Errorf("over: %+v %v", out, effects)
	}
	if _, _, err := Next(in, LineTaken{}, noon); err == nil {
		t.Error("the line was taken twice")
	}
	if _, _, err := Next(New(), LineTaken{}, noon); err == nil {
		t.Error("a line that nobody asked for was taken")
	}
}

func TestNoVisitDuringAnUpdate(t *testing.T) {
	for _, state := range States() {
		if state.Terminal() || state == RollingBack {
			continue
		}
		m := until(t, state)
		got, effects, err := Next(m, VisitAsked{}, noon)
		var busy *BusyError
		if state == Observing {
			if !errors.Is(err, ErrObserved) {
				t.Errorf("%s: %v", state, err)
			}
		} else if !errors.As(err, &busy) {
			t.Errorf("%s: %v", state, err)
		}
		if !reflect.DeepEqual(got, m) || effects != nil {
			t.Errorf("%s: refused, and something changed", state)
		}
	}
	m, _ := run(t, until(t, Writing), EffectFailed{Code: "cable"})
	if _, _, err := Next(m, VisitAsked{}, noon); err == nil || !strings.Contains(err.Error(), "still being put back") {
		t.Errorf("while the chip is put back: %v", err)
	}
	run(t, m, Released{}, VisitAsked{})
}

func TestNotNowNamesEachReason(t *testing.T) {
	err := &NotNowError{Reasons: []preflight.Reason{{Text: "the robot moves", Lift: "standing still"}, {Text: "E-stop", Lift: "releasing it"}}}
	if got := err.Error(); got != "not now: the robot moves (lifted by standing still); E-stop (lifted by releasing it)" {
		t.Error(got)
	}
}

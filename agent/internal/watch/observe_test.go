package watch

import (
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// confirmed is a robot whose confirmed firmware reports at second s.
func confirmed(f robot.Facts, s float64, boots uint64) robot.Facts {
	w := word(next, s)
	w.OTAState, w.BootCount = "valid", boots
	return f.With(w).With(robot.Diagnostic{Name: "r/system", At: at(s)})
}

func TestObservedReboots(t *testing.T) {
	tests := []struct {
		name  string
		boots map[float64]uint64 // second → boot count from then on
		fires bool
	}{
		{"none", nil, false},
		{"three in five minutes", map[float64]uint64{10: 8, 100: 9, 200: 10}, false},
		{"four in five minutes", map[float64]uint64{10: 8, 100: 9, 200: 10, 305: 11}, true},
		{"four in five minutes to the second", map[float64]uint64{10: 8, 100: 9, 200: 10, 310: 11}, true},
		{"four in more than that", map[float64]uint64{10: 8, 100: 9, 200: 10, 315: 11}, false},
		{"many at once", map[float64]uint64{50: 90}, true},
		{"counter starts again", map[float64]uint64{50: 0}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := confirmed(robot.Facts{}, 0, 7)
			o := NewObservation(DefaultObservePolicy(), next, f, noon)
			boots, fired := uint64(7), false
			for s := 5.0; s <= 600 && !fired; s += 5 {
				if b, ok := tt.boots[s]; ok {
					boots = b
				}
				var a *Alarm
				f = confirmed(f, s, boots)
				if o, a = o.Look(f, at(s)); a != nil {
					fired = true
					if a.Code != CodeReboots || len(a.Evidence) < 4 {
						t.Fatalf("fired %+v", a)
					}
				}
			}
			if fired != tt.fires {
				t.Errorf("fired %v, want %v", fired, tt.fires)
			}
		})
	}
}

// The firmware's reboots count from the first moment on: what it said of its
// boots in the trial is where the counting begins.
func TestAnObservedRebootAtOnce(t *testing.T) {
	f := confirmed(robot.Facts{}, -0.4, 7)
	o := NewObservation(DefaultObservePolicy(), next, f, noon)
	for i, s := range []float64{0.3, 60, 120, 180} {
		var a *Alarm
		f = confirmed(f, s, uint64(8+i))
		if o, a = o.Look(f, at(s)); (a != nil) != (i == 3) {
			t.Errorf("reboot %d: %+v", i+1, a)
		}
	}
	other := NewObservation(DefaultObservePolicy(), next, robot.Facts{}.With(word(was, -0.4)), noon)
	if other, _ = other.Look(confirmed(robot.Facts{}, 1, 90), at(1)); len(other.reboots) != 0 {
		t.Error("another firmware's boots are counted as this one's")
	}
}

func TestObservedSilence(t *testing.T) {
	f := confirmed(robot.Facts{}, 1, 7)
	o := NewObservation(DefaultObservePolicy(), next, f, noon)
	if _, a := o.Look(f, at(61)); a != nil {
		t.Errorf("at 60 s: %+v", a)
	}
	if _, a := o.Look(f, at(61.001)); a == nil || a.Code != CodeSilent {
		t.Errorf("just after: %+v", a)
	}
	late := NewObservation(DefaultObservePolicy(), next, f, at(1000))
	if _, a := late.Look(f, at(1059)); a != nil {
		t.Errorf("what was silent before the watch began counts only from its beginning: %+v", a)
	}
}

func TestObservedEStop(t *testing.T) {
	stop := func(state robot.EStopState, reason string) robot.EStop {
		return robot.EStop{Stopped: state == robot.EStopStopped, State: state, Reason: reason, At: at(2)}
	}
	tests := []struct {
		name   string
		before robot.EStop
		stop   robot.EStop
		fires  bool
	}{
		{"unexplained", robot.EStop{At: noon}, stop(robot.EStopStopped, "overcurrent"), true},
		{"no reason", robot.EStop{At: noon}, stop(robot.EStopStopped, ""), true},
		{"an operator's", robot.EStop{At: noon}, stop(robot.EStopStopped, "operator pressed"), false},
		{"recovering from one", robot.EStop{At: noon}, stop(robot.EStopRecovery, ""), false},
		{"recovering from one of before, then again", robot.EStop{State: robot.EStopRecovery, At: noon}, stop(robot.EStopStopped, "x"), true},
		{"announced otherwise", robot.EStop{At: noon}, robot.EStop{Stopped: true, Announced: true, At: at(2)}, false},
		{"heard before the watch began", robot.EStop{At: noon}, robot.EStop{Stopped: true, At: noon}, false},
		{"was on before", robot.EStop{Stopped: true, At: noon}, stop(robot.EStopStopped, "x"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := confirmed(robot.Facts{}, 1, 7).With(tt.before)
			o := NewObservation(DefaultObservePolicy(), next, f, noon)
			_, a := o.Look(f.With(tt.stop), at(2))
			if (a != nil) != tt.fires || (a != nil && a.Code != CodeEStop) {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestAnOperatorsStopDoesNotExcuseTheNext(t *testing.T) {
	for name, between := range map[string]robot.EStop{"released": {At: at(3)}, "in recovery": {State: robot.EStopRecovery, At: at(3)}} {
		f := confirmed(robot.Facts{}, 1, 7).With(robot.EStop{At: noon})
		o := NewObservation(DefaultObservePolicy(), next, f, noon)
		var a *Alarm
		for i, e := range []robot.EStop{
			{Stopped: true, Reason: "operator", At: at(2)}, {Stopped: true, Reason: "still", At: at(2.5)}, between,
			{Stopped: true, Reason: "overcurrent", At: at(4)},
		} {
			if o, a = o.Look(f.With(e), e.At); (a != nil) != (i == 3) {
				t.Errorf("%s, step %d: %+v", name, i, a)
			}
		}
	}
}

func TestObservedStranger(t *testing.T) {
	f := confirmed(robot.Facts{}, 1, 7)
	o := NewObservation(DefaultObservePolicy(), next, f, noon)
	if _, a := o.Look(f.With(word(was, 2)), at(2)); a == nil || a.Code != CodeStranger {
		t.Errorf("%+v", a)
	}
}

package watch

import (
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	next = Identity{Slot: "ota_1", Version: compat.Version{Minor: 2, Patch: 1}, AppSHA256: "bb"}
	was  = Identity{Slot: "ota_0", Version: compat.Version{Minor: 2}, AppSHA256: "aa"}
)

func at(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }

// word is a report of a firmware in good health, s seconds after the reset.
func word(id Identity, s float64) robot.Firmware {
	return robot.Firmware{Slot: id.Slot, Version: id.Version, AppSHA256: id.AppSHA256, OTAState: "pending_verify",
		SafetyState: "normal", Motors: "idle", SelfTest: "running", BootCount: 7, At: at(s)}
}

// good reports every second from 1 to 31 and confirms itself after 5.
func good() []robot.Observation {
	var out []robot.Observation
	for s := 1.0; s <= 31; s++ {
		w := word(next, s)
		if s >= 5 {
			w.OTAState, w.SelfTest = "valid", "passed"
		}
		out = append(out, w)
	}
	return out
}

// play feeds the observations in order and then looks every second until the
// trial is decided or 100 s have gone.
func play(p TrialPolicy, seen []robot.Observation) Verdict {
	tr := NewTrial(p, next, was, noon)
	var f robot.Facts
	var v Verdict
	i := 0
	for s := 0.0; s < 100; s += 0.5 {
		for ; i < len(seen) && !when(seen[i]).After(at(s)); i++ {
			f = f.With(seen[i])
			if tr, v = tr.Look(f, when(seen[i])); v.Phase >= Passed {
				return v
			}
		}
		if tr, v = tr.Look(f, at(s)); v.Phase >= Passed {
			return v
		}
	}
	return v
}

func when(o robot.Observation) time.Time {
	switch o := o.(type) {
	case robot.Firmware:
		return o.At
	case robot.EStop:
		return o.At
	}
	return time.Time{}
}

// but changes the reports from second s on.
func but(s float64, change func(*robot.Firmware)) []robot.Observation {
	seen := good()
	for i, o := range seen {
		if w := o.(robot.Firmware); !w.At.Before(at(s)) {
			change(&w)
			seen[i] = w
		}
	}
	return seen
}

func TestTrial(t *testing.T) {
	tests := []struct {
		name string
		seen []robot.Observation
		code string // "" passes
		back bool
	}{
		{"good", good(), "", false},
		{"nothing heard", nil, CodeNoSign, false},
		{"only words from before the reset", []robot.Observation{word(next, -1)}, CodeNoSign, false},
		{"the old firmware again", []robot.Observation{word(was, 1), word(was, 2)}, CodeBack, true},
		{"one late word of the old firmware", append([]robot.Observation{word(was, 0.5)}, good()...), "", false},
		{"aborted on trial, the old one again", append(good()[:3], word(was, 6), word(was, 7)), CodeBack, true},
		{"another version", but(1, func(w *robot.Firmware) { w.Version.Patch = 9 }), CodeStranger, false},
		{"another image of that version", but(1, func(w *robot.Firmware) { w.AppSHA256 = "cc" }), CodeStranger, false},
		{"the new image, but from another slot", but(1, func(w *robot.Firmware) { w.Slot = "factory" }), CodeStranger, false},
		{"no slot said", but(1, func(w *robot.Firmware) { w.Slot = "" }), "", false},
		{"no hash said", but(1, func(w *robot.Firmware) { w.AppSHA256 = "" }), CodeStranger, false},
		{"marks itself invalid", but(4, func(w *robot.Firmware) { w.OTAState = "invalid" }), CodeSelfTest, false},
		{"self-test fails", but(4, func(w *robot.Firmware) { w.SelfTest = "failed" }), CodeSelfTest, false},
		{"self-test fails, the old firmware is back", append(but(4, func(w *robot.Firmware) { w.SelfTest = "failed" })[:4], word(was, 6), word(was, 7)), CodeSelfTest, true},
		{"ERROR", but(20, func(w *robot.Firmware) { w.Level = robot.Error }), CodeUnhealthy, false},
		{"WARN in between", but(20, func(w *robot.Firmware) { w.Level = robot.Warn }), "", false},
		{"reboots on trial", but(8, func(w *robot.Firmware) { w.BootCount++ }), CodeRebooted, false},
		{"falls silent", good()[:10], CodeSilent, false},
		{"never confirms", but(1, func(w *robot.Firmware) { w.OTAState = "pending_verify" }), CodeNotConfirmed, false},
		{"confirms and takes it back", but(25, func(w *robot.Firmware) { w.OTAState = "pending_verify" }), CodeNotConfirmed, false},
		{"unsafe at the end", but(28, func(w *robot.Firmware) { w.SafetyState = "degraded" }), CodeUnhealthy, false},
		{"motors on at the end", but(28, func(w *robot.Firmware) { w.Motors = "driving" }), CodeUnhealthy, false},
		{"self-test never ends", but(1, func(w *robot.Firmware) { w.SelfTest = "running" }), CodeSelfTest, false},
		{"E-stop out of nowhere", append(good()[:9], robot.EStop{Stopped: true, Reason: "overcurrent", At: at(9.5)}), CodeEStop, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := play(DefaultTrialPolicy(), tt.seen)
			if (v.Phase == Passed) != (tt.code == "") || v.Code != tt.code || v.Back != tt.back {
				t.Fatalf("got %+v, want code %q, back %v", v, tt.code, tt.back)
			}
			if v.Phase == Failed && v.Text == "" {
				t.Error("a failure without a word of explanation")
			}
		})
	}
}

// The same image in both slots: the slot tells which of them runs.
func TestTheSameImageAgain(t *testing.T) {
	same := Identity{Slot: "ota_0", Version: next.Version, AppSHA256: next.AppSHA256}
	tr := NewTrial(DefaultTrialPolicy(), next, same, noon)
	var v Verdict
	for s := 1.0; s <= 2; s++ {
		tr, v = tr.Look(robot.Facts{}.With(word(same, s)), at(s))
	}
	if v.Phase != Failed || !v.Back {
		t.Errorf("%+v", v)
	}
}

func TestTrialBoundaries(t *testing.T) {
	p := DefaultTrialPolicy()
	tr := NewTrial(p, next, was, noon)
	if _, v := tr.Look(robot.Facts{}, at(59.9)); v.Phase != Waiting {
		t.Errorf("at 59.9 s: %+v", v)
	}
	if _, v := tr.Look(robot.Facts{}, at(60)); v.Code != CodeNoSign {
		t.Errorf("at 60 s: %+v", v)
	}
	w := word(next, 1)
	w.OTAState, w.SelfTest = "valid", "passed"
	var f robot.Facts
	for s := 1.0; s <= 31; s += 5 {
		w.At = at(s)
		f = f.With(w)
		tr, _ = tr.Look(f, at(s))
	}
	if _, v := tr.Look(f, at(30.9)); v.Phase != Running || v.Left <= 0 {
		t.Errorf("just inside the window: %+v", v)
	}
	if _, v := tr.Look(f, at(31)); v.Phase != Passed || len(v.Evidence) == 0 {
		t.Errorf("at its end: %+v", v)
	}
}

func TestOperatorsStopIsNotTheFirmwares(t *testing.T) {
	stop := robot.EStop{Stopped: true, Reason: "Operator: button at the dock", At: at(9.5)}
	if v := play(DefaultTrialPolicy(), append(good()[:9:9], append([]robot.Observation{stop}, good()[9:]...)...)); v.Phase != Passed {
		t.Errorf("%+v", v)
	}
}

func TestAgentConfirms(t *testing.T) {
	p := DefaultTrialPolicy()
	p.SelfConfirm = false
	seen := but(1, func(w *robot.Firmware) { w.OTAState, w.SelfTest = "pending_verify", "" })
	if v := play(p, seen); v.Phase != Passed {
		t.Errorf("firmware that cannot confirm itself: %+v", v)
	}
}

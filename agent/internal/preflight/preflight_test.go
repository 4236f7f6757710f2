package preflight

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ready is a robot that may be updated.
func ready(now time.Time) robot.Facts {
	return robot.Facts{}.
		With(robot.Battery{Fraction: 0.8, At: now}).
		With(robot.EStop{At: now}).
		With(robot.Odometry{At: now}).
		With(robot.Diagnostic{Name: "r/system", At: now}).
		With(robot.Firmware{Version: compat.Version{Minor: 2}, OTAState: "valid", SafetyState: "NORMAL", Motors: "idle", At: now})
}

func policy() Policy {
	p := DefaultPolicy()
	p.Companion = compat.Version{Minor: 2}
	return p
}

func codes(rs []Reason) []Code {
	var out []Code
	for _, r := range rs {
		out = append(out, r.Code)
	}
	return out
}

func TestNothingHeardIsNotNow(t *testing.T) {
	want := []Code{BatteryUnknown, EStopUnknown, DiagnosticsGone, FirmwareUnknown}
	if got := codes(Check(robot.Facts{}, nil, Candidate{}, policy(), noon)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p := policy()
	p.Mains, p.NeedOdometry, p.NeedDock, p.DockTopic = true, true, true, true
	want = []Code{EStopUnknown, DiagnosticsGone, FirmwareUnknown, MotionUnknown, DockUnknown}
	if got := codes(Check(robot.Facts{}, nil, Candidate{}, p, noon)); !slices.Equal(got, want) {
		t.Errorf("on mains, with odometry and dock needed: got %v, want %v", got, want)
	}
}

// However much stands in the way, the reasons come in one order.
func TestReasonsComeInTheOrderOfCodes(t *testing.T) {
	s := at(noon.Add(50 * time.Minute))
	for _, change := range []do{battery(0.1), estop(robot.EStop{Stopped: true}), diagnostic(robot.Error), odometry(1, 0), command(1, 0), rssi("-90"), thermal("hot"), docked(false)} {
		change(s)
	}
	s.facts.Firmware.Motors, s.facts.Firmware.SafetyState = "running", "estop"
	s.c.Version = compat.Version{Major: 1}
	s.held = []Inhibitor{{Owner: "nav", Until: s.now.Add(1)}}
	got := s.codes()
	want := slices.DeleteFunc(Codes(), func(c Code) bool { return !slices.Contains(got, c) })
	if len(got) != 13 || !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestInhibitors(t *testing.T) {
	held := []Inhibitor{
		{Owner: "nav", Reason: "mapping", Since: noon.Add(-time.Minute), Until: noon.Add(time.Second)},
		{Owner: "arm", Since: noon.Add(-time.Minute), Until: noon},
	}
	got := Check(ready(noon), held, Candidate{}, policy(), noon)
	if !slices.Equal(codes(got), []Code{Inhibited}) || !got[0].Since.Equal(noon.Add(-time.Minute)) {
		t.Fatalf("got %+v, want the one lease that has not run out", got)
	}
	if want := "nav releasing its inhibitor, or its lease ending at 2026-03-01T12:00:01Z"; got[0].Lift != want {
		t.Errorf("lifted by %q, want %q", got[0].Lift, want)
	}
}

func TestSinceSurvivesAskingAgain(t *testing.T) {
	low := ready(noon).With(robot.Battery{Fraction: 0.2, At: noon})
	first := Check(low, nil, Candidate{}, policy(), noon)
	low = low.With(robot.EStop{Stopped: true, At: noon})
	again := Carry(first, Check(low, nil, Candidate{}, policy(), noon.Add(2*time.Second)))
	if !slices.Equal(codes(again), []Code{BatteryLow, EStopActive}) {
		t.Fatalf("got %v", codes(again))
	}
	if !again[0].Since.Equal(noon) || !again[1].Since.Equal(noon.Add(2*time.Second)) {
		t.Errorf("since %s and %s", again[0].Since, again[1].Since)
	}
}

// Two applications hold the robot back; each since its own moment.
func TestOneInhibitorsSinceIsNotAnothers(t *testing.T) {
	held := []Inhibitor{{Owner: "arm", Since: noon.Add(-time.Hour), Until: noon.Add(time.Hour)}, {Owner: "nav", Since: noon, Until: noon.Add(time.Hour)}}
	first := Check(ready(noon), held[:1], Candidate{}, policy(), noon)
	again := Carry(first, Check(ready(noon), held, Candidate{}, policy(), noon))
	if len(again) != 2 || !again[0].Since.Equal(noon.Add(-time.Hour)) || !again[1].Since.Equal(noon) {
		t.Errorf("%+v", again)
	}
}

// The line has been taken, which took a while: what was fresh when the gates
// were asked still is, and what was heard since then counts.
func TestRecheckWhenTheLineIsTaken(t *testing.T) {
	later := noon.Add(20 * time.Second)
	recheck := func(f robot.Facts, held ...Inhibitor) []Code {
		return codes(Recheck(f, held, Candidate{}, policy(), noon, later))
	}
	if got := recheck(ready(noon)); got != nil {
		t.Errorf("the firmware's silence counts: %v", got)
	}
	for name, tt := range map[string]struct {
		o    robot.Observation
		want Code
	}{
		"a command":                 {robot.Command{Linear: 0.3, At: noon.Add(time.Second)}, Commanded},
		"motion":                    {robot.Odometry{Linear: 0.3, At: later}, Moving},
		"an emergency stop":         {robot.EStop{Stopped: true, At: noon.Add(time.Millisecond)}, EStopActive},
		"a low battery":             {robot.Battery{Fraction: 0.1, At: noon.Add(time.Millisecond)}, BatteryLow},
		"a clock that was set back": {robot.EStop{At: later.Add(time.Hour)}, EStopUnknown},
	} {
		if got := recheck(ready(noon).With(tt.o)); !slices.Equal(got, []Code{tt.want}) {
			t.Errorf("%s: %v, want %s", name, got, tt.want)
		}
	}
	if got := recheck(ready(noon), Inhibitor{Owner: "nav", Until: later.Add(1)}); !slices.Equal(got, []Code{Inhibited}) {
		t.Errorf("an inhibitor: %v", got)
	}
	if got := recheck(ready(noon.Add(-6 * time.Second))); !slices.Contains(got, BatteryUnknown) {
		t.Errorf("what was stale when the gates were asked: %v", got)
	}
}

// A firmware that was updated, or restarted, may have stopped to tell what the
// one before told.
func TestConditionsAreTheRunningFirmwares(t *testing.T) {
	told := ready(noon).With(robot.Conditions{RSSI: robot.Value{Text: "-90", At: noon}})
	if got := codes(Check(told, nil, Candidate{}, policy(), noon)); !slices.Equal(got, []Code{WiFiWeak}) {
		t.Fatalf("got %v", got)
	}
	for name, change := range map[string]func(*robot.Firmware){
		"another version": func(w *robot.Firmware) { w.Version.Patch++ }, "another image": func(w *robot.Firmware) { w.AppSHA256 = "ff" },
		"restarted": func(w *robot.Firmware) { w.BootCount++ },
	} {
		w := told.Firmware
		change(&w)
		if got := Check(told.With(w), nil, Candidate{}, policy(), noon); got != nil {
			t.Errorf("%s: %v", name, codes(got))
		}
	}
	if got := codes(Check(told.With(told.Firmware), nil, Candidate{}, policy(), noon)); len(got) != 1 {
		t.Errorf("the same firmware again: %v", got)
	}
}

// What an operator reads.
func TestWords(t *testing.T) {
	for _, tt := range []struct {
		change     do
		text, lift string
	}{
		{battery(0.4), "the battery is at 40 %, and must be above 50 %", "charge above 50 %"},
		{estop(robot.EStop{Stopped: true, Reason: "operator: button"}), "the emergency stop is pressed (operator: button)", "releasing the emergency stop"},
		{rssi("-80"), "the firmware's Wi-Fi signal is -80 dBm, and must be -70 dBm or more", "a Wi-Fi signal of -70 dBm or more"},
		{rssi("n/a"), `the firmware reports a Wi-Fi signal of "n/a"`, "a Wi-Fi signal in dBm, below 0"},
		{thermal("critical"), `the firmware reports thermal state "critical"`, "thermal state ok, normal, nominal"},
		{docked(false), "the robot is not docked", "the robot being docked"},
		{old(dockAt), "the dock's state was last heard 5s ago", "fresh news of the dock"},
		{func(s *scene) { s.p.DockTopic = false }, "the robot is not docked", "the battery charging, or being full on its charger"},
		{func(s *scene) { s.facts.Diagnostics = nil }, "this robot's diagnostics, taken together: the latest was never heard", "diagnostics arriving again"},
		{minutes(50 * time.Minute), "this is outside of the maintenance windows (hourly)",
			"the next maintenance window, from 2026-03-01T13:00:00Z on, or an update that may begin at any time"},
	} {
		s := at(noon)
		tt.change(s)
		got := s.check()
		if len(got) != 1 || got[0].Text != tt.text || got[0].Lift != tt.lift {
			t.Errorf("got  %+v\nwant %q, lifted by %q", got, tt.text, tt.lift)
		}
	}
	if all := strings.Join([]string{string(WiFiWeak), string(OutsideWindow)}, " "); all != "wifi_weak outside_maintenance_window" {
		t.Errorf("codes are published and never change: %s", all)
	}
}

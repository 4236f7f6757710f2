package preflight

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ready is a robot that may be updated.
func ready() robot.Facts {
	return robot.Facts{}.
		With(robot.Battery{Fraction: 0.8, At: noon}).
		With(robot.EStop{At: noon}).
		With(robot.Odometry{At: noon}).
		With(robot.Diagnostic{Name: "r/system", At: noon}).
		With(robot.Firmware{Version: compat.Version{Minor: 2}, OTAState: "valid", SafetyState: "NORMAL", Motors: "idle", At: noon})
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

func TestGates(t *testing.T) {
	stale := noon.Add(-6 * time.Second)
	tests := []struct {
		name string
		hear []robot.Observation
		want []Code
	}{
		{"all is well", nil, nil},
		{"battery just at the limit", []robot.Observation{robot.Battery{Fraction: 0.5, At: noon}}, []Code{BatteryLow}},
		{"battery just above", []robot.Observation{robot.Battery{Fraction: 0.5001, At: noon}}, nil},
		{"battery empty", []robot.Observation{robot.Battery{Fraction: 0, At: noon}}, []Code{BatteryLow}},
		{"battery NaN", []robot.Observation{robot.Battery{Fraction: math.NaN(), At: noon}}, []Code{BatteryUnknown}},
		{"battery in percent", []robot.Observation{robot.Battery{Fraction: 80, At: noon}}, []Code{BatteryUnknown}},
		{"battery negative", []robot.Observation{robot.Battery{Fraction: -0.1, At: noon}}, []Code{BatteryUnknown}},
		{"battery stale", []robot.Observation{robot.Battery{Fraction: 0.8, At: stale}}, []Code{BatteryUnknown}},
		{"battery never heard", []robot.Observation{robot.Battery{}}, []Code{BatteryUnknown}},
		{"battery from the future", []robot.Observation{robot.Battery{Fraction: 0.8, At: noon.Add(time.Hour)}}, []Code{BatteryUnknown}},
		{"E-stop pressed", []robot.Observation{robot.EStop{Stopped: true, At: noon}}, []Code{EStopActive}},
		{"E-stop by its state alone", []robot.Observation{robot.EStop{State: robot.EStopStopped, At: noon}}, []Code{EStopActive}},
		{"recovering", []robot.Observation{robot.EStop{State: robot.EStopRecovery, At: noon}}, []Code{EStopActive}},
		{"unknown E-stop state", []robot.Observation{robot.EStop{State: 9, At: noon}}, []Code{EStopActive}},
		{"E-stop stale", []robot.Observation{robot.EStop{At: stale}}, []Code{EStopUnknown}},
		{"diagnostics ERROR", []robot.Observation{robot.Diagnostic{Name: "r/safety", Level: robot.Error, At: noon}}, []Code{DiagnosticsBad}},
		{"diagnostics WARN", []robot.Observation{robot.Diagnostic{Name: "r/safety", Level: robot.Warn, At: noon}}, nil},
		{"an old ERROR of somebody who left", []robot.Observation{robot.Diagnostic{Name: "r/gone", Level: robot.Error, At: stale}}, nil},
		{"diagnostics stale", []robot.Observation{robot.Diagnostic{Name: "r/system", At: stale}}, []Code{DiagnosticsGone}},
		{"moving", []robot.Observation{robot.Odometry{Linear: 0.3, At: noon}}, []Code{Moving}},
		{"turning backwards", []robot.Observation{robot.Odometry{Angular: -1, At: noon}}, []Code{Moving}},
		{"odometry NaN", []robot.Observation{robot.Odometry{Linear: math.NaN(), At: noon}}, []Code{Moving}},
		{"odometry fell silent", []robot.Observation{robot.Odometry{At: stale}}, []Code{Moving}},
		{"told to move", []robot.Observation{robot.Command{Linear: 0.3, At: noon}}, []Code{Commanded}},
		{"was told to move", []robot.Observation{robot.Command{Linear: 0.3, At: stale}}, nil},
		{"firmware silent", []robot.Observation{robot.Firmware{At: stale}}, []Code{FirmwareUnknown}},
		{"firmware on trial", []robot.Observation{robot.Firmware{OTAState: "pending_verify", At: noon}}, []Code{FirmwareOnTrial}},
		{"firmware unsafe, motors on", []robot.Observation{robot.Firmware{SafetyState: "fault", Motors: "driving", At: noon}}, []Code{FirmwareUnsafe, MotorsBusy}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := ready()
			for _, o := range tt.hear {
				f = f.With(o)
			}
			got := Check(f, nil, Candidate{}, policy(), noon)
			if !slices.Equal(codes(got), tt.want) {
				t.Fatalf("got %+v, want %v", got, tt.want)
			}
			for _, r := range got {
				if r.Text == "" || r.Lift == "" || !r.Since.Equal(noon) {
					t.Errorf("incomplete reason %+v", r)
				}
			}
		})
	}
}

func TestNothingHeardIsNotNow(t *testing.T) {
	want := []Code{BatteryUnknown, EStopUnknown, DiagnosticsGone, FirmwareUnknown}
	if got := codes(Check(robot.Facts{}, nil, Candidate{}, policy(), noon)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p := policy()
	p.Mains, p.NeedOdometry = true, true
	want = []Code{EStopUnknown, DiagnosticsGone, FirmwareUnknown, Moving}
	if got := codes(Check(robot.Facts{}, nil, Candidate{}, p, noon)); !slices.Equal(got, want) {
		t.Errorf("on mains, with odometry needed: got %v, want %v", got, want)
	}
}

func TestProtocol(t *testing.T) {
	for _, tt := range []struct {
		to   compat.Version
		want []Code
	}{
		{compat.Version{Minor: 2, Patch: 1}, nil},
		{compat.Version{Major: 1}, []Code{Incompatible}},
	} {
		if got := codes(Check(ready(), nil, Candidate{Version: tt.to}, policy(), noon)); !slices.Equal(got, tt.want) {
			t.Errorf("to %s: got %v, want %v", tt.to, got, tt.want)
		}
	}
}

func TestInhibitors(t *testing.T) {
	held := []Inhibitor{
		{Owner: "nav", Reason: "mapping", Since: noon.Add(-time.Minute), Until: noon.Add(time.Second)},
		{Owner: "arm", Since: noon.Add(-time.Minute), Until: noon},
	}
	got := Check(ready(), held, Candidate{}, policy(), noon)
	if !slices.Equal(codes(got), []Code{Inhibited}) || !got[0].Since.Equal(noon.Add(-time.Minute)) {
		t.Fatalf("got %+v, want the one lease that has not run out", got)
	}
}

func TestSinceSurvivesAskingAgain(t *testing.T) {
	low := ready().With(robot.Battery{Fraction: 0.2, At: noon})
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

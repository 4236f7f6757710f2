package rosnode

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

func TestConcerns(t *testing.T) {
	i := newIntake(Config{RobotID: "r1", FirmwareStatus: "esp32"}.filled())
	for name, want := range map[string]bool{
		"r1/system": true, "r1/firmware": true, "esp32": true,
		"r1/ota_agent": false, "r2/system": false, "r12/system": false, "r1": false, "": false, "/r1/system": false,
	} {
		if got := i.concerns(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestDiagnosticLevels(t *testing.T) {
	i := newIntake(Config{RobotID: "r1"}.filled())
	for level, want := range map[uint8]robot.Level{0: robot.OK, 1: robot.Warn, 2: robot.Error, 3: robot.Stale, 4: robot.Error, 255: robot.Error} {
		got, err := i.diagnostic(status{name: "r1/system", level: level}, noon)
		if err != nil || len(got) != 1 || got[0].(robot.Diagnostic).Level != want {
			t.Errorf("%d: %v, %v", level, got, err)
		}
	}
}

// Wi-Fi and heat are read where the firmware tells of them, and come after the
// firmware, with which those of the one before end.
func TestConditions(t *testing.T) {
	i := newIntake(Config{RobotID: "r1", SystemStatus: "board"}.filled())
	told := map[string]string{"firmware_version": "0.2.1", "wifi_rssi": "-52", "thermal": "ok"}
	for name, want := range map[string]int{"r1/firmware": 3, "board": 2, "r1/system": 1, "r1/wifi": 1} {
		got, err := i.diagnostic(status{name: name, values: told}, noon)
		if err != nil || len(got) != want {
			t.Errorf("%s: %v, %v", name, got, err)
			continue
		}
		if c, is := got[len(got)-1].(robot.Conditions); is != (want > 1) || is && (c.RSSI != robot.Value{Text: "-52", At: noon} || c.Thermal.Text != "ok") {
			t.Errorf("%s: %+v", name, got[len(got)-1])
		}
	}
	if !i.concerns("board") {
		t.Error("the status that is configured is not listened to")
	}
}

func TestMotion(t *testing.T) {
	m := motion([3]float64{3, 4, 12}, [3]float64{0, 0, -2}, noon)
	if m.Linear != 13 || m.Angular != 2 || !m.At.Equal(noon) {
		t.Errorf("%+v", m)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if m := motion([3]float64{bad}, [3]float64{0, bad}, noon); !math.IsInf(m.Linear, 1) || !math.IsInf(m.Angular, 1) {
			t.Errorf("%v: %+v", bad, m)
		}
	}
}

func TestBattery(t *testing.T) {
	for power, charging := range map[uint8]bool{0: false, 1: true, 2: false, 3: false, 4: true, 9: false} {
		if b := battery(0.5, power, noon); b.Charging != charging || b.Fraction != 0.5 {
			t.Errorf("power %d: %+v", power, b)
		}
	}
}

func TestEStop(t *testing.T) {
	e := estop(true, 2, strings.Repeat("x", 2*maxString), noon)
	if !e.Stopped || e.State != robot.EStopRecovery || len(e.Reason) != maxString || !e.At.Equal(noon) {
		t.Errorf("%+v", e)
	}
	if estop(false, 7, "", noon).Clear() {
		t.Error("a state that is none counts as clear")
	}
}

func TestAllReasons(t *testing.T) {
	waits := []preflight.Reason{{Code: preflight.BatteryLow}}
	failure := &update.Failure{Code: "hash", Text: "wrong"}
	for _, test := range []struct {
		s    update.Status
		want string
	}{
		{update.Status{State: update.Waiting, Reasons: waits}, "battery_low"},
		{update.Status{State: update.Failed, Failure: failure, Since: noon}, "hash"},
		{update.Status{State: update.RollingBack, Failure: failure}, ""},
		{update.Status{State: update.Idle, Failure: failure}, ""},
	} {
		got := allReasons(test.s)
		code := ""
		if len(got) == 1 {
			code = string(got[0].Code)
		}
		if len(got) > 1 || code != test.want {
			t.Errorf("%s: %v", test.s.State, got)
		}
	}
}

// A robot that stands still is posted ten times a second, one that starts to
// move at once.
func TestThinner(t *testing.T) {
	th := thinner{every: 100 * time.Millisecond}
	passed := 0
	for i := range 50 {
		noise := 0.001 * float64(i%3)
		if th.pass(robot.Motion{Linear: noise, At: noon.Add(time.Duration(i) * 20 * time.Millisecond)}) {
			passed++
		}
	}
	if passed < 9 || passed > 11 {
		t.Errorf("%d of 50 passed in a second", passed)
	}
	now := noon.Add(981 * time.Millisecond)
	if th.pass(robot.Motion{At: now}) {
		t.Error("the same again passed")
	}
	if !th.pass(robot.Motion{Linear: 0.02, At: now.Add(time.Millisecond)}) {
		t.Error("motion was held back")
	}
	if !th.pass(robot.Motion{Linear: 0.02, Angular: 0.02, At: now.Add(2 * time.Millisecond)}) {
		t.Error("turning was held back")
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"äöü", 3, "ä"}, {"a\xffb", 9, "a�b"}, {"", 0, ""}, {"€", 2, ""},
	} {
		if got := cut(test.in, test.n); got != test.want {
			t.Errorf("cut(%q, %d) = %q", test.in, test.n, got)
		}
	}
	if s := cut(strings.Repeat("\xf0\x9f", 1000), 100); !utf8.ValidString(s) {
		t.Error("not UTF-8")
	}
}

func TestHealth(t *testing.T) {
	for _, test := range []struct {
		name string
		s    update.Status
		want uint8
	}{
		{"idle", update.Status{State: update.Idle}, 0},
		{"at work", update.Status{State: update.Writing, Held: true}, 0},
		{"confirmed", update.Status{State: update.Observing}, 0},
		{"failed", update.Status{State: update.Failed, Failure: &update.Failure{Code: "hash"}}, 1},
		{"cancelled", update.Status{State: update.Failed, Failure: &update.Failure{Code: update.CodeCancelled}}, 0},
		{"rolled back", update.Status{State: update.RolledBack}, 1},
		{"the chip still in its loader", update.Status{State: update.Failed, Held: true}, 2},
	} {
		if got, _ := health(test.s); got != test.want {
			t.Errorf("%s: level %d", test.name, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, test := range []struct {
		level    uint8
		warnings []string
		want     uint8
		message  string
	}{
		{0, nil, 0, "nothing to do"},
		{0, []string{"a", "b"}, 1, "nothing to do; a; b"},
		{2, []string{"a"}, 2, "nothing to do; a"},
	} {
		if level, message := warned(test.level, "nothing to do", test.warnings); level != test.want || message != test.message {
			t.Errorf("%d, %q: got %d, %q", test.level, test.warnings, level, message)
		}
	}
}

func TestRequest(t *testing.T) {
	r, err := request(" https://h/x ", strings.Repeat("AB", 32), "0.2.1")
	if err != nil || r.URL != "https://h/x" || r.SHA256 != strings.Repeat("ab", 32) || r.Version.String() != "0.2.1" || r.Origin != update.FromROS {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := request("", "", "latest"); err == nil {
		t.Error("a version that is none was taken")
	}
	message, job := refused(&update.BusyError{JobID: "j", State: update.Writing})
	if job != "j" || !strings.Contains(message, "j is going on (writing)") {
		t.Errorf("%q, %q", message, job)
	}
}

func TestThinnedMotionIsCounted(t *testing.T) {
	th := thinner{every: 100 * time.Millisecond}
	start, sum, passed := time.Now(), uint64(0), 0
	for i := range 51 { // 50 Hz
		if m, ok := th.thin(robot.Motion{At: start.Add(time.Duration(i) * 20 * time.Millisecond)}); ok {
			sum += m.Messages
			passed++
		}
	}
	if sum != 51 || passed != 11 {
		t.Errorf("%d messages went through, for %d; want 11 for 51", passed, sum)
	}
}

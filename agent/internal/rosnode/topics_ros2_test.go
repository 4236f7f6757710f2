//go:build ros2

package rosnode

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/internal/rostest"
)

const diagnosticsType = "diagnostic_msgs/msg/DiagnosticArray"

func publish(topic, kind, qos string, message map[string]any) map[string]any {
	return map[string]any{"do": "publish", "topic": topic, "type": kind, "qos": qos, "message": message}
}

func diagnosticStatus(name string, level int, values ...string) map[string]any {
	kv := []any{}
	for i := 0; i+1 < len(values); i += 2 {
		kv = append(kv, map[string]any{"key": values[i], "value": values[i+1]})
	}
	return map[string]any{"name": name, "level": level, "message": "m", "values": kv}
}

func TestFactsReachTheBoard(t *testing.T) {
	r := start(t, Config{})
	c := rostest.NewClient(t)
	since := time.Now()

	c.Ask(publish("/battery_state", "sensor_msgs/msg/BatteryState", "latched", map[string]any{"percentage": 0.25, "power_supply_status": 1}), nil)
	eventually(t, "the battery", func() bool { b := r.board.Facts().Battery; return b.Fraction == 0.25 && b.Charging })
	c.Ask(publish("/battery_state", "sensor_msgs/msg/BatteryState", "latched", map[string]any{"percentage": "nan", "power_supply_status": 2}), nil)
	eventually(t, "a battery that does not know", func() bool { b := r.board.Facts().Battery; return math.IsNaN(b.Fraction) && !b.Charging })

	c.Ask(publish("/emergency_stop_state", "robot_interfaces/msg/EmergencyStopState", "latched",
		map[string]any{"stopped": true, "state": 1, "reason": "operator: button"}), nil)
	eventually(t, "the emergency stop", func() bool {
		e := r.board.Facts().EStop
		return e.Stopped && e.State == robot.EStopStopped && e.Reason == "operator: button"
	})

	odom := map[string]any{"twist": map[string]any{"twist": map[string]any{"linear": map[string]any{"x": 3, "y": 4}, "angular": map[string]any{"z": -0.5}}}}
	eventually(t, "odometry", func() bool { // what is sent best effort before the two have met is lost
		c.Ask(publish("/odom", "nav_msgs/msg/Odometry", "best_effort", odom), nil)
		o := r.board.Facts().Odometry
		return o.Linear == 5 && o.Angular == 0.5
	})

	for _, qos := range []string{"reliable", "best_effort"} { // both kinds of publisher are heard
		speed := map[string]float64{"reliable": 1, "best_effort": 2}[qos]
		eventually(t, "a command, "+qos, func() bool {
			c.Ask(publish("/cmd_vel", "geometry_msgs/msg/Twist", qos, map[string]any{"linear": map[string]any{"x": speed}}), nil)
			return r.board.Facts().Command.Linear == speed
		})
	}
	f := r.board.Facts()
	for what, at := range map[string]time.Time{"battery": f.Battery.At, "estop": f.EStop.At, "odom": f.Odometry.At, "cmd_vel": f.Command.At} {
		if at.Before(since) || at.After(time.Now()) {
			t.Errorf("%s was heard at %s", what, at)
		}
	}
}

// The dock may be latched, and have spoken long before the agent came, or speak
// again and again.
func TestTheDockReachesTheBoard(t *testing.T) {
	const kind = "std_msgs/msg/Bool"
	first := start(t, Config{Topics: Topics{Dock: "docked"}})
	c := rostest.NewClient(t)
	for i, qos := range []string{"latched", "reliable", "best_effort"} {
		is := i%2 == 0
		eventually(t, qos, func() bool { // what is not latched and sent before the two have met is lost
			c.Ask(publish("/docked", kind, qos, map[string]any{"data": is}), nil)
			d := first.board.Facts().Dock
			return !d.At.IsZero() && d.Docked == is
		})
	}
}

func TestALatchedDockIsHeardByWhoComesLate(t *testing.T) {
	rostest.Domain(t)
	c := rostest.NewClient(t)
	c.Send(map[string]any{"do": "read", "topic": "/docked", "type": "std_msgs/msg/Bool", "count": 1, "within": 10})
	speaker := rostest.NewClient(t)
	speaker.Ask(publish("/docked", "std_msgs/msg/Bool", "latched", map[string]any{"data": true}), nil)
	if err := c.Receive(nil); err != nil { // it has spoken, and will not again
		t.Fatal(err)
	}
	r := startIn(t, Config{Topics: Topics{Dock: "docked"}})
	eventually(t, "the dock", func() bool { return r.board.Facts().Dock.Docked })
}

func TestDiagnosticsReachTheBoard(t *testing.T) {
	r := start(t, Config{})
	c := rostest.NewClient(t)
	sum := strings.Repeat("ab", 32)
	c.Ask(publish("/diagnostics", diagnosticsType, "reliable", map[string]any{"status": []any{
		diagnosticStatus("r1/system", 1, "wifi_rssi", "-52", "long", strings.Repeat("x", 10_000)),
		diagnosticStatus("r1/firmware", 0, "firmware_version", "0.2.1", "protocol_version", "1", "app_sha256", sum,
			"slot", "ota_0", "ota_state", "pending_verify", "boot_count", "7", "motors", "idle"),
		diagnosticStatus("r2/system", 2),    // another robot's
		diagnosticStatus("r1/ota_agent", 2), // our own, or who claims to be us
		diagnosticStatus("r1/"+strings.Repeat("n", 1000), 2),
	}}), nil)
	eventually(t, "the firmware speaks", func() bool { return r.board.Facts().Firmware.Heard() })
	f := r.board.Facts()
	w := f.Firmware
	if w.Version != (compat.Version{Minor: 2, Patch: 1}) || w.Protocol != 1 || w.AppSHA256 != sum || w.Slot != "ota_0" ||
		w.OTAState != "pending_verify" || w.BootCount != 7 || w.Motors != "idle" {
		t.Errorf("firmware: %+v", w)
	}
	if len(f.Diagnostics) != 2 || f.Diagnostics["r1/system"].Level != robot.Warn || len(f.Diagnostics["r1/system"].Values["long"]) != maxString {
		t.Errorf("diagnostics: %+v", f.Diagnostics)
	}
	if f.Heard.Diagnostics != 1 {
		t.Errorf("one message counts as %d", f.Heard.Diagnostics)
	}
	// What the firmware cannot have meant is not believed, and heard all the same.
	c.Ask(publish("/diagnostics", diagnosticsType, "reliable", map[string]any{"status": []any{
		diagnosticStatus("r1/firmware", 2, "firmware_version", "banana"),
	}}), nil)
	eventually(t, "the status counts", func() bool { return r.board.Facts().Diagnostics["r1/firmware"].Level == robot.Error })
	if got := r.board.Facts().Firmware; got != w {
		t.Errorf("firmware became %+v", got)
	}
}

type otaStatus struct {
	State, Slot, Message string
	JobID                string `json:"job_id"`
	RunningVersion       string `json:"running_version"`
	TargetVersion        string `json:"target_version"`
	TargetSlot           string `json:"target_slot"`
	Progress             float64
	BytesDone            int `json:"bytes_done"`
	BytesTotal           int `json:"bytes_total"`
	Reasons              []struct{ Code, Text, Lift string }
}

type statuses struct {
	Messages []struct {
		After   float64
		Message otaStatus
	}
}

func readStatus(count int, within float64) map[string]any {
	return map[string]any{"do": "read", "topic": "/ota/status", "type": "robot_interfaces/msg/OtaStatus", "qos": "latched", "count": count, "within": within}
}

func TestStatusForThoseWhoComeLate(t *testing.T) {
	r := start(t, Config{})
	r.agent.become(func(s *update.Status) {
		*s = update.Status{
			State: update.Waiting, JobID: "job-9", Target: compat.Version{Major: 1}, Slot: "ota_1", Message: "waiting",
			Running:  update.Installed{Slot: "ota_0", Version: compat.Version{Minor: 2}},
			Progress: 0.5, BytesDone: 10, BytesTotal: 20,
			Reasons: []preflight.Reason{{Code: preflight.BatteryLow, Text: "40 %", Since: time.Now(), Lift: "charge"}},
		}
	})
	time.Sleep(300 * time.Millisecond)
	c := rostest.NewClient(t) // it was not there when the status changed
	var got statuses
	c.Ask(readStatus(1, 10), &got)
	m := got.Messages[0].Message
	if m.State != "waiting" || m.JobID != "job-9" || m.TargetVersion != "1.0.0" || m.RunningVersion != "0.2.0" || m.Slot != "ota_0" ||
		m.TargetSlot != "ota_1" || m.Progress != 0.5 || m.BytesDone != 10 || m.BytesTotal != 20 || m.Message != "waiting" {
		t.Errorf("status: %+v", m)
	}
	if len(m.Reasons) != 1 || m.Reasons[0].Code != string(preflight.BatteryLow) || m.Reasons[0].Text != "40 %" || m.Reasons[0].Lift != "charge" {
		t.Errorf("reasons: %+v", m.Reasons)
	}
}

// However often things change, ten statuses a second are enough; the last one
// is always published.
func TestStatusIsThrottled(t *testing.T) {
	r := start(t, Config{})
	c := rostest.NewClient(t)
	c.Ask(readStatus(1, 10), nil) // the two know each other
	c.Send(readStatus(1000, 3))
	time.Sleep(300 * time.Millisecond)
	for i := range 200 {
		r.agent.become(func(s *update.Status) { s.State, s.Progress, s.BytesDone = update.Writing, float64(i)/200, int64(i) })
		time.Sleep(5 * time.Millisecond)
	}
	r.agent.become(func(s *update.Status) { s.State, s.Progress = update.Attesting, 1 })
	var got statuses
	if err := c.Receive(&got); err != nil {
		t.Fatal(err)
	}
	if n := len(got.Messages); n < 4 || n > 30 {
		t.Errorf("%d statuses in 3 s", n)
	}
	if last := got.Messages[len(got.Messages)-1].Message; last.State != "attesting" {
		t.Errorf("the last was %+v", last)
	}
}

func TestOwnDiagnostics(t *testing.T) {
	r := start(t, Config{Version: "1.2.3"})
	r.agent.become(func(s *update.Status) {
		*s = update.Status{State: update.RolledBack, JobID: "job-1", Message: "rolled back", Running: update.Installed{Slot: "ota_0", Version: compat.Version{Minor: 2}}}
	})
	c := rostest.NewClient(t)
	var got struct {
		Messages []struct {
			Message struct {
				Status []struct {
					Name, Message string
					Level         int
					Values        []struct{ Key, Value string }
				}
			}
		}
	}
	c.Ask(map[string]any{"do": "read", "topic": "/diagnostics", "type": diagnosticsType, "count": 2, "within": 10}, &got)
	s := got.Messages[1].Message.Status[0]
	if s.Name != "r1/ota_agent" || s.Level != 1 || s.Message != "rolled back" {
		t.Errorf("status: %+v", s)
	}
	for _, want := range []struct{ Key, Value string }{{"state", "rolled_back"}, {"firmware_version", "0.2.0"}, {"slot", "ota_0"}, {"agent_version", "1.2.3"}} {
		if !slices.Contains(s.Values, want) {
			t.Errorf("no %v in %v", want, s.Values)
		}
	}
	if d := r.board.Facts().Diagnostics; len(d) != 0 {
		t.Errorf("the agent heard itself: %v", d)
	}
}

// A graph where the robot has a name of its own and the agent is told a
// parameter in the ways in which launch files and people do.
func TestParameters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "params.yaml")
	if err := os.WriteFile(file, []byte("/**:\n  ros__parameters:\n    gates:\n      min_battery: 0.7\n/other:\n  ros__parameters:\n    check_period_s: 1.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	minBattery, period := 0.5, 21600.0
	own := []Parameter{
		ReadOnly("robot_id", "who this is", "r1"),
		{Name: "gates.min_battery", Max: 0.99, Value: func() any { return minBattery }, Set: func(v any) error { minBattery = v.(float64); return nil }},
		{Name: "check_period_s", Max: 1e6, Value: func() any { return period }, Set: func(v any) error { period = v.(float64); return nil }},
	}
	start(t, Config{Parameters: own, Args: []string{"--ros-args", "--params-file", file, "-p", "check_period_s:=60"}})
	c := rostest.NewClient(t)
	call := func(service, kind string, request map[string]any, out any) {
		t.Helper()
		c.Call("/ota_agent/"+service, "rcl_interfaces/srv/"+kind, request, out)
	}
	var listed struct {
		Result struct{ Names, Prefixes []string }
	}
	call("list_parameters", "ListParameters", nil, &listed)
	if want := []string{"check_period_s", "gates.min_battery", "robot_id", "use_sim_time"}; !slices.Equal(listed.Result.Names, want) || !slices.Equal(listed.Result.Prefixes, []string{"gates"}) {
		t.Errorf("listed %+v", listed)
	}
	type value struct {
		Type   int
		Double float64 `json:"double_value"`
		String string  `json:"string_value"`
	}
	var got struct{ Values []value }
	get := func(names ...string) []value {
		call("get_parameters", "GetParameters", map[string]any{"names": names}, &got)
		return got.Values
	}
	if v := get("gates.min_battery", "check_period_s", "robot_id", "nonsense"); !slices.Equal(v, []value{{Type: 3, Double: 0.7}, {Type: 3, Double: 60}, {Type: 4, String: "r1"}, {}}) {
		t.Errorf("got %+v", v)
	}
	set := func(name string, value map[string]any) (bool, string) {
		var out struct {
			Results []struct {
				Successful bool
				Reason     string
			}
		}
		call("set_parameters", "SetParameters", map[string]any{"parameters": []any{map[string]any{"name": name, "value": value}}}, &out)
		return out.Results[0].Successful, out.Results[0].Reason
	}
	for _, test := range []struct {
		name  string
		value map[string]any
		why   string
	}{
		{"gates.min_battery", map[string]any{"type": 3, "double_value": 0.6}, ""},
		{"gates.min_battery", map[string]any{"type": 3, "double_value": 1.5}, "is not between"},
		{"gates.min_battery", map[string]any{"type": 4, "string_value": "half"}, "takes a value such as"},
		{"robot_id", map[string]any{"type": 4, "string_value": "r2"}, "configuration file"},
		{"use_sim_time", map[string]any{"type": 1, "bool_value": true}, "use_sim_time is not for this node"},
		{"nonsense", map[string]any{"type": 1}, "no such parameter"},
	} {
		if ok, why := set(test.name, test.value); ok != (test.why == "") || !strings.Contains(why, test.why) {
			t.Errorf("set %s to %v: %v, %q", test.name, test.value, ok, why)
		}
	}
	if v := get("gates.min_battery"); v[0].Double != 0.6 {
		t.Errorf("after setting: %+v", v)
	}
	var all struct {
		Result struct{ Successful bool }
	}
	call("set_parameters_atomically", "SetParametersAtomically", map[string]any{"parameters": []any{
		map[string]any{"name": "gates.min_battery", "value": map[string]any{"type": 3, "double_value": 0.8}},
		map[string]any{"name": "robot_id", "value": map[string]any{"type": 4, "string_value": "r2"}},
	}}, &all)
	if v := get("gates.min_battery"); all.Result.Successful || v[0].Double != 0.6 {
		t.Errorf("half of it was set: %+v, %+v", all, v)
	}
	var described struct {
		Descriptors []struct {
			Name     string
			Type     int
			ReadOnly bool `json:"read_only"`
			Range    []struct {
				To float64 `json:"to_value"`
			} `json:"floating_point_range"`
		}
	}
	call("describe_parameters", "DescribeParameters", map[string]any{"names": []string{"gates.min_battery", "robot_id"}}, &described)
	if d := described.Descriptors; len(d) != 2 || d[0].ReadOnly || len(d[0].Range) != 1 || d[0].Range[0].To != 0.99 || !d[1].ReadOnly || d[1].Type != 4 {
		t.Errorf("described %+v", d)
	}
	var kinds struct{ Types []int }
	call("get_parameter_types", "GetParameterTypes", map[string]any{"names": []string{"robot_id", "use_sim_time", "nonsense"}}, &kinds)
	if !slices.Equal(kinds.Types, []int{4, 1, 0}) {
		t.Errorf("types %v", kinds.Types)
	}
}

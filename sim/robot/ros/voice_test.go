//go:build ros2

package ros

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/internal/rostest"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/robot"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newRobot is a robot with firmware 0.2.0 in factory, on a graph of its own.
func newRobot(t *testing.T, args ...string) *robot.Robot {
	t.Helper()
	rostest.Domain(t)
	image, err := testimage.Build(testimage.Spec{Version: "0.2.0"})
	if err != nil {
		t.Fatal(err)
	}
	flash, err := espsim.Provision(0, 0, map[string][]byte{"factory": image})
	if err != nil {
		t.Fatal(err)
	}
	r, err := robot.New(robot.Config{ID: "r1", Battery: 0.8, Chip: espsim.Config{Flash: flash, SelfTest: -1, AppStart: -1, Restart: -1}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := New(args, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx, r) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := v.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		r.Close()
	})
	return r
}

// heard is what the client's read answers.
type heard[T any] struct {
	Messages []struct {
		After   float64
		Message T
	}
}

type diagnosticArray struct {
	Status []struct {
		Name   string
		Level  int
		Values []struct{ Key, Value string }
	}
}

type batteryState struct {
	Percentage float64
	Present    bool
	Status     int `json:"power_supply_status"`
}

type header struct{ Stamp stamped }

type stamped struct{ Sec, Nanosec int64 }

func (s stamped) seconds() float64 { return float64(s.Sec) + float64(s.Nanosec)/1e9 }

type estopState struct {
	Header  header
	Stopped bool
	State   int
	Reason  string
}

// ask subscribes to a topic and returns count of its messages.
func ask[T any](t *testing.T, c *rostest.Client, topic, kind, qos string, count int, within float64) heard[T] {
	t.Helper()
	var out heard[T]
	c.Ask(map[string]any{"do": "read", "topic": topic, "type": kind, "qos": qos, "count": count, "within": within}, &out)
	return out
}

const (
	diagnosticsType = "diagnostic_msgs/msg/DiagnosticArray"
	batteryType     = "sensor_msgs/msg/BatteryState"
	estopType       = "robot_interfaces/msg/EmergencyStopState"
	odometryType    = "nav_msgs/msg/Odometry"
)

func TestWhatTheFirmwarePublishes(t *testing.T) {
	r := newRobot(t)
	c := rostest.NewClient(t)

	t.Run("diagnostics", func(t *testing.T) {
		got := ask[diagnosticArray](t, c, "/diagnostics", diagnosticsType, "reliable", 3, 10)
		if len(got.Messages) != 3 {
			t.Fatalf("%d messages", len(got.Messages))
		}
		if d := got.Messages[2].After - got.Messages[1].After; d < 0.3 || d > 2 {
			t.Errorf("one every %.2f s, want 2 Hz", d)
		}
		names := map[string]map[string]string{}
		for _, s := range got.Messages[0].Message.Status {
			names[s.Name] = map[string]string{}
			for _, v := range s.Values {
				names[s.Name][v.Key] = v.Value
			}
		}
		for _, name := range []string{"r1/system", "r1/battery", "r1/safety", "r1/firmware"} {
			if names[name] == nil {
				t.Errorf("no status %s in %v", name, names)
			}
		}
		fw, app := names["r1/firmware"], r.Chip().App()
		if fw["firmware_version"] != "0.2.0" || fw["slot"] != "factory" || fw["app_sha256"] != app.SHA256 || fw["motors"] != "idle" {
			t.Errorf("firmware status %v", fw)
		}
	})
	t.Run("battery, latched", func(t *testing.T) {
		time.Sleep(50 * time.Millisecond)
		got := ask[batteryState](t, c, "/battery_state", batteryType, "latched", 3, 10)
		if len(got.Messages) != 3 {
			t.Fatalf("%d messages", len(got.Messages))
		}
		if m := got.Messages[0]; m.Message.Percentage < 0.79 || m.Message.Percentage > 0.8 || m.Message.Status != 2 {
			t.Errorf("first: %+v", m)
		}
		if d := got.Messages[2].After - got.Messages[1].After; d < 0.7 || d > 3 {
			t.Errorf("one every %.2f s, want 1 Hz", d)
		}
	})
	t.Run("emergency stop, on change", func(t *testing.T) {
		got := ask[estopState](t, c, "/emergency_stop_state", estopType, "latched", 2, 10)
		if len(got.Messages) != 2 || got.Messages[1].Message.Stopped {
			t.Fatalf("%+v", got)
		}
		last := got.Messages[1].Message // has just been published: the next by the clock is a second away
		if err := r.SetEStop(robot.EStop{Stopped: true, State: 1, Reason: "operator: button"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		now := ask[estopState](t, c, "/emergency_stop_state", estopType, "latched", 1, 10).Messages[0].Message
		if !now.Stopped || now.State != 1 || now.Reason != "operator: button" {
			t.Errorf("after the change: %+v", now)
		}
		if d := now.Header.Stamp.seconds() - last.Header.Stamp.seconds(); d > 0.9 {
			t.Errorf("the change was published after %.2f s", d)
		}
		if err := r.SetEStop(robot.EStop{}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("dock, on change", func(t *testing.T) {
		if err := r.Surround(func(s *robot.Surroundings) { s.Docked = true }); err != nil {
			t.Fatal(err)
		}
		until(t, "docked", func() bool {
			got := ask[struct{ Data bool }](t, c, "/docked", "std_msgs/msg/Bool", "latched", 1, 10)
			return len(got.Messages) == 1 && got.Messages[0].Message.Data
		})
	})
	t.Run("muted", func(t *testing.T) {
		if err := r.Surround(func(s *robot.Surroundings) { s.Muted = []string{"odom"} }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if got := ask[struct{}](t, c, "/odom", odometryType, "best_effort", 1, 0.5); len(got.Messages) != 0 {
			t.Error("odometry is heard although it is muted")
		}
		if got := ask[estopState](t, c, "/emergency_stop_state", estopType, "reliable", 1, 10); len(got.Messages) != 1 {
			t.Error("the emergency stop has gone with the odometry")
		}
		if err := r.Surround(func(s *robot.Surroundings) { s.Muted = nil }); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("odometry at 50 Hz, best effort", func(t *testing.T) {
		if err := r.SetVelocity(0.4, 0.1); err != nil {
			t.Fatal(err)
		}
		type odometry struct {
			Twist struct {
				Twist struct{ Linear, Angular struct{ X, Z float64 } }
			}
		}
		got := ask[odometry](t, c, "/odom", odometryType, "best_effort", 60, 10)
		if len(got.Messages) != 60 {
			t.Fatalf("%d messages", len(got.Messages))
		}
		if v := got.Messages[59].Message.Twist.Twist; v.Linear.X != 0.4 || v.Angular.Z != 0.1 {
			t.Errorf("twist %+v", v)
		}
		if rate := 50 / (got.Messages[59].After - got.Messages[9].After); rate < 20 || rate > 60 {
			t.Errorf("%.0f Hz", rate)
		}
	})
}

// While the chip is in its loader nothing is heard, and nothing latched is
// left for those who come late.
func TestNothingWhileTheFirmwareDoesNotRun(t *testing.T) {
	r := newRobot(t)
	c := rostest.NewClient(t)
	if got := ask[batteryState](t, c, "/battery_state", batteryType, "latched", 1, 10); len(got.Messages) != 1 {
		t.Fatal("the battery was not heard before")
	}
	r.Chip().ResetToBootloader()
	until(t, "the topics are off the graph", func() bool { return len(publishers(c)) == 0 })
	if got := ask[batteryState](t, c, "/battery_state", batteryType, "latched", 1, 1.5); len(got.Messages) != 0 {
		t.Errorf("heard while the chip is in its loader: %+v", got.Messages)
	}
	r.Chip().ResetToApp()
	if got := ask[diagnosticArray](t, c, "/diagnostics", diagnosticsType, "reliable", 1, 10); len(got.Messages) != 1 {
		t.Error("not heard again after the reset into the application")
	}
	r.Chip().PowerCut()
	until(t, "the topics are off the graph without power", func() bool { return len(publishers(c)) == 0 })
}

func TestNamespace(t *testing.T) {
	newRobot(t, "--ros-args", "-r", "__ns:=/r1")
	c := rostest.NewClient(t)
	if got := ask[batteryState](t, c, "/r1/battery_state", batteryType, "latched", 1, 10); len(got.Messages) != 1 {
		t.Error("not heard in the namespace")
	}
}

func publishers(c *rostest.Client) []string {
	var names struct{ Topics map[string][]string }
	c.Ask(map[string]any{"do": "names"}, &names)
	var ours []string
	for _, topic := range []string{"/odom", "/battery_state", "/emergency_stop_state", "/docked", "/diagnostics"} {
		if names.Topics[topic] != nil {
			ours = append(ours, topic)
		}
	}
	return ours
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

//go:build ros2

package rosnode

import (
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/internal/rostest"
)

// topic of a role as it is heard, which must be listened to.
func topic(t *testing.T, h robot.Hearing, r robot.Role) robot.Topic {
	t.Helper()
	x, ok := h.Topic(r)
	if !ok {
		t.Fatalf("no topic for %s in %+v", r, h)
	}
	return x
}

// What is heard, from whom, and why something is not: names with namespace and
// remaps, rates, and the request-offered rule.
func TestHearing(t *testing.T) {
	r := start(t, Config{Args: []string{"ota-agent", "--ros-args", "-r", "__ns:=/fleet", "-r", "odom:=wheels"}})
	c := rostest.NewClient(t)
	c.Ask(map[string]any{"do": "advertise", "topic": "/fleet/emergency_stop_state", "type": "robot_interfaces/msg/EmergencyStopState", "qos": "reliable"}, nil)
	c.Ask(map[string]any{"do": "advertise", "topic": "/diagnostics", "type": diagnosticsType, "qos": "best_effort"}, nil)
	c.Ask(map[string]any{"do": "advertise", "topic": "/fleet/cmd_vel", "type": "geometry_msgs/msg/TwistStamped", "qos": "reliable"}, nil)
	c.Ask(publish("/fleet/battery_state", "sensor_msgs/msg/BatteryState", "latched", map[string]any{"percentage": 0.5}), nil)
	times := publish("/fleet/wheels", "nav_msgs/msg/Odometry", "best_effort", map[string]any{})
	times["times"], times["hertz"] = 20, 20
	c.Ask(times, nil)
	c.Ask(publish("/diagnostics", diagnosticsType, "reliable", map[string]any{"status": []any{diagnosticStatus("r7/firmware", 0)}}), nil)

	var h robot.Hearing
	eventually(t, "all of it", func() bool {
		h, _ = r.node.Hearing()
		return len(h.Strangers) == 1 && len(topic(t, h, robot.EStopRole).Publishers) == 1 && topic(t, h, robot.BatteryRole).Heard > 0 &&
			len(topic(t, h, robot.CmdVelRole).Publishers) == 1 && len(topic(t, h, robot.DiagnosticsRole).Publishers) == 2
	})
	if h.Node != "/fleet/ota_agent" || h.Others != 1 || h.Domain == "0" || h.Since.IsZero() {
		t.Errorf("%+v", h)
	}
	if _, err := strconv.Atoi(h.Domain); err != nil {
		t.Error(err)
	}
	odom := topic(t, h, robot.OdomRole)
	if odom.Name != "/fleet/wheels" || odom.Heard < 10 || odom.Rate < 1 || time.Since(odom.At) > time.Minute || odom.Publishers[0] != (robot.Publisher{Node: "/driver"}) {
		t.Errorf("odometry: %+v", odom)
	}
	for role, want := range map[robot.Role]string{
		robot.EStopRole:       "it offers volatile, and transient local is asked for",
		robot.DiagnosticsRole: "it offers best effort, and reliable is asked for",
		robot.CmdVelRole:      "it publishes geometry_msgs/msg/TwistStamped, and geometry_msgs/msg/Twist is listened for",
	} {
		if x := topic(t, h, role); !slices.ContainsFunc(x.Publishers, func(p robot.Publisher) bool { return p.Mismatch == want && p.Node == "/driver" }) {
			t.Errorf("%s: %+v, want %q", role, x, want)
		}
	}
	if !slices.Equal(h.Strangers, []string{"r7"}) {
		t.Errorf("strangers %v", h.Strangers)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if _, up := r.node.Hearing(); up {
		t.Error("a node that has ended hears")
	}
}

// A node that only listens hears the same, beside the agent's or without it,
// and publishes nothing.
func TestListen(t *testing.T) {
	r := start(t, Config{})
	c := rostest.NewClient(t)
	c.Ask(publish("/battery_state", "sensor_msgs/msg/BatteryState", "latched", map[string]any{"percentage": 0.5}), nil)
	board := robot.NewBoard()
	type names struct {
		Nodes  []string
		Topics map[string][]string
	}
	var before, during names
	c.Ask(map[string]any{"do": "names"}, &before)
	heard := make(chan robot.Hearing, 1)
	listen := func(span time.Duration) robot.Hearing {
		h, err := Listen(t.Context(), Config{RobotID: "r1", Args: []string{"ota-agent", "--ros-args", "-r", "__node:=ota_agent"}}, board, span, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Error(err)
		}
		return h
	}
	go func() { heard <- listen(2 * time.Second) }()
	eventually(t, "the listener on the graph", func() bool {
		c.Ask(map[string]any{"do": "names"}, &during)
		return slices.Contains(during.Nodes, "/ota_doctor")
	})
	for name := range during.Topics {
		if _, old := before.Topics[name]; !old {
			t.Errorf("it brought the topic %s", name)
		}
	}
	h := <-heard
	for span := 4 * time.Second; h.Others != 2 && span < 20*time.Second; span *= 2 { // a busy machine takes its time to find all
		h = listen(span)
	}
	if h.Node != "/ota_doctor" || h.Others != 2 || topic(t, h, robot.BatteryRole).Heard != 1 || board.Facts().Battery.Fraction != 0.5 {
		t.Errorf("%+v, %+v", h, board.Facts().Battery)
	}
	if _, up := r.node.Hearing(); !up {
		t.Error("the agent's own node is gone")
	}
	_, err := Listen(t.Context(), Config{RobotID: "r1", Args: []string{"x", "--ros-args", "-p", "use_sim_time:=true"}}, board, time.Second, slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrSimTime) {
		t.Errorf("simulated time: %v", err)
	}
	if _, err = Listen(t.Context(), Config{RobotID: "r1", Namespace: "no space"}, board, time.Second, slog.New(slog.DiscardHandler)); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a bad namespace: %v", err)
	}
}

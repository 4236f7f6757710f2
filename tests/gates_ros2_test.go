//go:build ros2

package tests

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/internal/rostest"
)

// gated is the configuration of a robot with every gate, and a window that
// begins in so many hours.
func gated(hours int) string {
	hour := time.Now().UTC().Add(time.Duration(hours) * time.Hour).Hour()
	return fmt.Sprintf(`ros: {topics: {dock: docked}}
gates:
  fresh: 3s
  settle: 500ms
  need_odometry: true
  need_dock: true
  dock_fresh: 3s
  maintenance: [{start: "0 %d * * *", for: 2h, zone: UTC}]`, hour)
}

// codes are the gates that the agent says are shut.
func (p *plant) codes() []string {
	p.t.Helper()
	s, err := p.status()
	if err != nil {
		return nil
	}
	if s.State != "waiting" {
		p.t.Fatalf("the update does not wait: %+v", s)
	}
	out := make([]string, 0, len(s.Reasons))
	for _, r := range s.Reasons {
		out = append(out, r.Code)
	}
	return out
}

// sim gives the simulated robot a hand.
func (p *plant) hand(line string) {
	p.t.Helper()
	words := strings.Fields(line)
	p.run("ota-sim", append([]string{words[0], "--control", p.path("sim.sock")}, words[1:]...)...)
}

// An update waits, and meanwhile every gate shuts and opens again, each by what
// a real robot would say or not say. ROS tells the same as the agent's own
// interface. Then the agent is restarted with another window, and the update
// goes on by itself.
func TestGatesOverROS(t *testing.T) {
	t.Parallel()
	p := newPlant(t, options{config: gated(12)})
	p.heard()
	p.hand("dock --in")
	client := p.client()
	url := p.publish("0.2.1", "good")
	p.run("ota-agent", "inhibit", "test", "--for", "1h", "--socket", p.path("agent.sock"))
	p.trigger(url)
	always := []string{"outside_maintenance_window", "inhibited"}
	p.until("nothing but window and inhibitor", 30*time.Second, func() bool {
		s, err := p.status()
		return err == nil && s.State == "waiting" && slices.Equal(p.codes(), always)
	})
	since := p.waitsSince("inhibited")

	for i, tt := range []struct {
		shut, open string
		want       []string // among the gates that are shut
	}{
		{"battery --fraction 0.4", "battery --fraction 0.9", []string{"battery_low"}},
		{"battery --fraction 0.5", "battery --fraction 0.51", []string{"battery_low"}},
		{"battery --unknown", "battery --fraction 0.9", []string{"battery_unknown"}},
		{"estop --press", "estop --release", []string{"estop_active", "firmware_unsafe"}},
		{"mute battery_state emergency_stop_state odom docked system", "mute",
			[]string{"battery_unknown", "estop_unknown", "motion_unknown", "wifi_unknown", "thermal_unknown", "dock_unknown"}},
		{"mute diagnostics", "mute", []string{"diagnostics_stale", "firmware_unknown"}},
		{"health --level stale", "health --level ok", []string{"diagnostics_stale"}},
		{"health --level error", "health --level warn", []string{"diagnostics_error"}},
		{"mute firmware", "mute", []string{"firmware_unknown"}},
		{"velocity --linear 0.3", "velocity", []string{"motors_busy", "moving"}},
		{"wifi --rssi -71", "wifi --rssi -70", []string{"wifi_weak"}},
		{"wifi --rssi weak", "wifi --rssi -52", []string{"wifi_unknown"}},
		{"thermal --state warning", "thermal --state ok", []string{"thermal_warning"}},
		{"dock --out", "dock --in", []string{"undocked"}},
	} {
		p.hand(tt.shut)
		p.until(tt.shut+" to shut a gate", 20*time.Second, func() bool {
			got := p.codes()
			return !slices.ContainsFunc(append(tt.want, always...), func(c string) bool { return !slices.Contains(got, c) })
		})
		if i%4 == 0 { // ROS takes its time
			p.toldTheSame(client, url, tt.want)
		}
		p.hand(tt.open)
		p.until(tt.open+" to open it again", 20*time.Second, func() bool { return slices.Equal(p.codes(), always) })
	}
	client.Ask(map[string]any{"do": "publish", "topic": "/cmd_vel", "type": "geometry_msgs/msg/Twist", "times": 10,
		"message": map[string]any{"linear": map[string]any{"x": 0.2}}}, nil)
	p.until("a command", 10*time.Second, func() bool { return slices.Contains(p.codes(), "commanded") })
	p.until("the command to be forgotten", 20*time.Second, func() bool { return slices.Equal(p.codes(), always) })
	if at := p.waitsSince("inhibited"); at != since {
		t.Errorf("inhibited since %s, then since %s", since, at)
	}

	// Nothing of all that reached the chip.
	if c := p.chip(); c.NextBoot != "factory" {
		t.Errorf("the chip boots %s", c.NextBoot)
	}
	window := p.waitsSince("outside_maintenance_window")
	p.agent.stop()
	p.configure(options{config: gated(12)})
	p.startAgent()
	p.until("waiting for the window again", 20*time.Second, func() bool { return slices.Equal(p.codes(), always[:1]) })
	if at := p.waitsSince("outside_maintenance_window"); at != window {
		t.Errorf("outside of the window since %s, after a restart since %s", window, at)
	}
	p.agent.stop()
	p.configure(options{config: gated(0)}) // it has begun
	p.startAgent()
	p.until("the update to go on", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })
	p.runs("0.2.1")
}

// A window that is shut is passed by --any-time, and an update that nobody
// hurries is planned to wait for it.
func TestPastTheWindow(t *testing.T) {
	t.Parallel()
	p := newPlant(t, options{config: gated(12)})
	p.heard()
	p.hand("dock --in")
	url := p.publish("0.2.1", "good")
	plan := func(args ...string) string {
		return p.run("ota-agent", append([]string{"plan", url, "--json", "--socket", p.path("agent.sock")}, args...)...)
	}
	p.until("all other gates to open", 20*time.Second, func() bool { return strings.Contains(plan("--any-time"), `"would_update":true`) })
	if said := plan("--force"); !strings.Contains(said, `"would_update":false`) || !strings.Contains(said, `"code":"outside_maintenance_window"`) {
		t.Errorf("the plan: %s", said)
	}
	p.trigger(url, "--any-time")
	p.until("the update", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })
	p.runs("0.2.1")
}

// waitsSince is since when a gate is shut, as the agent says.
func (p *plant) waitsSince(code string) string {
	p.t.Helper()
	s, err := p.status()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, r := range s.Reasons {
		if r.Code == code {
			return r.Since
		}
	}
	p.t.Fatalf("%s is not among %+v", code, s.Reasons)
	return ""
}

// otaReason is robot_interfaces/msg/OtaReason.
type otaReason struct {
	Code, Text, Lift string
	Since            struct{ Sec int64 }
}

// toldTheSame waits until /ota/status and /ota/plan tell of the gates, with all
// that belongs to a reason.
func (p *plant) toldTheSame(c *rostest.Client, url string, want []string) {
	p.t.Helper()
	complete := func(reasons []otaReason) bool {
		return !slices.ContainsFunc(want, func(code string) bool {
			i := slices.IndexFunc(reasons, func(r otaReason) bool { return r.Code == code })
			return i < 0 || reasons[i].Text == "" || reasons[i].Lift == "" || reasons[i].Since.Sec == 0
		})
	}
	var plan struct {
		WouldUpdate bool `json:"would_update"`
		Reasons     []otaReason
	}
	c.Call("/ota/plan", "robot_interfaces/srv/OtaPlan", map[string]any{"url": url}, &plan)
	if plan.WouldUpdate || !complete(plan.Reasons) {
		p.t.Errorf("/ota/plan does not tell of %v: %+v", want, plan)
	}
	p.until(fmt.Sprintf("/ota/status telling of %v", want), 20*time.Second, func() bool {
		var status struct {
			Messages []struct{ Message struct{ Reasons []otaReason } }
		}
		c.Ask(map[string]any{"do": "read", "topic": "/ota/status", "type": "robot_interfaces/msg/OtaStatus", "qos": "latched", "count": 1, "within": 10}, &status)
		return len(status.Messages) == 1 && complete(status.Messages[0].Message.Reasons)
	})
}

//go:build ros2

package tests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/internal/rostest"
)

// in puts a robot and its agent into a namespace.
func in(namespace string) []string { return []string{"--ros-args", "-r", "__ns:=" + namespace} }

// A robot in a namespace: what the agent offers and what it listens to is
// there, nothing of it is elsewhere, and an update goes through.
func TestRobotInANamespace(t *testing.T) {
	t.Parallel()
	p := newPlant(t, options{rosCmd: in("/r1")})
	url := p.publish("0.2.1", "good")
	p.heard() // by a firmware that speaks in the namespace, too
	c := p.client()

	var names struct {
		Nodes            []string
		Services, Topics map[string][]string
	}
	wait(t, "finding the nodes", 20*time.Second, func() bool {
		c.Ask(map[string]any{"do": "names"}, &names)
		return slices.Contains(names.Nodes, "/r1/ota_agent") && slices.Contains(names.Nodes, "/r1/robot_firmware") && len(names.Services) > 10
	})
	for _, all := range []map[string][]string{names.Services, names.Topics} {
		for name := range all {
			switch {
			case strings.HasPrefix(name, "/r1/"), strings.HasPrefix(name, "/driver/"):
			case name == "/diagnostics", name == "/rosout", name == "/parameter_events": // every robot's
			default:
				t.Errorf("%s is outside of the namespace", name)
			}
		}
	}

	var plan struct {
		WouldUpdate bool `json:"would_update"`
		Reasons     []otaReason
	}
	free := func() bool {
		c.Call("/r1/ota/plan", "robot_interfaces/srv/OtaPlan", map[string]any{"url": url}, &plan)
		return plan.WouldUpdate
	}
	p.until("the way being free", 10*time.Second, free)
	var listed struct{ Result struct{ Names []string } }
	c.Call("/r1/ota_agent/list_parameters", "rcl_interfaces/srv/ListParameters", map[string]any{}, &listed)
	if !slices.Contains(listed.Result.Names, "min_battery") {
		t.Errorf("parameters: %q", listed.Result.Names)
	}
	setMinimum(t, c, 0.95)
	low := func(r otaReason) bool { return r.Code == "battery_low" }
	if free() || !slices.ContainsFunc(plan.Reasons, low) {
		t.Errorf("with another minimum: %+v", plan)
	}
	setMinimum(t, c, 0.5)
	p.until("the way being free again", 10*time.Second, free)

	var answer struct {
		Success bool
		Message string
		JobID   string `json:"job_id"`
	}
	c.Call("/r1/ota/trigger", "robot_interfaces/srv/OtaTrigger", map[string]any{"url": url}, &answer)
	if !answer.Success {
		t.Fatalf("refused: %s", answer.Message)
	}
	p.until("the update", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })
	p.runs("0.2.1")
	p.until("/r1/ota/status", 10*time.Second, func() bool {
		var heard struct {
			Messages []struct {
				Message struct {
					State string
					JobID string `json:"job_id"`
				}
			}
		}
		c.Ask(map[string]any{"do": "read", "topic": "/r1/ota/status", "type": "robot_interfaces/msg/OtaStatus", "qos": "latched"}, &heard)
		return len(heard.Messages) == 1 && heard.Messages[0].Message.State == "observing" && heard.Messages[0].Message.JobID == answer.JobID
	})
}

// setMinimum sets the parameter min_battery of the agent in /r1.
func setMinimum(t *testing.T, c *rostest.Client, charge float64) {
	t.Helper()
	var set struct{ Results []struct{ Successful bool } }
	c.Call("/r1/ota_agent/set_parameters", "rcl_interfaces/srv/SetParameters", map[string]any{"parameters": []any{
		map[string]any{"name": "min_battery", "value": map[string]any{"type": 3, "double_value": charge}}}}, &set)
	if len(set.Results) != 1 || !set.Results[0].Successful {
		t.Fatalf("min_battery cannot be set: %+v", set)
	}
}

// Two robots on one computer, in one ROS domain, at one broker and one update
// server: both are updated at once, each gets what was meant for it, and an
// agent that would share something with another is turned away.
func TestTwoRobotsOnOneComputer(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "embedded", "r1", "r2")
	one := newPlant(t, options{config: f.config("r1"), rosCmd: in("/r1")})
	two := newPlant(t, options{config: f.config("r2"), rosCmd: in("/r2"), id: "r2", beside: one})
	one.heard()
	two.heard()
	for robot, version := range map[string]string{"r1": "0.2.1", "r2": "0.2.2"} {
		f.say(robot, "ota", "%s", command(one.publish(version, "good"), version, "both"))
	}
	for robot, p := range map[string]*plant{"r1": one, "r2": two} {
		wait(t, robot+"'s update", 60*time.Second, func() bool { return f.last(robot, "status").State == "observing" })
		if got := f.states(robot, "both"); !slices.Equal(got, wholeUpdate) {
			t.Errorf("%s went %v", robot, got)
		}
		version := map[string]string{"r1": "0.2.1", "r2": "0.2.2"}[robot]
		p.runs(version)
		for _, slot := range p.chip().Slots {
			if slot.Slot == "ota_0" && (slot.Version != version || slot.OTAState != "valid") {
				t.Errorf("%s's chip holds %+v", robot, slot)
			}
		}
	}
	refusesASecond(t, one)
	for _, p := range []*plant{one, two} { // and neither has noticed
		if s, err := p.status(); err != nil || s.State != "observing" {
			t.Errorf("%s afterwards: %+v, %v", p.id, s, err)
		}
	}
}

// refusesASecond starts agents that share one thing with a robot's.
func refusesASecond(t *testing.T, p *plant) {
	t.Helper()
	pid := fmt.Sprintf("pid %d (%s run --config %s", p.agent.cmd.Process.Pid, filepath.Join(p.bin, "ota-agent"), p.path("agent.yaml"))
	mine, err := os.ReadFile(p.path("agent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		shared string
		want   []string
	}{
		"the state directory": {p.path("state"), []string{"another agent works with this state directory", p.path("state"), pid, "another state_dir"}},
		"the port":            {p.path("tty"), []string{"another agent looks after the chip at this port", p.path("tty"), pid, "another serial.port"}},
		"the socket":          {p.path("agent.sock"), []string{"another agent answers on this socket", p.path("agent.sock")}},
	} {
		dir := t.TempDir()
		text := string(mine)
		for _, own := range []string{p.path("state"), p.path("agent.sock"), p.path("tty")} {
			if own != tt.shared {
				text = strings.ReplaceAll(text, ": "+own+"\n", ": "+filepath.Join(dir, filepath.Base(own))+"\n")
			}
		}
		config := filepath.Join(dir, "agent.yaml")
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		second := exec.CommandContext(ctx, filepath.Join(p.bin, "ota-agent"), "run", "--config", config)
		second.Env = p.env
		out, err := second.CombinedOutput()
		cancel()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("a second agent with %s: %v\n%s", name, err, out)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("a second agent with %s: %q is not in\n%s", name, want, out)
			}
		}
	}
}

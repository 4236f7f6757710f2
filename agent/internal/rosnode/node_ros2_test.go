//go:build ros2

package rosnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/rostest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a node with a fake agent, on a graph of its own.
type rig struct {
	t     *testing.T
	agent *fakeAgent
	board *robot.Board
	node  *Node
	stop  func() error
}

func start(t *testing.T, cfg Config) *rig {
	t.Helper()
	rostest.Domain(t)
	return startIn(t, cfg)
}

// startIn is start in the domain that the test has already.
func startIn(t *testing.T, cfg Config) *rig {
	t.Helper()
	r := &rig{t: t, agent: newFakeAgent(), board: robot.NewBoard()}
	cfg.RobotID = "r1"
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	node, err := New(cfg, r.agent, r.board, log)
	if err != nil {
		t.Fatal(err)
	}
	r.node = node
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	stopped := false
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Second):
			return errors.New("Run did not return")
		}
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

type triggerAnswer struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
	JobID   string `json:"job_id"`
}

const (
	triggerType = "robot_interfaces/srv/OtaTrigger"
	emptyType   = "std_srvs/srv/Trigger"
	imageURL    = "https://updates.example/fw.bin"
)

func TestServices(t *testing.T) {
	r := start(t, Config{})
	c := rostest.NewClient(t)

	t.Run("trigger", func(t *testing.T) {
		var got triggerAnswer
		c.Call("/ota/trigger", triggerType, map[string]any{"url": imageURL, "version": "0.2.1"}, &got)
		if !got.Success || got.JobID != "job-1" {
			t.Errorf("answer = %+v", got)
		}
		asked := r.agent.seen()
		if len(asked) != 1 || asked[0].URL != imageURL || asked[0].Version.String() != "0.2.1" || asked[0].Origin != update.FromROS {
			t.Errorf("the agent was asked %+v", asked)
		}
	})
	t.Run("a second trigger is refused with the job that runs", func(t *testing.T) {
		var got triggerAnswer
		c.Call("/ota/trigger", triggerType, map[string]any{"url": imageURL}, &got)
		if got.Success || got.JobID != "job-1" || got.Message != "refused: job job-1 is going on (downloading)" {
			t.Errorf("answer = %+v", got)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		var got triggerAnswer
		c.Call("/ota/cancel", emptyType, nil, &got)
		if !got.Success {
			t.Errorf("answer = %+v", got)
		}
		c.Call("/ota/cancel", emptyType, nil, &got)
		if got.Success || got.Message != "refused: no update is going on" {
			t.Errorf("answer = %+v", got)
		}
	})
	t.Run("malformed requests", func(t *testing.T) {
		for _, q := range []map[string]any{
			{"version": "latest"}, {"url": "http://plain.example/fw.bin"}, {"sha256": "abc"},
		} {
			var got triggerAnswer
			c.Call("/ota/trigger", triggerType, q, &got)
			if got.Success || got.Message == "" || got.JobID != "" {
				t.Errorf("%v: answer = %+v", q, got)
			}
		}
	})
	t.Run("rollback", func(t *testing.T) {
		var got triggerAnswer
		c.Call("/ota/rollback", emptyType, nil, &got)
		if got.Success || got.Message != "refused: "+update.ErrNothingToRollBack.Error() {
			t.Errorf("answer = %+v", got)
		}
	})
	t.Run("check", func(t *testing.T) {
		var got triggerAnswer
		c.Call("/ota/check", emptyType, nil, &got)
		asked := r.agent.seen()
		if last := asked[len(asked)-1]; !got.Success || last.URL != "" || last.Origin != update.FromROS {
			t.Errorf("answer = %+v, the agent was asked %+v", got, last)
		}
	})
	t.Run("inhibit", func(t *testing.T) {
		var got triggerAnswer
		c.Call("/ota/inhibit", "robot_interfaces/srv/OtaInhibit", map[string]any{"owner": "docking", "reason": "on the ramp", "seconds": 90}, &got)
		if told := r.agent.inhibited(); !got.Success || !slices.Equal(told, []string{"docking: on the ramp for 1m30s"}) {
			t.Errorf("answer = %+v, the agent was told %q", got, told)
		}
	})
	t.Run("plan", func(t *testing.T) {
		var got struct {
			WouldUpdate      bool   `json:"would_update"`
			TargetVersion    string `json:"target_version"`
			Slot             string `json:"slot"`
			EstimatedSeconds int    `json:"estimated_seconds"`
		}
		c.Call("/ota/plan", "robot_interfaces/srv/OtaPlan", map[string]any{"version": "1.0.0"}, &got)
		if !got.WouldUpdate || got.TargetVersion != "1.0.0" || got.Slot != "ota_1" || got.EstimatedSeconds != 42 {
			t.Errorf("answer = %+v", got)
		}
	})
}

// A plan that waits for a server far away holds nothing else up.
func TestSlowAgentDoesNotStopCallbacks(t *testing.T) {
	r := start(t, Config{})
	stuck := make(chan struct{})
	r.agent.set(func(a *fakeAgent) { a.stuck = stuck })
	planner, c := rostest.NewClient(t), rostest.NewClient(t)
	for range 3 { // more than there are workers
		planner.Send(map[string]any{"do": "call", "service": "/ota/plan", "type": "robot_interfaces/srv/OtaPlan"})
	}
	var out struct {
		Response triggerAnswer
		Seconds  []float64
	}
	for i := range 20 {
		c.Ask(map[string]any{"do": "call", "service": "/ota/cancel", "type": emptyType}, &out)
		if out.Seconds[0] > 1 {
			t.Errorf("call %d took %.3f s beside a plan that waits", i, out.Seconds[0])
		}
	}
	c.Ask(map[string]any{"do": "publish", "topic": "/battery_state", "type": "sensor_msgs/msg/BatteryState", "qos": "latched",
		"message": map[string]any{"percentage": 0.5}}, nil)
	eventually(t, "the battery is heard", func() bool { return r.board.Facts().Battery.Fraction == 0.5 })
	close(stuck)
	for range 3 {
		if err := planner.Receive(nil); err != nil {
			t.Error(err)
		}
	}
}

func TestManyCalls(t *testing.T) {
	start(t, Config{})
	c := rostest.NewClient(t)
	var out struct {
		Response triggerAnswer
		Found    float64
		Seconds  []float64
	}
	call := map[string]any{"do": "call", "service": "/ota/cancel", "type": emptyType, "times": 200}
	c.Ask(call, &out)
	found := out.Found
	before := resident(t)
	call["times"] = 1000
	c.Ask(call, &out)
	grown := resident(t) - before
	var worst, sum float64
	for _, s := range out.Seconds {
		worst, sum = max(worst, s), sum+s
	}
	t.Logf("discovery %.2f s; 1000 calls: mean %.2f ms, worst %.2f ms; resident %d MB, grown by %d kB",
		found, sum/float64(len(out.Seconds))*1e3, worst*1e3, resident(t)>>20, grown>>10)
	if len(out.Seconds) != 1000 || out.Response.Success {
		t.Errorf("%d calls answered, the last with %+v", len(out.Seconds), out.Response)
	}
	if grown > 16<<20 {
		t.Errorf("1000 calls cost %d bytes of memory", grown)
	}
}

func TestNamespaceAndRemapping(t *testing.T) {
	start(t, Config{Args: []string{"ota-agent", "run", "--ros-args", "-r", "__ns:=/r1", "-r", "__node:=updater", "-r", "battery_state:=power"}})
	c := rostest.NewClient(t)
	var got triggerAnswer
	c.Call("/r1/ota/cancel", emptyType, nil, &got)
	var names struct {
		Nodes            []string
		Services, Topics map[string][]string
	}
	eventually(t, "the node is found by its new name", func() bool {
		c.Ask(map[string]any{"do": "names"}, &names)
		return slices.Contains(names.Nodes, "/r1/updater")
	})
	for _, s := range []string{"/r1/ota/trigger", "/r1/ota/update/_action/send_goal", "/r1/updater/list_parameters"} {
		if names.Services[s] == nil {
			t.Errorf("no service %s", s)
		}
	}
	for _, s := range []string{"/r1/ota/status", "/r1/power", "/r1/emergency_stop_state", "/diagnostics"} {
		if names.Topics[s] == nil {
			t.Errorf("no topic %s", s)
		}
	}
}

func TestShutdown(t *testing.T) {
	t.Run("at rest", func(t *testing.T) {
		r := start(t, Config{})
		rostest.NewClient(t).Call("/ota/cancel", emptyType, nil, nil)
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		t.Logf("ended in %s", time.Since(began).Round(time.Millisecond))
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("took %s", d)
		}
	})
	t.Run("while the agent does not come back", func(t *testing.T) {
		r := start(t, Config{})
		stuck := make(chan struct{})
		r.agent.set(func(a *fakeAgent) { a.stuck, a.deaf = stuck, true })
		c := rostest.NewClient(t)
		c.Call("/ota/cancel", emptyType, nil, nil)
		c.Send(map[string]any{"do": "call", "service": "/ota/plan", "type": "robot_interfaces/srv/OtaPlan", "within": 2})
		time.Sleep(300 * time.Millisecond)
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("took %s", d)
		}
		close(stuck) // its answer finds the node closed
	})
	t.Run("twice in one process", func(t *testing.T) {
		for range 2 {
			r := start(t, Config{})
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestArgumentsAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "params.yaml")
	if err := os.WriteFile(file, []byte("/**:\n  ros__parameters:\n    use_sim_time: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--ros-args", "-p", "use_sim_time:=true"}, {"--ros-args", "--params-file", file},
	} {
		_, err := New(Config{RobotID: "r1", Args: args}, newFakeAgent(), robot.NewBoard(), slog.Default())
		if !errors.Is(err, ErrSimTime) {
			t.Errorf("%v: %v", args, err)
		}
	}
	node, err := New(Config{RobotID: "r1", Args: []string{"--ros-args", "-r", "nonsense"}}, newFakeAgent(), robot.NewBoard(), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Run(t.Context()); err == nil {
		t.Error("rcl took arguments that are none")
	} else {
		t.Log(err)
	}
}

// resident memory of this process, in bytes.
func resident(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var total, pages int
	if _, err := fmt.Sscan(string(raw), &total, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// The clients that people use.
func TestScripts(t *testing.T) {
	r := start(t, Config{Namespace: "/r1"})
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), rostest.Python(t), append([]string{rostest.Script(t, name), "--namespace", "/r1"}, args...)...)
		cmd.Stderr = t.Output()
		out, err := cmd.Output()
		return string(out), err
	}
	go func() { // the job's life
		for _, s := range []update.State{update.Writing, update.Validating, update.Confirmed, update.Observing} {
			for len(r.agent.seen()) == 0 && t.Context().Err() == nil {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(200 * time.Millisecond)
			r.agent.state(s)
		}
	}()
	out, err := run("trigger.py", "--url", imageURL)
	if err != nil || !strings.Contains(out, "job job-1 has begun") || !strings.Contains(out, "now validating") {
		t.Errorf("%v:\n%s", err, out)
	}
	if out, err := run("status.py", "--once"); err != nil || !strings.Contains(out, "observing") {
		t.Errorf("%v:\n%s", err, out)
	}
	var exit *exec.ExitError
	if out, err := run("trigger.py", "--version", "latest"); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(out, "refused: ") {
		t.Errorf("%v:\n%s", err, out)
	}
}

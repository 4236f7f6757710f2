//go:build ros2

package rcl_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo/types"
	"go.uber.org/goleak"

	robot_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/msg"
	std_srvs "github.com/robot-platform/robot-ota/internal/rosmsgs/std_srvs/srv"

	"github.com/robot-platform/robot-ota/internal/rcl"
	"github.com/robot-platform/robot-ota/internal/rostest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, args ...string) *rcl.Node {
	t.Helper()
	n, err := rcl.Open("tester", "", args)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// A message with eight strings, published as often as in a day, must not cost
// memory: rclgo alone loses 270 bytes of it each time.
func TestPublishingDoesNotLeak(t *testing.T) {
	rostest.Domain(t)
	n := open(t)
	p, err := n.Publisher("status", rcl.Outgoing[robot_msgs.COtaStatus](robot_msgs.OtaStatusTypeSupport), rcl.Latched(1))
	if err != nil {
		t.Fatal(err)
	}
	m := robot_msgs.NewOtaStatus()
	m.State, m.Message, m.JobId = "writing", strings.Repeat("m", 100), "job"
	m.Reasons = []robot_msgs.OtaReason{{Code: "a", Text: "b"}, {Code: "c"}}
	publish := func(times int) {
		for range times {
			if err := p.Publish(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(2000)
	before := resident(t)
	publish(86_400)
	grown := resident(t) - before
	t.Logf("grown by %d kB", grown>>10)
	if grown > 10<<20 {
		t.Errorf("86400 messages cost %d bytes", grown)
	}
}

func TestClosedNode(t *testing.T) {
	rostest.Domain(t)
	n := open(t)
	p, err := n.Publisher("status", rcl.Outgoing[robot_msgs.COtaStatus](robot_msgs.OtaStatusTypeSupport), rcl.Reliable(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := p.Publish(robot_msgs.NewOtaStatus()); !errors.Is(err, rcl.ErrClosed) {
		t.Errorf("publish: %v", err)
	}
	if _, err := n.Publisher("another", robot_msgs.OtaStatusTypeSupport, rcl.Reliable(1)); !errors.Is(err, rcl.ErrClosed) {
		t.Errorf("a publisher: %v", err)
	}
}

func TestSpinEndsWithItsContext(t *testing.T) {
	rostest.Domain(t)
	n := open(t)
	err := rcl.Service[std_srvs.CTrigger_Response](n, "nothing", std_srvs.TriggerTypeSupport, func(types.Message, func(types.Message) error) {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := n.Spin(ctx); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %s", d)
	}
}

// Errors are one line each, and say what was tried.
func TestErrors(t *testing.T) {
	rostest.Domain(t)
	n := open(t)
	_, bad := n.Publisher("1 not a name", robot_msgs.OtaStatusTypeSupport, rcl.Reliable(1))
	_, args := rcl.Open("x", "", []string{"--ros-args", "-r", "nonsense"})
	_, name := rcl.Open("not a name", "", nil)
	for what, err := range map[string]error{"1 not a name": bad, "ROS arguments": args, `node "not a name"`: name} {
		var e *rcl.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

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

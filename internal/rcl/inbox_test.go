//go:build ros2

package rcl_test

import (
	"context"
	"testing"
	"time"

	robot_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/msg"

	"github.com/robot-platform/robot-ota/internal/rcl"
	"github.com/robot-platform/robot-ota/internal/rostest"
)

// A message wakes who waits for it whatever was going on when it came: alone,
// in a crowd, and before Spin. None is lost and each comes once, in order.
func TestArrivals(t *testing.T) {
	const (
		crowds = 300
		crowd  = 7
		depth  = 64
	)
	rostest.Domain(t)
	n := open(t)
	p, err := n.Publisher("arrivals", rcl.Outgoing[robot_msgs.COtaStatus](robot_msgs.OtaStatusTypeSupport), rcl.Latched(depth))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan uint64, depth)
	hear := func(m *robot_msgs.OtaStatus) { got <- m.BytesDone }
	if err := rcl.Subscribe(n, "arrivals", robot_msgs.OtaStatusTypeSupport, rcl.Latched(depth), hear, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	var next, sent uint64
	publish := func(messages int) {
		for range messages {
			sent++
			m := robot_msgs.NewOtaStatus()
			m.BytesDone = sent
			if err := p.Publish(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func() {
		for next < sent {
			select {
			case g := <-got:
				if next++; g != next {
					t.Fatalf("message %d where %d was to come", g, next)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("nobody was woken for message %d of %d", next+1, sent)
			}
		}
	}
	publish(1)
	ctx, cancel := context.WithCancel(t.Context())
	spun := make(chan error, 1)
	go func() { spun <- n.Spin(ctx) }()
	for range crowds {
		publish(crowd)
		expect()
	}
	cancel()
	if err := <-spun; err != nil {
		t.Error(err)
	}
	publish(1) // nobody listens any more, and nothing is written to what was freed
}

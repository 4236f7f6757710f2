//go:build ros2

package rcl

import (
	"strings"
	"testing"

	"github.com/tiiuae/rclgo/pkg/rclgo"

	std_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/std_msgs/msg"

	"github.com/robot-platform/robot-ota/internal/rostest"
)

// A message that cannot be taken is told of in rcl's own words.
func TestWhyNothingWasTaken(t *testing.T) {
	rostest.Domain(t)
	n, err := Open("spout", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	sub, err := n.node.NewSubscription("nothing", std_msgs.BoolTypeSupport, &rclgo.SubscriptionOptions{Qos: Reliable(1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSpout(sub, std_msgs.BoolTypeSupport)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if was, err := s.take(std_msgs.NewBool()); was || err != nil {
		t.Errorf("of nothing: %v, %v", was, err)
	}
	memory := s.memory
	s.memory = nil
	was, err := s.take(std_msgs.NewBool())
	s.memory = memory
	if was || err == nil || !strings.Contains(err.Error(), "ros_message argument is null") {
		t.Errorf("%v, %v", was, err)
	}
}

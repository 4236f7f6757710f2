//go:build ros2

package rosnode

import (
	"errors"
	"time"

	std_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/std_msgs/msg"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/internal/rcl"
)

// subscribeDock listens to the dock's topic twice: a latched subscription hears
// what was said before it came, and hears nothing of a publisher that is not
// latched; the other hears both kinds, from now on.
func (n *Node) subscribeDock(node *rcl.Node, s subscription) error {
	return errors.Join(
		rcl.Subscribe(node, s.name, std_msgs.BoolTypeSupport, rcl.Latched(1), n.onDock, n.complain),
		rcl.Subscribe(node, s.name, std_msgs.BoolTypeSupport, s.qos, n.onDock, n.complain),
	)
}

func (n *Node) onDock(m *std_msgs.Bool) {
	now := time.Now()
	n.ears.hear(robot.DockRole, now)
	n.board.Post(robot.Dock{Docked: m.Data, At: now})
}

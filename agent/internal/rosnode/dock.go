//go:build ros2

package rosnode

import (
	"errors"
	"time"

	std_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/std_msgs/msg"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/internal/rcl"
)

// subscribeDock listens to the dock's topic, where one is named. Twice: a
// latched subscription hears what was said before it came, and hears nothing
// of a publisher that is not latched; the other hears both kinds, from now on.
func (n *Node) subscribeDock(node *rcl.Node) error {
	topic := n.cfg.Topics.Dock
	if topic == "" {
		return nil
	}
	return errors.Join(
		rcl.Subscribe(node, topic, std_msgs.BoolTypeSupport, rcl.Latched(1), n.onDock, n.complain),
		rcl.Subscribe(node, topic, std_msgs.BoolTypeSupport, rcl.BestEffort(1), n.onDock, n.complain),
	)
}

func (n *Node) onDock(m *std_msgs.Bool) {
	n.board.Post(robot.Dock{Docked: m.Data, At: time.Now()})
}

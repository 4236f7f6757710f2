//go:build !ros2

package rosnode

import (
	"context"
	"log/slog"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// Node is the agent's ROS 2 node.
type Node struct{}

// New returns ErrNoROS: this build has no ROS 2.
func New(Config, Agent, Board, *slog.Logger) (*Node, error) { return nil, ErrNoROS }

// Run returns ErrNoROS.
func (*Node) Run(context.Context) error { return ErrNoROS }

// Hearing is nothing: this build has no ROS 2.
func (*Node) Hearing() (robot.Hearing, bool) { return robot.Hearing{}, false }

// Listen returns ErrNoROS.
func Listen(context.Context, Config, Board, time.Duration, *slog.Logger) (robot.Hearing, error) {
	return robot.Hearing{}, ErrNoROS
}

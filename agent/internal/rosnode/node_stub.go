//go:build !ros2

package rosnode

import (
	"context"
	"log/slog"
)

// Node is the agent's ROS 2 node.
type Node struct{}

// New returns ErrNoROS: this build has no ROS 2.
func New(Config, Agent, Board, *slog.Logger) (*Node, error) { return nil, ErrNoROS }

// Run returns ErrNoROS.
func (*Node) Run(context.Context) error { return ErrNoROS }

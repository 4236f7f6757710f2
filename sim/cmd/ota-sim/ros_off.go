//go:build !ros2

package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/robot-platform/robot-ota/sim/robot"
)

// rosSide is the robot's side of ROS 2, which this build has not got.
func rosSide([]string, *slog.Logger) (func(context.Context, *robot.Robot) error, error) {
	return nil, errors.New("--ros: this ota-sim was built without ROS 2; build it with `make build`")
}

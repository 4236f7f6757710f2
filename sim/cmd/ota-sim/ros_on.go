//go:build ros2

package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/robot-platform/robot-ota/sim/robot"
	"github.com/robot-platform/robot-ota/sim/robot/ros"
)

// rosSide puts the robot's node on the graph; the function returned lets it
// speak until its context ends.
func rosSide(args []string, log *slog.Logger) (func(context.Context, *robot.Robot) error, error) {
	voice, err := ros.New(args, log)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, r *robot.Robot) error {
		return errors.Join(voice.Run(ctx, r), voice.Close())
	}, nil
}

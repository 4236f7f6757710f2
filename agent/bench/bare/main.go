//go:build ros2

// Command bare is a ROS 2 node that does nothing, made with rclgo alone: what
// the agent's memory is held against. It says ready once it is up, and ends with
// SIGTERM.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tiiuae/rclgo/pkg/rclgo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	args, _, err := rclgo.ParseArgs([]string{"--ros-args", "--disable-external-lib-logs", "--"})
	if err != nil {
		return err
	}
	ros, err := rclgo.NewContext(rclgo.ClockTypeSystemTime, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ros.Close()) }()
	if _, err := ros.NewNode("bare", ""); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "ready")
	if err := ros.Spin(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

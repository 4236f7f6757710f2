//go:build ros2

// Command deaf is a ROS 2 node that subscribes to what the agent hears of a
// robot and takes none of it: its CPU is what the middleware's threads take for
// receiving, and so what the agent's is held against. It says ready once it is
// up, and ends with SIGTERM.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tiiuae/rclgo/pkg/rclgo"
	"github.com/tiiuae/rclgo/pkg/rclgo/types"

	diagnostic_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/diagnostic_msgs/msg"
	geometry_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/geometry_msgs/msg"
	nav_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/nav_msgs/msg"
	robot_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/msg"
	sensor_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/sensor_msgs/msg"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "deaf:", err)
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
	node, err := ros.NewNode("deaf", "")
	if err != nil {
		return err
	}
	if err := listen(node); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "ready")
	<-ctx.Done() // to wait for the messages would be to take them
	return nil
}

// listen subscribes as the agent does.
func listen(node *rclgo.Node) error {
	fast := rclgo.NewDefaultQosProfile()
	fast.Depth, fast.Reliability = 64, rclgo.ReliabilityBestEffort
	for topic, kind := range map[string]types.MessageTypeSupport{
		"battery_state":        sensor_msgs.BatteryStateTypeSupport,
		"cmd_vel":              geometry_msgs.TwistTypeSupport,
		"/diagnostics":         diagnostic_msgs.DiagnosticArrayTypeSupport,
		"emergency_stop_state": robot_msgs.EmergencyStopStateTypeSupport,
		"odom":                 nav_msgs.OdometryTypeSupport,
	} {
		if _, err := node.NewSubscription(topic, kind, &rclgo.SubscriptionOptions{Qos: fast}, nil); err != nil {
			return err
		}
	}
	return nil
}

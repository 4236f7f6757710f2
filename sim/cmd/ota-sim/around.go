package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/sim/robot"
)

func batteryCommand() *cobra.Command {
	var q robot.Charge
	c := post("battery --fraction N|--unknown", "Set the battery's charge", "/battery",
		func(*cobra.Command) (any, error) { return q, nil })
	c.Flags().Float64Var(&q.Fraction, "fraction", 0, "charge, 0-1")
	c.Flags().BoolVar(&q.Charging, "charging", false, "it is being charged")
	c.Flags().BoolVar(&q.Unknown, "unknown", false, "its driver does not know the charge, and says NaN")
	c.MarkFlagsOneRequired("fraction", "unknown")
	c.MarkFlagsMutuallyExclusive("fraction", "unknown")
	return c
}

func dockCommand() *cobra.Command {
	var in func() bool
	c := post("dock --in|--out", "Put the robot on its dock, or take it off; charging is apart from that", "/dock",
		func(*cobra.Command) (any, error) { return robot.Dock{Docked: in()}, nil })
	in = either(c, "in", "on its dock", "out", "off its dock")
	return c
}

// reported is a command for a value that the firmware tells, or does not.
func reported(name, flag, usage, short string) *cobra.Command {
	var q robot.Reported
	c := post(fmt.Sprintf("%s --%s TEXT|--absent", name, flag), short, "/"+name,
		func(*cobra.Command) (any, error) { return q, nil })
	c.Flags().StringVar(&q.Text, flag, "", usage)
	c.Flags().BoolVar(&q.Absent, "absent", false, "the firmware does not tell")
	c.MarkFlagsOneRequired(flag, "absent")
	c.MarkFlagsMutuallyExclusive(flag, "absent")
	return c
}

func wifiCommand() *cobra.Command {
	return reported("wifi", "rssi", "signal in dBm, or any other text", "Set the Wi-Fi signal that the firmware tells")
}

func thermalCommand() *cobra.Command {
	return reported("thermal", "state", "ok, warning, critical, or any other text", "Set the thermal state that the firmware tells")
}

func healthCommand() *cobra.Command {
	var (
		q     robot.Health
		level string
	)
	levels := []string{"ok", "warn", "error", "stale"}
	c := post("health --level LEVEL", "Set the level of the robot's system status", "/health",
		func(*cobra.Command) (any, error) {
			n := slices.Index(levels, level)
			if n < 0 {
				return nil, fmt.Errorf("--level %q: want %s", level, strings.Join(levels, ", "))
			}
			q.Level = uint8(n)
			if q.Message == "" {
				q.Message = level
			}
			return q, nil
		})
	c.Flags().StringVar(&level, "level", "", strings.Join(levels, ", "))
	c.Flags().StringVar(&q.Message, "message", "", "the message that goes with it")
	_ = c.MarkFlagRequired("level")
	return c
}

func muteCommand() *cobra.Command {
	c := post("mute [NAME…]", "Keep topics and statuses from being published; without names, none", "/mute",
		func(cmd *cobra.Command) (any, error) { return robot.Mute{Names: cmd.Flags().Args()}, nil })
	c.Long = `Keep topics and statuses from being published, and publish all others; without
names, all are published again. Names: ` + strings.Join(robot.Mutable(), ", ") + `.`
	c.Example = "  ota-sim mute odom firmware\n  ota-sim mute"
	c.Args = cobra.ArbitraryArgs
	return c
}

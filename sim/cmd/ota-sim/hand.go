package main

import (
	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/robot"
)

// post is a command that sends one request to the control socket.
func post(use, short, path string, body func(*cobra.Command) (any, error)) *cobra.Command {
	var control string
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := client(control)
			if err != nil {
				return err
			}
			q, err := body(cmd)
			if err != nil {
				return err
			}
			return cl.Post(cmd.Context(), path, q)
		},
	}
	controlFlag(c, &control)
	return c
}

// either gives a command two flags of which exactly one is to be given.
func either(c *cobra.Command, yes, yesUse, no, noUse string) (isYes func() bool) {
	y := c.Flags().Bool(yes, false, yesUse)
	c.Flags().Bool(no, false, noUse)
	c.MarkFlagsMutuallyExclusive(yes, no)
	c.MarkFlagsOneRequired(yes, no)
	return func() bool { return *y }
}

func resetCommand() *cobra.Command {
	var bootloader func() bool
	c := post("reset --bootloader|--run", "Reset the chip into its serial boot loader, or into its application", "/reset",
		func(*cobra.Command) (any, error) {
			if bootloader() {
				return robot.Reset{To: "bootloader"}, nil
			}
			return robot.Reset{To: "app"}, nil
		})
	bootloader = either(c, "bootloader", "into the serial boot loader", "run", "into the application")
	return c
}

func powerCommand() *cobra.Command {
	var on func() bool
	c := post("power --on|--cut", "Give the chip power, or cut it", "/power",
		func(*cobra.Command) (any, error) { return robot.Power{On: on()}, nil })
	on = either(c, "on", "power on", "cut", "power cut: what the flash does is torn")
	return c
}

func cableCommand() *cobra.Command {
	var plug func() bool
	c := post("cable --plug|--unplug", "Plug the serial cable in, or pull it", "/cable",
		func(*cobra.Command) (any, error) { return robot.Cable{Plugged: plug()}, nil })
	plug = either(c, "plug", "plug it in", "unplug", "pull it")
	return c
}

func faultCommand() *cobra.Command {
	var (
		f    espsim.Faults
		tear string
	)
	c := post("fault", "Arm a plan of faults; without flags, disarm it", "/faults",
		func(*cobra.Command) (any, error) {
			if err := f.Tear.UnmarshalText([]byte(tear)); err != nil {
				return nil, err
			}
			return f, nil
		})
	c.Long = `Arm a plan of faults; without flags, disarm it. Operations, bytes and frames
are counted from 1, from now on.`
	fs := c.Flags()
	fs.Uint64Var(&f.CutAtFlashOp, "cut-at-flash-op", 0, "cut the power at this flash operation")
	fs.StringVar(&tear, "tear", "half", "how far that operation gets: half, before or after")
	fs.Uint64Var(&f.FailFlashOp, "fail-flash-op", 0, "let this flash operation fail")
	fs.Uint64Var(&f.PullAtByte, "pull-at-byte", 0, "pull the cable at this byte of the line")
	fs.Uint64Var(&f.CutAtByte, "cut-at-byte", 0, "cut the power at this byte of the line")
	for _, way := range []struct {
		name string
		l    *espsim.LineFaults
	}{{"to-chip", &f.ToChip}, {"to-host", &f.ToHost}} {
		fs.Uint64Var(&way.l.DropByte, way.name+"-drop-byte", 0, "lose this byte")
		fs.Uint64Var(&way.l.GarbleByte, way.name+"-garble-byte", 0, "garble this byte")
		fs.Uint64Var(&way.l.DuplicateByte, way.name+"-duplicate-byte", 0, "double this byte")
		fs.Uint64Var(&way.l.DropFrame, way.name+"-drop-frame", 0, "lose this frame")
		fs.Uint64Var(&way.l.GarbleFrame, way.name+"-garble-frame", 0, "garble this frame")
		fs.Uint64Var(&way.l.DuplicateFrame, way.name+"-duplicate-frame", 0, "double this frame")
		fs.Uint64Var(&way.l.PullFrame, way.name+"-pull-frame", 0, "pull the cable in place of this frame")
		fs.Uint64Var(&way.l.CutFrame, way.name+"-cut-frame", 0, "cut the power in place of this frame")
		fs.Float64Var(&way.l.Noise, way.name+"-noise", 0, "garble each byte with this probability")
		fs.Uint64Var(&way.l.Seed, way.name+"-seed", 1, "seed of the noise")
	}
	return c
}

func estopCommand() *cobra.Command {
	var (
		press  func() bool
		reason string
	)
	c := post("estop --press|--release", "Press or release the emergency stop", "/estop",
		func(*cobra.Command) (any, error) {
			if press() {
				return robot.EStop{Stopped: true, State: 1, Reason: reason}, nil
			}
			return robot.EStop{}, nil
		})
	press = either(c, "press", "press it", "release", "release it")
	c.Flags().StringVar(&reason, "reason", "operator: button", "why it is pressed, as published")
	return c
}

func velocityCommand() *cobra.Command {
	var q robot.Twist
	c := post("velocity", "Let the motors turn; without flags, stop them", "/velocity",
		func(*cobra.Command) (any, error) { return q, nil })
	c.Flags().Float64Var(&q.Linear, "linear", 0, "m/s")
	c.Flags().Float64Var(&q.Angular, "angular", 0, "rad/s")
	return c
}

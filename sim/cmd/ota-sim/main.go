// Command ota-sim is a simulated robot: an ESP32-S3 behind a serial line, and
// the ROS side of the robot.
//
// `robot` runs it. The other commands make images for it, look into it, and
// press its buttons through the control socket that `robot` serves.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "ota-sim:", err)
		return 1
	}
	return 0
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "ota-sim",
		Short:         "A simulated robot to update: an ESP32-S3 behind a serial line, and its ROS side",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		robotCommand(), imageCommand(), slotsCommand(), stateCommand(),
		resetCommand(), powerCommand(), cableCommand(), faultCommand(),
		batteryCommand(), estopCommand(), velocityCommand(), dtlsCommand(),
		dockCommand(), wifiCommand(), thermalCommand(), healthCommand(), muteCommand(),
		brokerCommand(), publishCommand(), subscribeCommand(),
	)
	return root
}

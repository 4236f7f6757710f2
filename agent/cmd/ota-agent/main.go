// Ota-agent keeps the firmware of a robot's ESP32 up to date. `ota-agent run`
// is the daemon and ROS 2 node; all other commands talk to it over its control
// socket.
package main

import (
	"context"
	"io"
	"os"
)

func main() {
	os.Exit(Main(context.Background(), os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Main runs one command and returns its exit code.
func Main(ctx context.Context, args []string, std streams) int {
	return newApp(std).main(ctx, args)
}

func newApp(std streams) *app { return &app{std: std, wire: wire} }

func (a *app) main(ctx context.Context, args []string) int {
	var own []string
	own, a.ros = splitROS(args)
	a.argv = args
	root := a.root() //nolint:contextcheck // cobra carries it
	root.SetArgs(own)
	return a.conclude(root.ExecuteContext(ctx))
}

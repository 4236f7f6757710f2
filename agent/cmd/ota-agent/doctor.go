package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/agent/internal/console"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

// doctorOptions are the flags of `ota-agent doctor`.
type doctorOptions struct {
	only       []string
	reset, yes bool
	listen     time.Duration
}

// Bounds of --listen.
const minListen, maxListen = time.Second, 30 * time.Second

func (a *app) doctorCommand() *cobra.Command {
	var o doctorOptions
	c := &cobra.Command{
		Use:   "doctor [--ros-args …]",
		Short: "Examine the agent and all that it leans on, and say what to do",
		Long: `Examine the agent and all that it leans on: configuration, keys, state
directory, history, serial port, reset lines, micro-ROS agent, update server,
broker, DTLS, ROS topics and clock. Each finding is OK, WARN, FAIL or skipped,
and those that are not OK say what to do.

It works while the agent runs, which is then asked for what only it knows, and
while it does not. Run it as root, or as the agent's user: others may not see
everything. It looks and changes nothing, with one exception: --reset brings
the ESP32 into its loader and back, to try cable and reset lines. That is done
by the running agent, when the robot stands still and no update goes on.

Checks:
` + aboutChecks() + `
` + exitHelp,
		Example: `  sudo ota-agent doctor
  sudo ota-agent doctor --only server,broker
  ota-agent doctor --json | jq '.findings[] | select(.level == "fail")'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), o) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.only, "only", nil, "only these checks: `NAMES`, separated by commas")
	f.BoolVar(&o.reset, "reset", false, "bring the ESP32 into its loader and back; it restarts")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask before --reset")
	f.DurationVar(&o.listen, "listen", 6*time.Second, "how long to listen to ROS where no agent runs, `TIME` of 1s to 30s")
	names := doctor.Names(new(exam).checks(doctorOptions{reset: true}))
	_ = c.RegisterFlagCompletionFunc("only", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

// aboutChecks lists the checks for the help.
func aboutChecks() (text string) {
	for _, c := range new(exam).checks(doctorOptions{reset: true}) {
		name := c.Name
		if c.Alone {
			name += " (with --reset)"
		}
		text += fmt.Sprintf("  %-23s %s\n", name, c.About)
	}
	return text
}

func (a *app) doctor(ctx context.Context, o doctorOptions) error {
	if o.listen < minListen || o.listen > maxListen {
		return usageError{fmt.Sprintf("--listen must be %s to %s", minListen, maxListen)}
	}
	if o.reset && len(o.only) > 0 && !slices.Contains(o.only, "loader") {
		o.only = append(o.only, "loader")
	}
	if _, err := doctor.Select(new(exam).checks(o), o.only); err != nil {
		return usageError{err.Error()}
	}
	if err := a.mayReset(o); err != nil {
		return err
	}
	if withROS {
		if err := a.alone(); err != nil {
			return err
		}
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	e := a.examine(ctx)
	defer e.close()
	checks, err := doctor.Select(e.checks(o), o.only)
	if err != nil {
		return err
	}
	report, err := a.examination(ctx, checks)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return outcome(exitDetached)
	case report.Level == doctor.Fail:
		return outcome(exitSick)
	case report.Level == doctor.Warn:
		return outcome(exitDoubtful)
	}
	return nil
}

// mayReset asks whether the chip may be restarted.
func (a *app) mayReset(o doctorOptions) error {
	if !o.reset || o.yes {
		return nil
	}
	if _, tty := terminal(a.std.in); !tty {
		return usageError{"--reset restarts the ESP32, and there is no terminal to ask at: say --yes as well"}
	}
	if !a.confirmed("Bring the ESP32 into its loader and back? It restarts, and its motors stop. [y/N] ") {
		return errors.New("nothing was done")
	}
	return nil
}

// examination runs the checks and shows what they find.
func (a *app) examination(ctx context.Context, checks []doctor.Check) (doctor.Report, error) {
	if a.json {
		r := doctor.Run(ctx, checks, mute{})
		return r, a.showJSON(r)
	}
	f := a.screen().Findings()
	r := doctor.Run(ctx, checks, f)
	return r, f.End(r)
}

// mute watches and says nothing.
type mute struct{}

func (mute) Waiting([]string)     {}
func (mute) Found(doctor.Finding) {}

var _ doctor.Watcher = (*console.Findings)(nil)

package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/agent/internal/control"
)

func (a *app) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel",
		Short: "Give up the update that goes on, as long as the slot has not been switched",
		Args:  cobra.NoArgs,
		RunE: a.talk(func(c *cobra.Command, cl *control.Client, _ []string) error {
			if err := cl.Cancel(c.Context()); err != nil {
				return err
			}
			return a.done("Cancelled; the running firmware was not touched.")
		}),
	}
}

func (a *app) rollbackCommand() *cobra.Command {
	var (
		r   control.Rollback
		j   = jobFlags{back: true}
		yes bool
	)
	c := &cobra.Command{
		Use:   "rollback",
		Short: "Put the firmware before the last update back",
		Long: `Put the firmware before the last update back, or end the trial that goes on.

On a terminal it asks first. The robot restarts its ESP32: its motors stop. So a
robot that moves is waited for, for stand_within of the configuration at most.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: a.talk(func(c *cobra.Command, cl *control.Client, _ []string) error {
			if !yes && !a.confirmed("Put the firmware before the last update back? The ESP32 restarts. [y/N] ") {
				return errors.New("nothing was done")
			}
			id, err := cl.Rollback(c.Context(), r)
			if err != nil {
				return err
			}
			return a.begun(c.Context(), cl, j, id)
		}),
	}
	c.Flags().StringVar(&r.Reason, "reason", "", "why, for the history: `TEXT` of at most 200 bytes")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	j.add(c)
	return c
}

// confirmed asks the person at the terminal; without one nobody is asked.
func (a *app) confirmed(question string) bool {
	if _, tty := terminal(a.std.in); !tty {
		return true
	}
	if _, err := io.WriteString(a.std.err, question); err != nil {
		return false
	}
	answer, err := bufio.NewReader(a.std.in).ReadString('\n')
	if err != nil {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}

func (a *app) inhibitCommand() *cobra.Command {
	var (
		lease   time.Duration
		release bool
	)
	c := &cobra.Command{
		Use:   "inhibit OWNER [REASON]",
		Short: "Hold updates back for a while, or no longer",
		Example: `  ota-agent inhibit docking "driving to the dock" --for 10m
  ota-agent inhibit docking --release`,
		Args: cobra.RangeArgs(1, 2),
		RunE: a.talk(func(c *cobra.Command, cl *control.Client, args []string) error {
			i := control.Inhibit{Owner: args[0]}
			if len(args) == 2 {
				i.Reason = args[1]
			}
			if !release {
				if lease < time.Second || lease > 24*time.Hour {
					return usageError{"--for must be 1s to 24h; to hold back no longer, say --release"}
				}
				i.Seconds = int64(lease / time.Second)
			}
			if err := cl.Inhibit(c.Context(), i); err != nil {
				return err
			}
			if release {
				return a.done("Released.")
			}
			return a.done("Updates are held back for " + lease.Truncate(time.Second).String() + ".")
		}),
	}
	c.Flags().DurationVar(&lease, "for", 10*time.Minute, "how long, `TIME` of 1s to 24h")
	c.Flags().BoolVar(&release, "release", false, "hold back no longer")
	c.MarkFlagsMutuallyExclusive("for", "release")
	return c
}

// done says that all is well.
func (a *app) done(text string) error {
	if a.json {
		return a.showJSON(struct {
			OK bool `json:"ok"`
		}{true})
	}
	return a.say("%s", text)
}

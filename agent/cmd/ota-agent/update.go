package main

import (
	"context"
	"net/url"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/agent/internal/console"
	"github.com/robot-platform/robot-ota/agent/internal/control"
)

// jobFlags are those of commands that begin a job.
type jobFlags struct {
	detach, follow bool
	back           bool // rolling back is what was asked for
}

func (j *jobFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&j.follow, "follow", true, "show the progress until the job has ended")
	c.Flags().BoolVarP(&j.detach, "detach", "d", false, "print the job's id and return at once")
	c.MarkFlagsMutuallyExclusive("follow", "detach")
}

// begun goes on with a job that the agent accepted.
func (a *app) begun(ctx context.Context, cl *control.Client, j jobFlags, id string) error {
	if j.follow && !j.detach {
		return a.follow(ctx, cl, &follower{job: id, back: j.back})
	}
	if a.json {
		return a.showJSON(control.Started{JobID: id})
	}
	return a.say("%s", id)
}

func addTrigger(c *cobra.Command, t *control.Trigger) {
	c.Flags().StringVar(&t.SHA256, "sha256", "", "SHA-256 of the signed file, 64 hex `DIGITS`")
	c.Flags().StringVar(&t.Version, "version", "", "the `VERSION` that must come out, such as 0.2.1")
	c.Flags().BoolVar(&t.Force, "force", false, "also an older version, or one that failed on this robot before; opens no gate")
	c.Flags().BoolVar(&t.AnyTime, "any-time", false, "also outside of the maintenance windows (gates.maintenance); opens no other gate")
}

func (a *app) triggerCommand() *cobra.Command {
	var (
		t    control.Trigger
		j    jobFlags
		from string
	)
	c := &cobra.Command{
		Use:   "trigger [URL]",
		Short: "Update the firmware, and show how it goes",
		Long: `Update the firmware from URL (https), or from what the update server offers.

Without a network, name a signed image or a folder of them on this robot:
file:///media/… or --from. Of a folder the newest image that fits this robot is
taken. The agent reads it, so its folder must be listed in server.files and be
readable for the agent's user; the image is verified like any other.

The progress is shown until the new firmware is confirmed, refused or put back.
Ctrl-C only stops showing it: the update goes on.

An update that the robot's gates hold back (battery, emergency stop, motion,
maintenance window, …) waits, says for what, and goes on by itself. One that
waits for its window can begin at once: ota-agent cancel, then trigger again
with --any-time.

` + exitHelp,
		Example: `  ota-agent trigger
  ota-agent trigger https://updates.robot-platform.org/v1/artifacts/… --version 0.2.1
  ota-agent trigger --from /media/usb
  ota-agent trigger --detach --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.talk(func(c *cobra.Command, cl *control.Client, args []string) error {
			if len(args) == 1 {
				t.URL = args[0]
			}
			if from != "" {
				if t.URL != "" {
					return usageError{"name a URL or --from, not both"}
				}
				path, err := filepath.Abs(from)
				if err != nil {
					return err
				}
				t.URL = (&url.URL{Scheme: "file", Path: path}).String()
			}
			id, err := cl.Trigger(c.Context(), t)
			if err != nil {
				return err
			}
			return a.begun(c.Context(), cl, j, id)
		}),
	}
	addTrigger(c, &t)
	c.Flags().StringVar(&from, "from", "", "a signed image on this robot, or a folder of them: `PATH`")
	j.add(c)
	return c
}

func (a *app) checkCommand() *cobra.Command {
	var j jobFlags
	c := &cobra.Command{
		Use:   "check",
		Short: "Ask the update server now, and install what it offers",
		Args:  cobra.NoArgs,
		RunE: a.talk(func(c *cobra.Command, cl *control.Client, _ []string) error {
			id, err := cl.Check(c.Context())
			if err != nil {
				return err
			}
			return a.begun(c.Context(), cl, j, id)
		}),
	}
	j.add(c)
	return c
}

func (a *app) planCommand() *cobra.Command {
	var t control.Trigger
	c := &cobra.Command{
		Use:   "plan [URL]",
		Short: "Say what trigger would do and what stands in the way; touches nothing",
		Args:  cobra.MaximumNArgs(1),
		RunE: a.talk(func(c *cobra.Command, cl *control.Client, args []string) error {
			if len(args) == 1 {
				t.URL = args[0]
			}
			p, err := cl.Plan(c.Context(), t)
			if err != nil {
				return err
			}
			return a.show(p, func(st console.Style) string { return console.Plan(p, time.Now(), st) })
		}),
	}
	addTrigger(c, &t)
	return c
}

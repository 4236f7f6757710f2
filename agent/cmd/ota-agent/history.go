package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/console"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/doctor/check"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

func (a *app) historyCommand() *cobra.Command {
	var (
		n            int
		long, verify bool
	)
	c := &cobra.Command{
		Use:   "history",
		Short: "List the updates that were made, the newest last",
		Long: `List the updates that were made, the newest last.

Where no agent runs, the state directory is read, which only root and the
agent's user may.

Each line of the history holds the hash of the one before, and the agent's
memory how many there are and the hash of the last. --verify goes through all
of them and says which line was changed or is missing.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: a.talk(func(c *cobra.Command, cl *control.Client, _ []string) error {
			switch {
			case n < 0:
				return usageError{"-n must not be negative; 0 is all"}
			case verify:
				return a.verifyHistory(c, cl)
			}
			rs, err := cl.History(c.Context(), n)
			if errors.Is(err, control.ErrUnreachable) {
				err = a.offline(c, err, func(v journal.View) (err error) { rs, err = v.History(n); return err })
			}
			if err != nil {
				return err
			}
			return a.showHistory(rs, long)
		}),
	}
	c.Flags().IntVarP(&n, "number", "n", 20, "how many; 0: all")
	c.Flags().BoolVarP(&long, "long", "l", false, "with evidence and durations")
	c.Flags().BoolVar(&verify, "verify", false, "say whether the history is the one that the agent wrote")
	c.MarkFlagsMutuallyExclusive("verify", "long")
	c.MarkFlagsMutuallyExclusive("verify", "number")
	return c
}

func (a *app) showHistory(rs []update.Record, long bool) error {
	if !a.json {
		return a.show(nil, func(st console.Style) string { return console.History(rs, time.Now(), long, st) })
	}
	for _, r := range rs {
		if err := a.showJSON(r); err != nil {
			return err
		}
	}
	return nil
}

// offline looks at the state directory of an agent that does not answer. Where
// another socket was named than the configuration's, whose agent that would be
// is not known.
func (a *app) offline(c *cobra.Command, unreachable error, look func(journal.View) error) error {
	if a.socket != "" && !c.Flags().Changed("config") {
		return unreachable
	}
	cfg, err := config.Load(a.configPath)
	if err != nil {
		return fmt.Errorf("%w; and where its state directory is, is not known: %w", unreachable, err)
	}
	err = look(journal.Look(cfg.StateDir))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; and its state directory %s is for root and the agent's user alone: run this with sudo", unreachable, cfg.StateDir)
	case err == nil:
		a.warn("No agent answers; this is read from %s.", cfg.StateDir)
	}
	return err
}

// verifyHistory says whether the history holds together.
func (a *app) verifyHistory(c *cobra.Command, cl *control.Client) error {
	audit, err := cl.Verify(c.Context())
	if errors.Is(err, control.ErrUnreachable) {
		err = a.offline(c, err, func(v journal.View) (err error) {
			audit, err = v.Verify()
			if errors.Is(err, journal.ErrTampered) {
				return nil // which the audit tells
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	return a.showAudit(audit)
}

func (a *app) showAudit(audit update.Audit) error {
	var end error
	if audit.Line > 0 {
		end = outcome(exitSick)
	}
	if a.json {
		return errors.Join(a.showJSON(audit), end)
	}
	f := a.screen().Findings()
	for _, x := range check.Audit(audit) {
		x.Check = "history"
		f.Found(x)
	}
	if audit.Head != "" && audit.Line == 0 {
		return a.say("%d records, the last with SHA-256 %s", audit.Records, audit.Head)
	}
	return end
}

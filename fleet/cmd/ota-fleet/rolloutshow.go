package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// shownRollout is all that show tells of a rollout.
type shownRollout struct {
	store.Rollout
	Stages    []store.StageCount `json:"stages"`
	Decisions []store.Decision   `json:"decisions"`
}

func rolloutShowCommand() *cobra.Command {
	var at place
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show --data DIR ROLLOUT",
		Short: "Show a rollout: its stages, what its gate found, and its decisions",
		Args:  oneArgument("one rollout"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			r, err := readRollout(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			return r.tell(cmd.OutOrStdout())
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, with plan, state and all evidence")
	return cmd
}

func readRollout(ctx context.Context, s *store.Store, id string) (shownRollout, error) {
	var r shownRollout
	err := s.View(ctx, func(from *store.Reader) (err error) {
		if r.Rollout, err = from.Rollout(ctx, id); err != nil {
			return err
		}
		if r.Stages, err = from.CountStages(ctx, id); err != nil {
			return err
		}
		r.Decisions, err = from.Decisions(ctx, id, 0)
		return err
	})
	return r, err
}

func (r shownRollout) tell(out io.Writer) error {
	p, err := rollout.ParsePlan(r.Plan)
	if err != nil {
		return err
	}
	s, err := rollout.ParseState(r.State)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "rollout %s: %s, stage %s\n%s\n\n", r.ID, s.Phase, s.Stage, s.Latest.Text)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STAGE\tROBOTS\tOFFERED\tCONFIRMED\tFAILED\tROLLED BACK\tWATCH")
	for _, stage := range rollout.Stages() {
		all, offered, by := r.counts(stage)
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%v\n", stage, all, offered, by[rollout.Confirmed], by[rollout.Failed], by[rollout.RolledBack], p.Steps.Of(stage).Watch)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nchecks:")
	for _, c := range s.Latest.Checks {
		fmt.Fprintf(out, "  %-8s%s: %s\n", c.Result, c.Name, c.Text)
	}
	fmt.Fprintln(out, "\ndecisions:")
	for _, d := range r.Decisions {
		tellDecision(out, d)
	}
	return nil
}

func (r shownRollout) counts(stage rollout.Stage) (all, offered int, by map[rollout.Outcome]int) {
	by = map[rollout.Outcome]int{}
	for _, c := range r.Stages {
		if c.Stage == string(stage) {
			all, offered = all+c.Robots, offered+c.Offered
			by[rollout.Outcome(c.Outcome)] += c.Robots
		}
	}
	return all, offered, by
}

func tellDecision(out io.Writer, d store.Decision) {
	who := ""
	if d.By != "" {
		who = " by " + d.By
	}
	if d.Reason != "" {
		who += " (" + strings.TrimSpace(d.Reason) + ")"
	}
	fmt.Fprintf(out, "%s  %-8s  %s%s: %s\n", d.At.UTC().Format(time.RFC3339), d.Stage, d.Verdict, who, d.Text)
}

var errHalted = errors.New("the rollout was halted")

func rolloutWatchCommand() *cobra.Command {
	var at place
	var every, timeout time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "watch --data DIR ROLLOUT",
		Short: "Print a rollout's decisions as they are made, until it ends",
		Long: `Print a rollout's decisions as they are made, those that were made before first,
until it ends. Exit code 0: the release is stable; 1: the rollout was halted; 3: the
time of --timeout is up.`,
		Args: oneArgument("one rollout"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			if every < 100*time.Millisecond {
				return fmt.Errorf("--every %v: want 100ms or more", every)
			}
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			err := watchRollout(ctx, s, args[0], every, func(d store.Decision) error {
				if asJSON {
					return printJSON(cmd.OutOrStdout(), d)
				}
				tellDecision(cmd.OutOrStdout(), d)
				return nil
			})
			if timeout > 0 && errors.Is(err, context.DeadlineExceeded) {
				return &unfinished{fmt.Errorf("rollout %s goes on; the time of --timeout is up", args[0])}
			}
			return err
		}),
	}
	at.flags(cmd)
	f := cmd.Flags()
	f.DurationVar(&every, "every", 2*time.Second, "how often it looks")
	f.DurationVar(&timeout, "timeout", 0, "for how long; 0: for ever")
	f.BoolVar(&asJSON, "json", false, "each decision as JSON, with its evidence")
	return cmd
}

// watchRollout hands decisions on until the rollout has ended.
func watchRollout(ctx context.Context, s *store.Store, id string, every time.Duration, tell func(store.Decision) error) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for seen := int64(0); ; {
		r, err := s.Rollout(ctx, id) // before its decisions: none is missed
		if err != nil {
			return err
		}
		fresh, err := s.Decisions(ctx, id, seen)
		if err != nil {
			return err
		}
		for _, d := range fresh {
			if err := tell(d); err != nil {
				return err
			}
			seen = d.Number
		}
		switch {
		case r.Phase == string(rollout.Halted):
			return errHalted
		case !r.Active:
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

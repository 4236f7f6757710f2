package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// order is what halt and rollback have in common.
type order struct {
	at                   place
	sku, release, reason string
	yes, asJSON, wait    bool
	timeout              time.Duration
}

func (o *order) flags(cmd *cobra.Command) {
	o.at.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.sku, "sku", "", "the release whose rollout goes on for this SKU")
	f.StringVar(&o.release, "release", "", "the release, as ota-fleet list --json names it (standard-0.2.1)")
	f.StringVar(&o.reason, "reason", "", "why; it is kept with the incident and told to robots")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	f.BoolVar(&o.asJSON, "json", false, "report as JSON")
	f.BoolVar(&o.wait, "wait", false, "wait until every robot that was told has complied")
	f.DurationVar(&o.timeout, "timeout", 0, "with --wait: for how long; 0: for ever")
	cmd.MarkFlagsMutuallyExclusive("sku", "release")
	cmd.MarkFlagsOneRequired("sku", "release")
	need(cmd, "reason")
}

func haltCommand() *cobra.Command {
	var o order
	cmd := &cobra.Command{
		Use:   "halt --data DIR --release NAME --reason TEXT",
		Short: "Stop a release from spreading: its rollout, and the image on the server",
		Long: `Stop a release from spreading, at once: its rollout is halted and its image is
withdrawn, so that a running server neither offers nor serves it from its next
request on. Releases of other SKUs that are the same image, or come with the same
rollout, go with it. Robots that are on their way to it, and have not switched,
are told to give it up. Robots that run it go on running it: see ota-fleet rollback.

An incident is opened (ota-fleet incident). A release that was withdrawn stays so:
a fixed build gets a new version. The same order once more changes nothing.`,
		Args: noArguments,
		RunE: with(o.at.existing, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			return o.give(cmd, s, "Halt", (*emergency.Service).Halt)
		}),
	}
	o.flags(cmd)
	return cmd
}

func rollbackCommand() *cobra.Command {
	var o order
	cmd := &cobra.Command{
		Use:   "rollback --data DIR --release NAME --reason TEXT",
		Short: "Call a release back: halt it, and have robots put it back",
		Long: `Call a release back: all that ota-fleet halt does, and every robot that runs the
release or tries it is told over MQTT to put back the firmware that it had before.
Robots that report the release later, because they were away, are told then, by
the running server. A robot has complied when it reports another firmware; one
that refuses is asked again, later and later. Robots that MQTT does not reach roll
back by themselves when the firmware does not boot.

With --wait it shows who has complied and who has not been reached, until all
have. Exit code 3: the time is up, and robots are left. The order stands then.`,
		Args: noArguments,
		RunE: with(o.at.existing, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			return o.give(cmd, s, "Call back", (*emergency.Service).Rollback)
		}),
	}
	o.flags(cmd)
	return cmd
}

type giving func(e *emergency.Service, ctx context.Context, by, release, reason string) (string, error)

// give asks, gives the order, tells robots, and reports.
func (o *order) give(cmd *cobra.Command, s *store.Store, what string, giving giving) error {
	ctx, e := cmd.Context(), emergency.New(s, time.Now)
	name, err := o.named(ctx, s)
	if err != nil {
		return err
	}
	plan, err := e.Preview(ctx, name)
	if err != nil {
		return err
	}
	if err := confirm(cmd, o.yes, "%s %s (rollouts: %s)? %s.", what, strings.Join(plan.Releases, ", "), orNone(plan.Rollouts), affected(plan)); err != nil {
		return err
	}
	id, err := giving(e, ctx, operator(), name, o.reason)
	if err != nil {
		return err
	}
	if err := e.FollowOne(ctx, emergency.NoFence, id); err != nil {
		return fmt.Errorf("the order stands, and a running server goes on with it; robots could not be told now: %w", err)
	}
	if !o.asJSON {
		fmt.Fprintf(cmd.OutOrStdout(), "withdrawn: %s; rollouts halted: %s\nincident: %s\n", strings.Join(plan.Releases, ", "), orNone(plan.Rollouts), id)
	}
	return o.report(cmd, e, id)
}

func affected(p emergency.Preview) string {
	return fmt.Sprintf("Robots that run it: %d; on their way to it: %d; unheard: %d", p.Running, p.Coming, p.Unheard)
}

// named is the release that is meant.
func (o *order) named(ctx context.Context, s *store.Store) (string, error) {
	if o.release != "" {
		return o.release, nil
	}
	active, err := s.ActiveRollouts(ctx)
	if err != nil {
		return "", err
	}
	for _, r := range active {
		if slices.Contains(r.SKUs, o.sku) {
			of, err := s.Release(ctx, o.sku, r.Version)
			return of.Name, err
		}
	}
	return "", fmt.Errorf("no rollout goes on for the SKU %.40q: name the release with --release", o.sku)
}

// report shows how far the incident has come, with --wait until it is done.
func (o *order) report(cmd *cobra.Command, e *emergency.Service, id string) error {
	ctx := cmd.Context()
	if o.wait && o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	p, err := o.follow(ctx, cmd.ErrOrStderr(), e, id)
	if err != nil {
		return err
	}
	if o.asJSON {
		err = printJSON(cmd.OutOrStdout(), p)
	} else {
		err = tellProgress(cmd.OutOrStdout(), p)
	}
	if err == nil && o.wait && !p.Done {
		return &unfinished{fmt.Errorf("%d robots have not complied; the order stands, and a running server goes on with it", p.Left)}
	}
	return err
}

// lookAgain is how often --wait looks.
const lookAgain = time.Second

// follow gives the progress, with --wait the one at which all have complied or
// the time is up, and tells each change.
func (o *order) follow(ctx context.Context, out io.Writer, e *emergency.Service, id string) (emergency.Progress, error) {
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	said := ""
	for {
		// The last look is made when the time is up as well.
		p, err := e.Progress(context.WithoutCancel(ctx), id)
		if err != nil || !o.wait || p.Done {
			return p, err
		}
		if line := fmt.Sprintf("%d complied, %d left (%d not reached)", p.Complied, p.Left, p.Unreached); line != said {
			said = line
			fmt.Fprintln(out, line)
		}
		select {
		case <-ctx.Done():
			return p, nil
		case <-ticker.C:
		}
		if err := e.FollowOne(ctx, emergency.NoFence, id); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrConflict) {
			return p, err
		}
	}
}

func tellProgress(out io.Writer, p emergency.Progress) error {
	fmt.Fprintf(out, "robots: %d complied, %d left, %d of them not reached; %d unheard; %d run it\n", p.Complied, p.Left, p.Unreached, p.Unheard, p.Running)
	const most = 50
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	shown := 0
	for _, r := range p.Robots {
		if r.Reach == emergency.Complied {
			continue
		}
		if shown++; shown == 1 {
			fmt.Fprintln(w, "ROBOT\tSKU\tFIRMWARE\tCOMMAND\tREACH\tONLINE\tHEARD")
		}
		if shown > most {
			break
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%v\t%s\n", r.Robot, r.SKU, orDash(r.Running), cmp.Or(string(r.Verb), "-"),
			strings.TrimSpace(string(r.Reach)+" "+r.Code), r.Online, when(r.Heard))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if shown > most {
		fmt.Fprintln(out, "and more: --json, or ota-fleet incident show --json, names all")
	}
	return nil
}

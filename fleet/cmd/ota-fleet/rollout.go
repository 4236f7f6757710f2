package main

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/controller"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

func rolloutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "Bring a release to the robots of its SKU, in four stages",
		Long: `Bring a release to the robots of its SKU in four stages, each with a gate: named
test robots, a canary of 10 %, 50 %, all. A running server (ota-fleet serve) looks
after rollouts: it opens stages, asks when robots are too few to tell, and halts
when they get worse. docs/rollout.md says how it decides.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(rolloutStartCommand(), rolloutListCommand(), rolloutShowCommand(), rolloutWatchCommand(),
		rolloutOrderCommand(rollout.Pause), rolloutOrderCommand(rollout.Resume), rolloutOrderCommand(rollout.Advance), rolloutOrderCommand(rollout.Halt))
	return cmd
}

// quietly is a controller for one order.
func quietly(s *store.Store) *controller.Controller {
	return newController(s, 0, slog.New(slog.DiscardHandler))
}

type startOptions struct {
	at             place
	plan, reason   string
	dryRun, asJSON bool
}

func rolloutStartCommand() *cobra.Command {
	var o startOptions
	cmd := &cobra.Command{
		Use:   "start --data DIR RELEASE",
		Short: "Start a rollout of a release",
		Long: `Start a rollout of a release, named as ota-fleet list --json names it
(standard-0.2.1), which is published and not stable. Test robots are those that are
registered with --internal. --plan names a JSON file that changes what the plan is
by default; docs/rollout.md has all its fields. With --dry-run nothing is done, and
who would have a turn when is printed: the seed of that draw is in the plan that
--dry-run --json prints, and a plan with that seed draws the same robots.

One rollout at a time goes on for a SKU.`,
		Args: oneArgument("one release"),
		RunE: with(o.at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			return o.start(cmd, args[0], s)
		}),
	}
	o.at.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.plan, "plan", "", "JSON file with what is to be different from the default plan")
	f.StringVar(&o.reason, "reason", "", "what it is for; kept with the rollout")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan and who would have a turn when, and do nothing")
	f.BoolVar(&o.asJSON, "json", false, "as JSON")
	return cmd
}

func (o *startOptions) start(cmd *cobra.Command, release string, s *store.Store) error {
	var given []byte
	if o.plan != "" {
		var err error
		if given, err = bounded.File(o.plan, rollout.MaxPlan); err != nil {
			return err
		}
	}
	c := quietly(s)
	p, err := c.Plan(cmd.Context(), release, given, newSeed())
	if err != nil {
		return err
	}
	if o.dryRun {
		drawn, err := c.Draw(cmd.Context(), p)
		if err != nil {
			return err
		}
		return tellDraw(cmd.OutOrStdout(), p, drawn, o.asJSON)
	}
	r, err := c.Start(cmd.Context(), p, operator(), o.reason)
	if err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(cmd.OutOrStdout(), r)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "started: rollout %s, with %s\n", r.ID, testRobots(p))
	return nil
}

// newSeed is one that nobody can foresee.
func newSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.BigEndian.Uint64(b[:])
}

func testRobots(p rollout.Plan) string {
	if len(p.Internal) == 0 {
		return "no test robots: it has to be promoted by hand"
	}
	return "test robots " + strings.Join(p.Internal, ", ")
}

// drawnRobot is one as --dry-run prints it.
type drawnRobot struct {
	Robot   string        `json:"robot"`
	Stage   rollout.Stage `json:"stage"`
	Stratum string        `json:"stratum"`
}

func tellDraw(out io.Writer, p rollout.Plan, drawn []rollout.Candidate, asJSON bool) error {
	stages := rollout.Stages()
	slices.SortFunc(drawn, func(a, b rollout.Candidate) int {
		return cmp.Or(cmp.Compare(slices.Index(stages, a.Stage), slices.Index(stages, b.Stage)), cmp.Compare(a.ID, b.ID))
	})
	if asJSON {
		robots := make([]drawnRobot, len(drawn))
		for i, c := range drawn {
			robots[i] = drawnRobot{c.ID, c.Stage, c.Stratum}
		}
		return printJSON(out, map[string]any{"plan": p, "robots": robots})
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STAGE\tROBOTS\tWATCH\tWHO")
	for _, stage := range stages {
		var who []string
		for _, c := range drawn {
			if c.Stage == stage {
				who = append(who, c.ID)
			}
		}
		const most = 10
		names := strings.Join(who[:min(len(who), most)], ", ")
		if len(who) > most {
			names += ", …"
		}
		fmt.Fprintf(w, "%s\t%d\t%v\t%s\n", stage, len(who), p.Steps.Of(stage).Watch, names)
	}
	return w.Flush()
}

func rolloutListCommand() *cobra.Command {
	var at place
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --data DIR",
		Short: "List the rollouts, the newest first",
		Args:  noArguments,
		RunE: with(at.existing, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			all, err := s.Rollouts(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"rollouts": append([]store.Rollout{}, all...)})
			}
			if len(all) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no rollouts yet: ota-fleet rollout start begins one")
				return nil
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ROLLOUT\tSKU\tVERSION\tPHASE\tSTAGE\tSTARTED\tENDED")
			for _, r := range all {
				end := "-"
				if !r.Ended.IsZero() {
					end = r.Ended.Format(time.RFC3339)
				}
				fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%s\t%s\t%s\n", r.ID, strings.Join(r.SKUs, ","), r.Version, r.Phase, r.Stage, r.Created.Format(time.RFC3339), end)
			}
			return w.Flush()
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// orderWords are what a command for an order is called and says.
type orderWords struct{ name, short, long, done string }

func orderWordsOf(v rollout.Verdict) orderWords {
	switch v {
	case rollout.Pause:
		return orderWords{"pause", "Offer the release to nobody for now",
			`Offer the release to nobody until the rollout is resumed. Robots that have it keep
it; triggers and failures that they report still halt the rollout.`, "paused"}
	case rollout.Resume:
		return orderWords{"resume", "Go on with a rollout that was paused", "Go on with a rollout that was paused.", "resumed"}
	case rollout.Advance:
		return orderWords{"promote", "Open the next stage by hand, whatever its gate says",
			`Open the next stage by hand, whatever the gate says; from the last stage the release
becomes stable. It is what a rollout that asks is waiting for. The reason is kept
with the decision.`, "promoted"}
	default:
		return orderWords{"halt", "End a rollout, and call its release back",
			`End a rollout for good: its release is withdrawn, an incident is opened, and robots
that have it are told to put it back (as ota-fleet rollback does). To stop the
release from spreading and leave it where it is: ota-fleet halt.`, "halted"}
	}
}

func rolloutOrderCommand(v rollout.Verdict) *cobra.Command {
	var at place
	var reason string
	var asJSON, yes bool
	words := orderWordsOf(v)
	cmd := &cobra.Command{
		Use:   words.name + " --data DIR --reason TEXT ROLLOUT",
		Short: words.short,
		Long:  words.long,
		Args:  oneArgument("one rollout"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			if v == rollout.Halt {
				if err := confirm(cmd, yes, "Halt rollout %s for good, and call its release back?", args[0]); err != nil {
					return err
				}
			}
			d, err := quietly(s).Order(cmd.Context(), args[0], rollout.Order{Verdict: v, By: operator(), Reason: reason})
			var refused *rollout.OrderError
			if errors.As(err, &refused) {
				return fmt.Errorf("rollout %s: %w", args[0], refused)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), d)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: rollout %s: %s\n", words.done, args[0], d.Text)
			return nil
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why; kept with the decision")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the decision as JSON")
	if v == rollout.Halt {
		cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	}
	need(cmd, "reason")
	return cmd
}

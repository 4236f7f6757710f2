package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/agent/simulated"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

type simulateOptions struct {
	robots    int
	speed     float64
	seed      uint64
	bad       simulated.Nature
	data      string
	dashboard string
	keep      bool
	json      bool
}

func simulateCommand() *cobra.Command {
	o := simulateOptions{}
	cmd := &cobra.Command{
		Use:   "simulate [--robots N] [--speed X]",
		Short: "Roll out a good release and a bad one to a simulated fleet",
		Long: `Roll out a good release and then a bad one to a fleet that does not exist. The
robots are simulated, with chips in memory, and so is the time; what decides is
real: each robot's own state machine, gates, trial and rollback triggers, and the
server's store, intake, rollout controller and dashboard.

Where the fleet is too small for a gate to tell anything, the rollout asks for a
person. The simulated one looks at the robots with the release for half a day, and halts
it where one of them looks ill, or promotes.

--harms and what follows it say how the bad release behaves, on which share of
the robots. The two test robots agree with everything, as otherwise no other would
ever see the bad release. The same seed gives the same fleet.`,
		Example: `  ota-fleet simulate
  ota-fleet simulate --robots 1000 --harms 0.05 --estops 0 --errors 0.3
  ota-fleet simulate --speed 20000 --dashboard localhost:8444 --keep`,
		Args: noArguments,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return simulate(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.IntVar(&o.robots, "robots", 40, "how many, 3 to 100000")
	f.Float64Var(&o.speed, "speed", 0, "seconds that pass in one; 0: as many as this machine can do")
	f.Uint64Var(&o.seed, "seed", 1, "of everything that is left to chance, but for keys")
	f.Float64Var(&o.bad.Harms, "harms", 0.5, "share of robots that the bad release does not agree with, 0 to 1")
	f.Float64Var(&o.bad.Errors, "errors", 0.25, "there, the share of minutes with an ERROR in the diagnostics, 0 to 1")
	f.Float64Var(&o.bad.Warnings, "warnings", 0, "there, the share of minutes with a WARN, 0 to 1")
	f.Float64Var(&o.bad.EStops, "estops", 0, "there, unexplained emergency stops an hour")
	f.Float64Var(&o.bad.Reboots, "reboots", 0, "there, reboots an hour")
	f.Float64Var(&o.bad.Drain, "drain", 0, "there, how many times as fast the battery drains; 0: as it always does")
	f.Float64Var(&o.bad.FailsTrial, "fails-trial", 0, "there, the probability that the self-test fails")
	f.StringVar(&o.data, "data", "", "folder for the fleet's data, which has to be empty; default: one that is removed at the end")
	f.StringVar(&o.dashboard, "dashboard", "", "host:port of the dashboard, such as localhost:8444; empty: none")
	f.BoolVar(&o.keep, "keep", false, "let the dashboard stay up at the end, until Ctrl-C")
	f.BoolVar(&o.json, "json", false, "print what was decided as JSON lines")
	return cmd
}

func (o simulateOptions) check() error {
	switch {
	case o.robots < 3 || o.robots > 100_000:
		return fmt.Errorf("--robots %d: want 3 to 100000", o.robots)
	case !(o.speed >= 0 && o.speed <= 1e9):
		return fmt.Errorf("--speed %v: want 0 to 1e9", o.speed)
	case o.keep && o.dashboard == "":
		return errors.New("--keep is for the dashboard: want --dashboard as well")
	}
	return o.bad.Check()
}

// The firmware of a simulation.
func simVersions() (runs, good, bad compat.Version) {
	return compat.Version{Minor: 2}, compat.Version{Minor: 2, Patch: 1}, compat.Version{Minor: 2, Patch: 2}
}

func simulate(ctx context.Context, o simulateOptions, stdout, stderr io.Writer) (err error) {
	dir, remove, err := emptyFolder(o.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	c := &clock{}
	c.set(simStart())
	s, err := store.Open(ctx, store.Options{Dir: dir, Now: c.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w, err := newWorld(ctx, s, c, log)
	if err != nil {
		return err
	}
	t := &tale{world: w, options: o, out: stdout}
	ctx, stop := context.WithCancelCause(ctx)
	also := &beside{store: s, log: log, stdout: stdout, fail: stop}
	defer also.Wait()
	defer stop(nil)
	if err := t.show(ctx, also, dir); err != nil {
		return err
	}
	if err := t.run(ctx); err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintln(stdout, "the dashboard stays up until Ctrl-C")
		<-ctx.Done()
	}
	return nil
}

// emptyFolder gives a folder for the fleet's data, and what ends its use.
func emptyFolder(data string) (dir string, remove func() error, err error) {
	if data == "" {
		dir, err = os.MkdirTemp("", "ota-fleet-simulate-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	switch entries, err := os.ReadDir(data); {
	case errors.Is(err, os.ErrNotExist), err == nil && len(entries) == 0:
		return data, func() error { return nil }, nil
	case err != nil:
		return "", nil, err
	}
	return "", nil, fmt.Errorf("--data %s: is not empty: a simulation begins with a fleet of its own", data)
}

// tale is what a simulation tells.
type tale struct {
	world   *world
	options simulateOptions
	out     io.Writer
	began   time.Time    // of the rollout that goes on, in the fleet's time
	told    rollout.Code // why it waits or asks, as was told last; "": it does not
}

// line is a decision as it is told.
type line struct {
	Rollout string          `json:"rollout"`
	After   string          `json:"after"` // since the rollout began
	Stage   string          `json:"stage"`
	Verdict string          `json:"verdict"`
	Text    string          `json:"text"`
	By      string          `json:"by,omitempty"`
	Detail  json.RawMessage `json:"decision"`
}

func (t *tale) say(format string, args ...any) {
	if !t.options.json {
		fmt.Fprintf(t.out, format+"\n", args...)
	}
}

func (t *tale) tell(d store.Decision) error {
	after := d.At.Sub(t.began)
	if t.options.json {
		return json.NewEncoder(t.out).Encode(line{d.Rollout, after.String(), d.Stage, d.Verdict, d.Text, d.By, d.Decision})
	}
	var of struct{ Code rollout.Code }
	if err := json.Unmarshal(d.Decision, &of); err != nil {
		return err
	}
	switch waits := d.Verdict == string(rollout.Wait); {
	case waits && (t.told == of.Code || t.told != "" && of.Code == rollout.CodeWatching):
		return nil // the same again
	case waits || d.Verdict == string(rollout.Ask):
		t.told = of.Code
	default:
		t.told = ""
	}
	why := ""
	if d.By != "" {
		why = " (" + d.Reason + ")" // who it was the text says
	}
	t.say("   day %d %02d:%02d  %-9s %-8s %s%s", int(after/day), int(after%day/time.Hour), int(after%time.Hour/time.Minute), d.Stage, d.Verdict, d.Text, why)
	return nil
}

// run is the whole simulation.
func (t *tale) run(ctx context.Context) error {
	runs, good, bad := simVersions()
	w, o := t.world, t.options
	if _, err := w.publish(ctx, runs, simulated.Nature{}, true); err != nil {
		return err
	}
	if err := w.populate(ctx, o.robots, runs, o.seed); err != nil {
		return err
	}
	t.say("%d robots run %s, and have a day to get to know themselves", o.robots, runs)
	if err := t.pass(ctx, day); err != nil {
		return err
	}
	t.say("\n1. %s, a good release", good)
	if err := t.roll(ctx, good, simulated.Nature{}, rollout.Stable); err != nil {
		return err
	}
	t.say("\n2. %s, a bad release: %s", bad, describe(o.bad))
	return t.roll(ctx, bad, o.bad, rollout.Halted)
}

func describe(n simulated.Nature) string {
	text := fmt.Sprintf("%.3g %% of robots have", 100*n.Harms)
	for _, p := range []struct {
		v    float64
		what string
	}{
		{100 * n.Errors, "%.3g %% more minutes with an ERROR"}, {100 * n.Warnings, "%.3g %% more minutes with a WARN"},
		{n.EStops, "%.3g unexplained emergency stops an hour"}, {n.Reboots, "%.3g reboots an hour"},
		{n.Drain, "a battery that drains %.3g times as fast"}, {100 * n.FailsTrial, "a self-test that fails in %.3g %%"},
	} {
		if p.v > 0 {
			text += " " + fmt.Sprintf(p.what, p.v) + ","
		}
	}
	return text[:len(text)-1]
}

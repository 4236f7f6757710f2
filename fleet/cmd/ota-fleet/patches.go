package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/patcher"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func patchesCommand() *cobra.Command {
	var at place
	var asJSON, look bool
	cmd := &cobra.Command{
		Use:   "patches --data DIR",
		Short: "List the patches between releases",
		Long: `List the patches with which robots rebuild a new image from the one that they keep.
They are made when a release is published and, by a running server, when robots
turn out to run other versions: from up to eight versions in use to whatever is
offered or may be. One that would have more than half of the image's size is not
kept. Those of withdrawn and superseded releases are removed.

With --make what is missing is made now.`,
		Args: noArguments,
		RunE: with(at.existing, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			if look {
				if err := makePatches(cmd.Context(), s, cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			made, err := s.Patches(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"patches": append([]store.Patch{}, made...)})
			}
			all, err := s.Releases(cmd.Context())
			if err != nil {
				return err
			}
			return listPatches(cmd.OutOrStdout(), made, all)
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&look, "make", false, "make those that are missing first")
	return cmd
}

func listPatches(out io.Writer, made []store.Patch, all []release.Release) error {
	if len(made) == 0 {
		_, err := fmt.Fprintln(out, "no patches yet: they are made from one release to the next")
		return err
	}
	of := map[string]release.Release{} // by artifact: the first SKU's will do
	for _, r := range all {
		if _, ok := of[r.SHA256]; !ok {
			of[r.SHA256] = r
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FROM\tTO\tBYTES\tOF THE IMAGE\tMADE\tSHA-256")
	for _, p := range made {
		from, to := of[p.From], of[p.To]
		sum := p.SHA256
		if !p.Kept() {
			sum = "not kept"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.1f %%\t%s\t%s\n", from.Name, to.Name, p.Size, 100*float64(p.Size)/float64(max(1, to.Size)), p.Made.Format(time.RFC3339), sum)
	}
	return w.Flush()
}

// makePatches makes those that are missing, with a line for each.
func makePatches(ctx context.Context, s *store.Store, out io.Writer) error {
	return patcher.Look(ctx, s, func(m patcher.Made) { fmt.Fprintf(out, "%s (%.1f s)\n", m, m.Took.Seconds()) })
}

// patchLease is held by the one of several servers that makes patches.
const patchLease = "patches"

// patchesEvery is how often it looks whether robots have a use for others.
const patchesEvery = 5 * time.Minute

// lookAfterPatches does so until ctx ends, as long as this server leads.
func lookAfterPatches(ctx context.Context, s *store.Store, log *slog.Logger) {
	host, _ := os.Hostname() // for people; the rest makes it one of its kind
	err := s.Lead(ctx, patchLease, host+"/"+rand.Text(), leaseFor, log, func(ctx context.Context, _ store.Lease) error {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			err := patcher.Look(ctx, s, func(m patcher.Made) {
				log.Info("patch", "from", m.From.Name, "to", m.To.Name, "bytes", m.Size, "kept", m.Kept, "took", m.Took.Round(time.Millisecond), "err", m.Err)
			})
			if err != nil && ctx.Err() == nil {
				log.Warn("patches are not looked after", "err", err)
			}
			timer.Reset(patchesEvery)
		}
	})
	if ctx.Err() == nil {
		log.Error("patches are not looked after any more", "err", err)
	}
}

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

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func listCommand() *cobra.Command {
	return listing("List the releases", "releases",
		func(ctx context.Context, s *store.Store) ([]release.Release, error) { return s.Releases(ctx) }, list)
}

func list(out io.Writer, all []release.Release) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "no releases yet: ota-fleet publish adds one")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SKU\tVERSION\tSTATUS\tPROTOCOL\tBYTES\tSIGNED BY\tPUBLISHED\tSHA-256")
	for _, r := range all {
		status := string(r.Status)
		if latest, _ := release.Latest(all, r.SKU); latest.Version == r.Version {
			status += ", latest"
		}
		fmt.Fprintf(w, "%s\t%v\t%s\t%d\t%d\t%s\t%s\t%s\n", r.SKU, r.Version, status, r.Protocol, r.Size, r.Key, r.Published.Format(time.RFC3339), r.SHA256)
	}
	return w.Flush()
}

func withdrawCommand() *cobra.Command {
	var at place
	var reason string
	cmd := &cobra.Command{
		Use:   "withdraw --data DIR --reason TEXT RELEASE [RELEASE…]",
		Short: "Take a release back: nobody gets it any more",
		Long: `Take releases back, named as ota-fleet list --json names them (standard-0.2.1).
A running server neither offers nor serves them from its next request on. What
robots have installed stays there. It cannot be undone: a fixed build gets a new
version.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("want the names of releases, such as standard-0.2.1")
			}
			return nil
		},
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			if strings.TrimSpace(reason) == "" {
				return errors.New("--reason: say why; it is kept with the release")
			}
			err := s.Update(cmd.Context(), "withdraw", func(tx *store.Tx) error {
				for _, name := range args {
					r, err := tx.ReleaseNamed(cmd.Context(), name)
					if err != nil {
						return err
					}
					if err := tx.SetStatus(cmd.Context(), r.SKU, r.Version, release.Withdrawn, operator(), reason); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "withdrawn: %s\n", strings.Join(args, ", "))
			return nil
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why it is withdrawn")
	need(cmd, "reason")
	return cmd
}

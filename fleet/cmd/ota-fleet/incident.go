package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/durable"
)

func incidentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incident",
		Short: "What went wrong, and what was done about it",
		Long: `Incidents are opened by ota-fleet halt, rollback and key compromise, by the
dashboard and by rollouts that stop by themselves. Their time lines are added to
and never changed.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(incidentListCommand(), incidentShowCommand(), incidentNoteCommand(), incidentCloseCommand(), incidentLogCommand())
	return cmd
}

func incidentListCommand() *cobra.Command {
	var open bool
	cmd := listing("List incidents, the newest first", "incidents",
		func(ctx context.Context, s *store.Store) ([]store.Incident, error) { return s.Incidents(ctx, open) }, listIncidents)
	cmd.Flags().BoolVar(&open, "open", false, "open ones only")
	return cmd
}

func listIncidents(out io.Writer, all []store.Incident) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "no incidents")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INCIDENT\tOPENED\tBY\tCLOSED\tTITLE\tREASON")
	for _, i := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, when(i.Opened), cmp.Or(i.OpenedBy, "-"),
			when(i.Closed), i.Title, i.Reason)
	}
	return w.Flush()
}

func incidentShowCommand() *cobra.Command {
	var at place
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show --data DIR INCIDENT",
		Short: "Show an incident: its time line, and which robots are left",
		Args:  oneArgument("one incident's id; ota-fleet incident list names them"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			ctx, out := cmd.Context(), cmd.OutOrStdout()
			chapters, err := chaptersOf(ctx, s, args[0])
			if err != nil {
				return err
			}
			p, err := emergency.New(s, time.Now).Progress(ctx, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(out, map[string]any{"incident": chapters[0], "progress": p})
			}
			if _, err := io.WriteString(out, emergency.Log(chapters)); err != nil || len(p.Targets) == 0 {
				return err
			}
			fmt.Fprintln(out)
			return tellProgress(out, p)
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func incidentNoteCommand() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "note --data DIR INCIDENT TEXT",
		Short: "Add a line to an incident's time line",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("want an incident's id and a text in quotes, got %d arguments", len(args))
			}
			return nil
		},
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			return emergency.New(s, time.Now).Note(cmd.Context(), operator(), args[0], args[1])
		}),
	}
	at.flags(cmd)
	return cmd
}

func incidentCloseCommand() *cobra.Command {
	var at place
	var anyway string
	cmd := &cobra.Command{
		Use:   "close --data DIR INCIDENT",
		Short: "End an incident",
		Long: `End an incident. Refused as long as robots have not complied or nobody knows what
they run: --anyway says why it is over all the same. Nobody follows an incident
that is closed: robots that report its release later are told nothing.`,
		Args: oneArgument("one incident's id"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			err := emergency.New(s, time.Now).Close(cmd.Context(), operator(), args[0], anyway)
			var open *emergency.OpenError
			if errors.As(err, &open) {
				return fmt.Errorf("%w; --anyway REASON closes it all the same", err)
			}
			return err
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&anyway, "anyway", "", "why it is over although not all is done")
	return cmd
}

func incidentLogCommand() *cobra.Command {
	var at place
	var output string
	cmd := &cobra.Command{
		Use:   "log --data DIR",
		Short: "Write the log of all incidents, in Markdown",
		Long: `Write the log of all incidents with their time lines, the newest first, times in
UTC, as Markdown: on standard output, or with --output into a file that holds the
old log or the new one whatever happens.`,
		Args: noArguments,
		RunE: with(at.existing, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			all, err := s.Incidents(cmd.Context(), false)
			if err != nil {
				return err
			}
			var ids []string
			for _, i := range all {
				ids = append(ids, i.ID)
			}
			chapters, err := chaptersOf(cmd.Context(), s, ids...)
			if err != nil {
				return err
			}
			text := emergency.Log(chapters)
			if output == "" {
				_, err = io.WriteString(cmd.OutOrStdout(), text)
				return err
			}
			return durable.WriteFile(output, []byte(text), 0o644)
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&output, "output", "", "`FILE` to write")
	return cmd
}

// chaptersOf reads incidents and their time lines, as of one moment.
func chaptersOf(ctx context.Context, s *store.Store, ids ...string) ([]emergency.Chapter, error) {
	var out []emergency.Chapter
	err := s.View(ctx, func(r *store.Reader) error {
		for _, id := range ids {
			i, err := r.Incident(ctx, strings.TrimSpace(id))
			if err != nil {
				return err
			}
			entries, err := r.Entries(ctx, i.ID)
			if err != nil {
				return err
			}
			out = append(out, emergency.Chapter{Incident: i, Entries: append([]store.Entry{}, entries...)})
		}
		return nil
	})
	return out, err
}

package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/fleet/internal/metadata"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/bounded"
	"github.com/robot-platform/robot-ota/internal/durable"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

func metadataCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "metadata",
		Short: "Signed lists of the releases that the fleet's owner stands for",
		Long: `Release metadata (TUF): robots whose configuration says metadata.required take
only what a list names that the fleet's owner signed, and only while this server
signs that it is the newest. So old answers cannot be replayed, nor new ones held
back for longer than a day. Root documents and keys are made with ota-sign tuf.

The list is signed by this server, where serve has --targets-key, or by the owner:
draft it, sign it (ota-sign tuf sign), import it.`,
		Example: `  ota-fleet metadata import --data DIR 1.root.json
  ota-fleet serve --data DIR … --online-key online.pem --targets-key targets.pem
  ota-fleet metadata draft --data DIR --output list.json; ota-sign tuf sign --key targets.pem list.json
  ota-fleet metadata import --data DIR list.json
  ota-fleet metadata show --data DIR`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(metadataImportCommand(), metadataDraftCommand(), metadataShowCommand())
	return cmd
}

func metadataImportCommand() *cobra.Command {
	var at place
	var anew, asJSON bool
	cmd := &cobra.Command{
		Use:   "import --data DIR DOCUMENT…",
		Short: "Take root documents or a list of releases that the owner has signed",
		Long: `Take root documents, one after the other, or a list of releases that the fleet's
owner has signed, if robots would take them. A running server hands them out at
once, and signs that they are the newest within seconds.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("want one signed document or more")
			}
			return nil
		},
		RunE: with(at.open, func(cmd *cobra.Command, args []string, s *store.Store) error {
			var taken []tuf.Description
			for _, path := range args {
				b, err := bounded.File(path, tuf.MaxTargets)
				if err != nil {
					return err
				}
				take := metadata.Import
				if anew {
					take = metadata.Replace
				}
				d, fresh, err := take(cmd.Context(), s, b, time.Now())
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				taken = append(taken, d)
				if !asJSON {
					said := "imported"
					if !fresh {
						said = "has already"
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s %s %d, valid until %s\n", said, d.Role, d.Version, d.Expires.Format(time.RFC3339))
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"documents": taken})
			}
			return nil
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&anew, "anew", false, "take a root document that the root keys before have not signed, because too many of them are lost or stolen; robots take it only as their metadata.root")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	return cmd
}

func metadataDraftCommand() *cobra.Command {
	var at place
	var life time.Duration
	var output string
	cmd := &cobra.Command{
		Use:   "draft --data DIR --output FILE",
		Short: "Write the next list of releases, for its owner to sign",
		Long: `Write the next list of releases as they are now: what can be downloaded, and what
was withdrawn. Sign it where its key is (ota-sign tuf sign), and import it.`,
		Args: noArguments,
		RunE: with(at.existing, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			lives := metadata.DefaultLives()
			lives.Targets = life
			if err := lives.Check(); err != nil {
				return fmt.Errorf("--for: %w", err)
			}
			b, err := metadata.Draft(cmd.Context(), s, life, time.Now())
			if err != nil {
				return err
			}
			d, err := tuf.Describe(b)
			if err != nil {
				return err
			}
			if err := durable.WriteFile(output, b, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: list %d of %d releases, valid until %s; sign it: ota-sign tuf sign --key PRIVATE %s\n", output, d.Version, len(d.Files), d.Expires.Format(time.RFC3339), output)
			return nil
		}),
	}
	at.flags(cmd)
	cmd.Flags().DurationVar(&life, "for", metadata.DefaultLives().Targets, "how long it is to be valid")
	cmd.Flags().StringVar(&output, "output", "", "`FILE` to write")
	need(cmd, "output")
	return cmd
}

func metadataShowCommand() *cobra.Command {
	var at place
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show --data DIR",
		Short: "Say what robots get, until when, and whether they take it",
		Long: `Say which release metadata robots get, until when it is valid, whether a robot that
was given the first root document takes it today, and which releases the list does
not name as they are. The exit code is 1 where a robot would refuse it.`,
		Args: noArguments,
		RunE: with(at.existing, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			stand, err := metadata.Stand(cmd.Context(), s, time.Now())
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), stand)
			} else {
				err = tellMetadata(cmd.OutOrStdout(), stand)
			}
			if err == nil && stand.Fault != "" {
				err = fmt.Errorf("robots refuse it: %s", stand.Fault)
			}
			return err
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func tellMetadata(out io.Writer, s metadata.Standing) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DOCUMENT\tVERSION\tEXPIRES\tKEYS")
	for _, d := range s.Documents {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", d.Role, d.Version, d.Expires.Format(time.RFC3339), keysOf(s.Documents, d.Role))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(s.Differs) > 0 {
		fmt.Fprintf(out, "the list does not say what these releases are now, so robots that want metadata refuse them: %s\n", strings.Join(s.Differs, ", "))
	}
	return nil
}

// keysOf are those that the root names for a role.
func keysOf(all []tuf.Description, role tuf.Role) string {
	for _, d := range all {
		if d.Role != tuf.RoleRoot {
			continue
		}
		var ids []string
		for _, n := range d.Keys[role] {
			ids = append(ids, string(n))
		}
		said := strings.Join(ids, ", ")
		if role == tuf.RoleRoot {
			said += fmt.Sprintf(" (%d of %d sign)", d.Threshold, len(ids))
		}
		return said
	}
	return ""
}

// tellUnlisted says what is missing for releases that no list names yet, in a
// fleet that has lists.
func tellUnlisted(ctx context.Context, out io.Writer, s *store.Store, fresh []release.Release) error {
	stand, err := metadata.Stand(ctx, s, time.Now())
	if err != nil || len(stand.Documents) == 0 {
		return err
	}
	if slices.ContainsFunc(fresh, func(r release.Release) bool { return slices.Contains(stand.Differs, r.Name) }) {
		fmt.Fprintln(out, "robots that want release metadata take it once it is listed: by a server with --targets-key within seconds, or else: ota-fleet metadata draft")
	}
	return nil
}

// signing says what serve signs of the release metadata, and for how long.
type signing struct {
	online, targets string
	lives           metadata.Lives
}

func (o *signing) flags(cmd *cobra.Command) {
	o.lives = metadata.DefaultLives()
	f := cmd.Flags()
	f.StringVar(&o.online, "online-key", "", "private key (PEM, mode 0600) that signs release metadata as the newest; empty: there is none, or another server signs")
	f.StringVar(&o.targets, "targets-key", "", "private key (PEM, mode 0600) that signs the list of releases; empty: its owner does (ota-fleet metadata draft)")
	f.DurationVar(&o.lives.Timestamp, "timestamp-for", o.lives.Timestamp, "how long robots take a signature that says what is newest: so long can answers be held back unnoticed; signed anew after a quarter of it")
	f.DurationVar(&o.lives.Snapshot, "snapshot-for", o.lives.Snapshot, "the same for the snapshot")
	f.DurationVar(&o.lives.Targets, "list-for", o.lives.Targets, "the same for the list, with --targets-key")
}

// keeper reads the keys.
func (o *signing) keeper(s *store.Store, log *slog.Logger) (*metadata.Keeper, error) {
	if err := o.lives.Check(); err != nil {
		return nil, err
	}
	cfg := metadata.Config{Lives: o.lives, Now: time.Now}
	for _, k := range []struct {
		flag, path string
		into       **ecdsa.PrivateKey
	}{{"--online-key", o.online, &cfg.Online}, {"--targets-key", o.targets, &cfg.Targets}} {
		if k.path == "" {
			continue
		}
		b, err := bounded.Secret(k.path, maxPrivateKey)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.flag, err)
		}
		if *k.into, err = image.ParsePrivateKey(b); err != nil {
			return nil, fmt.Errorf("%s %s: %w", k.flag, k.path, err)
		}
	}
	return metadata.New(cfg, s, log), nil
}

const maxPrivateKey = 64 << 10 // bytes

// documents are what the interface hands out.
type documents struct{ *store.Store }

// Document is the one of that name.
func (d documents) Document(ctx context.Context, name string) ([]byte, error) {
	return metadata.Serve(ctx, d.Store, name)
}

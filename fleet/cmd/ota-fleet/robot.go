package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func robotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "robot",
		Short: "The robots of the fleet, and how they prove who they are",
		Long: `The robots of the fleet. A robot proves who it is by a bearer token, which add
and token print once and which the agent reads from server.token_file, or by a
client certificate whose common name is its id (ota-fleet serve --client-ca).`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(robotAddCommand(), robotSetCommand(), robotListCommand(), robotShowCommand(), robotTokenCommand(), robotRemoveCommand())
	return cmd
}

// traits are what is registered of a robot.
type traits struct {
	sku, companion, note, certificate string
	internal                          bool
	tags                              []string
}

func (o *traits) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.sku, "sku", "", "basic, standard or industrial")
	f.StringVar(&o.companion, "companion", "", "version of the companion's software, until the robot reports it")
	f.BoolVar(&o.internal, "internal", false, "a test robot: the first stage of rollouts")
	f.StringSliceVar(&o.tags, "tag", nil, "a word of your own, such as its site; may be given more than once")
	f.StringVar(&o.note, "note", "", "for people")
	f.StringVar(&o.certificate, "certificate", "", "common name of its client certificate, where it is not its id")
}

// onto changes in a robot what was given.
func (o *traits) onto(cmd *cobra.Command, r *store.Robot) error {
	f := cmd.Flags()
	if f.Changed("sku") {
		r.SKU = o.sku
	}
	if f.Changed("companion") {
		if r.Companion = (compat.Version{}); o.companion != "" {
			v, err := compat.ParseVersion(o.companion)
			if err != nil {
				return fmt.Errorf("--companion: %w", err)
			}
			r.Companion = v
		}
	}
	if f.Changed("internal") {
		r.Internal = o.internal
	}
	if f.Changed("tag") {
		r.Tags = o.tags
	}
	if f.Changed("note") {
		r.Note = o.note
	}
	if f.Changed("certificate") {
		r.Certificate = o.certificate
	}
	return nil
}

func robotAddCommand() *cobra.Command {
	var at place
	var o traits
	var file string
	var noToken bool
	cmd := &cobra.Command{
		Use:   "add --data DIR --sku SKU ID",
		Short: "Register a robot, and print its token once",
		Long: `Register a robot and give it a bearer token, which is printed once: only its hash
is kept. With --file it goes into a file (mode 0600) instead. The robot's agent
reads it from server.token_file.`,
		Args: oneArgument("one robot's id"),
		RunE: with(at.open, func(cmd *cobra.Command, args []string, s *store.Store) error {
			robot := store.Robot{ID: args[0]}
			if err := o.onto(cmd, &robot); err != nil {
				return err
			}
			token := ""
			if !noToken {
				token = newToken()
			}
			return handOver(cmd.OutOrStdout(), token, file, func() error {
				return s.Update(cmd.Context(), "add robot", func(tx *store.Tx) error {
					if err := tx.AddRobot(cmd.Context(), robot); err != nil {
						return err
					}
					return tx.SetToken(cmd.Context(), robot.ID, token)
				})
			})
		}),
	}
	at.flags(cmd)
	o.flags(cmd)
	cmd.Flags().StringVar(&file, "file", "", "write the token to this new file instead of printing it")
	cmd.Flags().BoolVar(&noToken, "no-token", false, "no token: it has a client certificate")
	cmd.MarkFlagsMutuallyExclusive("file", "no-token")
	need(cmd, "sku")
	return cmd
}

func robotSetCommand() *cobra.Command {
	var at place
	var o traits
	cmd := &cobra.Command{
		Use:   "set --data DIR ID [--internal=false] [--tag …] …",
		Short: "Change what is registered of a robot",
		Args:  oneArgument("one robot's id"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			return s.Update(cmd.Context(), "change robot", func(tx *store.Tx) error {
				robot, err := tx.Robot(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if err := o.onto(cmd, &robot); err != nil {
					return err
				}
				return tx.SaveRobot(cmd.Context(), robot)
			})
		}),
	}
	at.flags(cmd)
	o.flags(cmd)
	return cmd
}

func robotTokenCommand() *cobra.Command {
	var at place
	var file string
	var remove bool
	cmd := &cobra.Command{
		Use:   "token --data DIR ID",
		Short: "Give a robot a new token; the one that it had counts no more",
		Args:  oneArgument("one robot's id"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			token := ""
			if !remove {
				token = newToken()
			}
			return handOver(cmd.OutOrStdout(), token, file, func() error {
				return s.Update(cmd.Context(), "new token", func(tx *store.Tx) error {
					if err := tx.SetToken(cmd.Context(), args[0], token); err != nil {
						return fmt.Errorf("robot %.64q: %w", args[0], err)
					}
					return nil
				})
			})
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&file, "file", "", "write the token to this new file instead of printing it")
	cmd.Flags().BoolVar(&remove, "remove", false, "take the token away, without a new one")
	cmd.MarkFlagsMutuallyExclusive("file", "remove")
	return cmd
}

func robotRemoveCommand() *cobra.Command {
	var at place
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove --data DIR ID",
		Short: "Take a robot out of the fleet, with its history",
		Args:  oneArgument("one robot's id"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			if _, err := s.Robot(cmd.Context(), args[0]); err != nil {
				return err
			}
			if err := confirm(cmd, yes, "Remove robot %s and its history?", args[0]); err != nil {
				return err
			}
			return s.Update(cmd.Context(), "remove robot", func(tx *store.Tx) error { return tx.RemoveRobot(cmd.Context(), args[0]) })
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func robotListCommand() *cobra.Command {
	var sku string
	cmd := listing("List the robots and what they last reported", "robots",
		func(ctx context.Context, s *store.Store) ([]store.Robot, error) {
			return s.Robots(ctx, store.RobotQuery{SKU: sku})
		}, listRobots)
	cmd.Flags().StringVar(&sku, "sku", "", "of this SKU only")
	return cmd
}

func listRobots(out io.Writer, robots []store.Robot) error {
	if len(robots) == 0 {
		_, err := fmt.Fprintln(out, "no robots yet: ota-fleet robot add registers one")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROBOT\tSKU\tFIRMWARE\tCOMPANION\tSTATE\tHEARD\tTOKEN\tTAGS")
	for _, r := range robots {
		tags := r.Tags
		if r.Internal {
			tags = append([]string{"(internal)"}, tags...)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.SKU, orDash(r.State.Version), orDash(r.CompanionVersion()),
			stateOf(r.State), when(r.State.Received), when(r.TokenAt), strings.Join(tags, ", "))
	}
	return w.Flush()
}

func orDash(v compat.Version) string {
	if v.IsZero() {
		return "-"
	}
	return v.String()
}

func stateOf(s store.RobotState) string {
	switch {
	case s.Online && s.JobState != "":
		return s.JobState
	case s.Online:
		return "online"
	case s.Received.IsZero():
		return "never heard"
	}
	return "offline"
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}

// newToken is a secret of 256 bits.
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// handOver prints a token or writes it to a new file, once commit has stored
// its hash. A file that cannot be written stores nothing.
func handOver(out io.Writer, token, file string, commit func() error) error {
	if token == "" || file == "" {
		if err := commit(); err != nil || token == "" {
			return err
		}
		_, err := fmt.Fprintln(out, token)
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; remove it, or choose another --file", file)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(token + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = commit()
	}
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	_, err = fmt.Fprintf(out, "wrote the token to %s\n", file)
	return err
}

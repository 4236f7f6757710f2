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

	"github.com/robot-platform/robot-ota/fleet/internal/dashboard/password"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "The people who may look at the dashboard",
		Long: `The people who may look at the dashboard (ota-fleet serve --dashboard). A viewer
sees everything and changes nothing; an operator may pause, resume, promote and
halt rollouts. Who is changed or removed here is logged out at once.

Passwords come from a prompt, or with --password-file from the first line of a
file or, for -, of standard input. Only an argon2id hash is kept.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(userAddCommand(), userSetCommand(), userPasswdCommand(), userListCommand(), userRemoveCommand())
	return cmd
}

func userAddCommand() *cobra.Command {
	var at place
	var role, file string
	cmd := &cobra.Command{
		Use:   "add --data DIR --role viewer|operator NAME",
		Short: "Let somebody in",
		Args:  oneArgument("one user's name"),
		RunE: with(at.open, func(cmd *cobra.Command, args []string, s *store.Store) error {
			if err := checkUser(args[0], store.Role(role)); err != nil {
				return err
			}
			hash, err := newPassword(cmd, file)
			if err != nil {
				return err
			}
			return s.Update(cmd.Context(), "add user", func(tx *store.Tx) error {
				switch _, err := tx.User(cmd.Context(), args[0]); {
				case err == nil:
					return fmt.Errorf("user %s: %w; ota-fleet user set or passwd changes it", args[0], store.ErrExists)
				case !errors.Is(err, store.ErrNotFound):
					return err
				}
				return tx.SaveUser(cmd.Context(), store.User{Name: args[0], Role: store.Role(role), Password: hash})
			})
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&role, "role", string(store.Viewer), "viewer or operator")
	passwordFlag(cmd, &file)
	return cmd
}

func userSetCommand() *cobra.Command {
	var at place
	var role string
	var disable, enable bool
	cmd := &cobra.Command{
		Use:   "set --data DIR NAME [--role ROLE] [--disable|--enable]",
		Short: "Change somebody's role, or lock somebody out for a while",
		Args:  oneArgument("one user's name"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			return changeUser(cmd, s, args[0], func(u *store.User) error {
				if cmd.Flags().Changed("role") {
					u.Role = store.Role(role)
				}
				if disable {
					u.Disabled = time.Now().UTC()
				}
				if enable {
					u.Disabled = time.Time{}
				}
				return checkUser(u.Name, u.Role)
			})
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&role, "role", "", "viewer or operator")
	cmd.Flags().BoolVar(&disable, "disable", false, "lock out, until --enable")
	cmd.Flags().BoolVar(&enable, "enable", false, "let in again")
	cmd.MarkFlagsMutuallyExclusive("disable", "enable")
	cmd.MarkFlagsOneRequired("role", "disable", "enable")
	return cmd
}

func userPasswdCommand() *cobra.Command {
	var at place
	var file string
	cmd := &cobra.Command{
		Use:   "passwd --data DIR NAME",
		Short: "Give somebody a new password",
		Args:  oneArgument("one user's name"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			if _, err := s.User(cmd.Context(), args[0]); err != nil {
				return err
			}
			hash, err := newPassword(cmd, file)
			if err != nil {
				return err
			}
			return changeUser(cmd, s, args[0], func(u *store.User) error { u.Password = hash; return nil })
		}),
	}
	at.flags(cmd)
	passwordFlag(cmd, &file)
	return cmd
}

func userRemoveCommand() *cobra.Command {
	var at place
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove --data DIR NAME",
		Short: "Remove somebody",
		Args:  oneArgument("one user's name"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			if _, err := s.User(cmd.Context(), args[0]); err != nil {
				return err
			}
			if err := confirm(cmd, yes, "Remove user %s?", args[0]); err != nil {
				return err
			}
			return s.Update(cmd.Context(), "remove user", func(tx *store.Tx) error { return tx.RemoveUser(cmd.Context(), args[0]) })
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func userListCommand() *cobra.Command {
	return listing("List who may look at the dashboard", "users",
		func(ctx context.Context, s *store.Store) ([]store.User, error) { return s.Users(ctx) }, listUsers)
}

func listUsers(out io.Writer, users []store.User) error {
	if len(users) == 0 {
		_, err := fmt.Fprintln(out, "nobody yet: ota-fleet user add lets somebody in")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tROLE\tSINCE\tDISABLED")
	for _, u := range users {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Name, u.Role, when(u.Added), when(u.Disabled))
	}
	return w.Flush()
}

// changeUser changes somebody who is there.
func changeUser(cmd *cobra.Command, s *store.Store, name string, change func(*store.User) error) error {
	return s.Update(cmd.Context(), "change user", func(tx *store.Tx) error {
		u, err := tx.User(cmd.Context(), name)
		if err != nil {
			return err
		}
		if err := change(&u); err != nil {
			return err
		}
		return tx.SaveUser(cmd.Context(), u)
	})
}

func checkUser(name string, role store.Role) error {
	const most = 64
	if name == "" || len(name) > most || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@") != "" {
		return fmt.Errorf("user %.64q: want 1 to %d letters, digits, and - _ . @", name, most)
	}
	if role != store.Viewer && role != store.Operator {
		return fmt.Errorf("--role %.20q: want %s or %s", string(role), store.Viewer, store.Operator)
	}
	return nil
}

func passwordFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "password-file", "", "read the password from the first line of this file, - for standard input, instead of asking")
}

// newPassword asks for a password, or reads it, and gives its hash.
func newPassword(cmd *cobra.Command, file string) (string, error) {
	var text string
	var err error
	if file != "" {
		text, err = readPassword(cmd.InOrStdin(), file)
	} else {
		text, err = askPassword(cmd)
	}
	if err != nil {
		return "", err
	}
	return password.Hash(text)
}

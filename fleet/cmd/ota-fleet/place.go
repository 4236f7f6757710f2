package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// databaseVariable names a database without showing its password to everybody
// who lists processes.
const databaseVariable = "OTA_FLEET_DB"

// place is where a fleet's data are.
type place struct{ data, db string }

func (p *place) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.data, "data", "", "folder of the fleet: artifacts, and fleet.db; made where it is missing")
	cmd.Flags().StringVar(&p.db, "db", "", "PostgreSQL instead of fleet.db: postgres://…; default $"+databaseVariable)
	need(cmd, "data")
}

func (p *place) open(ctx context.Context) (*store.Store, error) {
	db := p.db
	if db == "" {
		db = os.Getenv(databaseVariable)
	}
	return store.Open(ctx, store.Options{Dir: p.data, DB: db, Now: time.Now})
}

// existing opens what has to be there already.
func (p *place) existing(ctx context.Context) (*store.Store, error) {
	if p.db == "" && os.Getenv(databaseVariable) == "" {
		if _, err := os.Stat(filepath.Join(p.data, store.File)); err != nil {
			return nil, &noFleetError{err}
		}
	}
	return p.open(ctx)
}

type noFleetError struct{ error }

func (e *noFleetError) Error() string { return "there is no fleet: " + e.error.Error() }
func (e *noFleetError) Unwrap() error { return e.error }

// with opens the store for f and closes it afterwards.
func with(open func(context.Context) (*store.Store, error), f func(cmd *cobra.Command, args []string, s *store.Store) error) func(*cobra.Command, []string) error {
	return doing(func(cmd *cobra.Command, args []string) (err error) {
		s, err := open(cmd.Context())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		return f(cmd, args, s)
	})
}

// listing is a command that lists what the store has of something: for people, or
// as JSON under a key.
func listing[T any](short, key string, find func(context.Context, *store.Store) ([]T, error), tell func(io.Writer, []T) error) *cobra.Command {
	var at place
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --data DIR",
		Short: short,
		Args:  noArguments,
		RunE: with(at.existing, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			all, err := find(cmd.Context(), s)
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(cmd.OutOrStdout(), map[string]any{key: append([]T{}, all...)})
			}
			return tell(cmd.OutOrStdout(), all)
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// operator names who gives a command, for what is kept of it.
func operator() string {
	if by := os.Getenv("SUDO_USER"); by != "" {
		return by
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "somebody"
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

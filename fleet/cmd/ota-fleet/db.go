package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func dbCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "db",
		Short: "Care for the fleet's database",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(dbMigrateCommand(), dbCheckCommand(), dbBackupCommand())
	return cmd
}

func dbMigrateCommand() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "migrate --data DIR",
		Short: "Bring the tables to the form that this program knows",
		Long: `Bring the tables to the form that this program knows. Every command does so when
it begins, and several at once wait for each other: this one is there to do it
at a time of your choice. A database that a newer program has changed is left alone.`,
		Args: noArguments,
		RunE: with(at.open, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			m, err := s.Migrate(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s, form %d\n", s.Dialect(), m.To)
			return nil
		}),
	}
	at.flags(cmd)
	return cmd
}

func dbCheckCommand() *cobra.Command {
	var at place
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check --data DIR",
		Short: "Read the database and all artifacts, and tell what is damaged",
		Args:  noArguments,
		RunE: with(at.existing, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			c, err := s.Check(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), c)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "%s, form %d: %d releases of %d artifacts, %d patches, %d keyring documents\n", s.Dialect(), c.Form, c.Releases, c.Artifacts, c.Patches, c.Keyrings)
				for _, u := range c.Unlisted {
					fmt.Fprintf(cmd.OutOrStdout(), "no release names artifacts/%s; it may be removed\n", u)
				}
			}
			if len(c.Faults) > 0 {
				var faults []error
				for _, f := range c.Faults {
					faults = append(faults, errors.New(f))
				}
				return errors.Join(faults...)
			}
			return err
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func dbBackupCommand() *cobra.Command {
	var at place
	var to string
	cmd := &cobra.Command{
		Use:   "backup --data DIR --to NEW",
		Short: "Copy everything, as of one moment, into a new folder",
		Long: `Copy everything, as of one moment, into a new folder; servers go on meanwhile.
The copy is a --data folder: to restore it, serve from it. A PostgreSQL database
is backed up with its own tools (pg_dump, or a base backup with WAL archiving)
before this copies the artifacts.`,
		Args: noArguments,
		RunE: with(at.existing, func(cmd *cobra.Command, _ []string, s *store.Store) error {
			err := s.Backup(cmd.Context(), to)
			if errors.Is(err, store.ErrNoBackup) {
				fmt.Fprintf(cmd.OutOrStdout(), "copied the artifacts to %s; the database is in PostgreSQL and is not in this copy\n", to)
				return nil
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "copied everything to %s\n", to)
			return nil
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&to, "to", "", "the new folder")
	need(cmd, "to")
	return cmd
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "The keys whose images may be published",
		Long: `The public keys that signed images are verified with before they are published.
Robots have keys of their own: ota-fleet keyring changes those. The keys that a
keyring document adds are known here as well, those that it revokes are revoked.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(keyAddCommand(), keyListCommand(), keyRevokeCommand(), compromiseCommand())
	return cmd
}

func keyAddCommand() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "add --data DIR PUBLIC [PUBLIC…]",
		Short: "Make public keys known",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("want files with public keys (DER or PEM)")
			}
			return nil
		},
		RunE: with(at.open, func(cmd *cobra.Command, args []string, s *store.Store) error {
			keys, err := readKeys(args)
			if err != nil {
				return err
			}
			revoked, err := addKeys(cmd.Context(), s, keys)
			if err != nil {
				return err
			}
			for _, k := range keys {
				if slices.Contains(revoked, k.ID) {
					return fmt.Errorf("key %s is revoked; that is for ever", k.ID)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "known: %s (%s)\n", k.ID, k.file)
			}
			return nil
		}),
	}
	at.flags(cmd)
	return cmd
}

func keyListCommand() *cobra.Command {
	return listing("List the keys, and which are revoked", "keys",
		func(ctx context.Context, s *store.Store) ([]store.Key, error) { return s.Keys(ctx) }, listKeys)
}

func listKeys(out io.Writer, keys []store.Key) error {
	if len(keys) == 0 {
		_, err := fmt.Fprintln(out, "no keys yet: ota-fleet key add, or publish --key, adds one")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tFROM\tSINCE\tREVOKED")
	for _, k := range keys {
		revoked := "no"
		if !k.Revoked.IsZero() {
			revoked = fmt.Sprintf("%s by %s: %s", k.Revoked.Format(time.RFC3339), k.By, k.Reason)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, k.Source, k.Added.Format(time.RFC3339), revoked)
	}
	return w.Flush()
}

func keyRevokeCommand() *cobra.Command {
	var at place
	var reason string
	cmd := &cobra.Command{
		Use:   "revoke --data DIR --reason TEXT KEY",
		Short: "Let a key count for nothing: its images are hidden at once",
		Long: `Let a key, named by its id (16 hex digits) or its file, count for nothing, for
ever. A running server neither offers nor serves what it signed from its next
request on. Robots go on trusting it until they have a keyring document that
revokes it: ota-fleet keyring, whose revocations hold here as well.`,
		Args: oneArgument("the key: its id or its file"),
		RunE: with(at.open, func(cmd *cobra.Command, args []string, s *store.Store) error {
			if strings.TrimSpace(reason) == "" {
				return errors.New("--reason: say why; it is kept with the key")
			}
			ids, err := keyIDs(args[0])
			if err != nil {
				return err
			}
			var hidden []string
			err = s.Update(cmd.Context(), "revoke", func(tx *store.Tx) error {
				for _, id := range ids {
					if err := tx.RevokeKey(cmd.Context(), id, operator(), reason); err != nil {
						return err
					}
				}
				hidden, err = signedBy(cmd.Context(), tx, ids)
				return err
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "revoked: %s; hidden with it: %s\n", strings.Join(ids, ", "), orNone(hidden))
			return nil
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why it is revoked")
	need(cmd, "reason")
	return cmd
}

// keyIDs are the ids of a file's keys, or the id itself.
func keyIDs(named string) ([]string, error) {
	if keyring.IsID(named) {
		return []string{named}, nil
	}
	keys, err := readKeys([]string{named})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids, nil
}

// signedBy names the releases that are hidden because of these keys.
func signedBy(ctx context.Context, tx *store.Tx, ids []string) ([]string, error) {
	all, err := tx.Releases(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range all {
		if r.Status == release.Revoked && slices.Contains(ids, r.Key) {
			names = append(names, r.Name)
		}
	}
	return names, nil
}

// fileKey is a key and the file that it was read from.
type fileKey struct {
	image.Key
	file string
}

func readKeys(paths []string) ([]fileKey, error) {
	var all []fileKey
	for _, path := range paths {
		keys, err := readKeyFile(path)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			all = append(all, fileKey{k, path})
		}
	}
	return all, nil
}

func readKeyFile(path string) ([]image.Key, error) {
	const maxKeyFile = 64 << 10
	b, err := bounded.File(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	keys, err := image.ParseKeys(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// addKeys makes keys known and gives the ids of those that are revoked.
func addKeys(ctx context.Context, s *store.Store, keys []fileKey) (revoked []string, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	err = s.Update(ctx, "add keys", func(tx *store.Tx) error {
		revoked = nil
		for _, k := range keys {
			if _, err := tx.AddKey(ctx, k.Key, k.file); err != nil {
				return err
			}
			have, err := tx.Key(ctx, k.ID)
			if err != nil {
				return err
			}
			if !have.Revoked.IsZero() {
				revoked = append(revoked, k.ID)
			}
		}
		return nil
	})
	return revoked, err
}

// known is what an image is verified with: the known keys, and those of these
// files, which it gives as well.
func known(ctx context.Context, s *store.Store, paths []string) (image.Keyring, []fileKey, error) {
	added, err := readKeys(paths)
	if err != nil {
		return image.Keyring{}, nil, err
	}
	have, err := s.Keys(ctx)
	if err != nil {
		return image.Keyring{}, nil, err
	}
	var keys []image.Key
	var revoked []string
	for _, k := range have {
		keys = append(keys, k.Public)
		if !k.Revoked.IsZero() {
			revoked = append(revoked, k.ID)
		}
	}
	for _, k := range added {
		keys = append(keys, k.Key)
	}
	return image.NewKeyring(keys...).Without(revoked...), added, nil
}

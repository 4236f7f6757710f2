package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

func keyringCommand() *cobra.Command {
	var at place
	var keys []string
	var threshold int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "keyring --data DIR --key PUBLIC DOCUMENT",
		Short: "Offer robots a change of the keys that they trust",
		Long: `Verify a keyring document, as ota-sign keyring makes it, and offer it to robots:
each takes it with its next check. It is verified as a robot does that has the
keys of --key in its files: signed by keys in force, of a higher version, without
taking a revocation back. Documents that were offered before are kept, so that a
robot that was away takes one after the other. A running server offers it from
its next request on. The keys that it adds are known to publish from then on; what
those that it revokes have signed is hidden at once.`,
		Args: oneArgument("one keyring document"),
		RunE: with(at.open, func(cmd *cobra.Command, args []string, s *store.Store) error {
			if threshold < 1 || threshold > keyring.MaxSignatures {
				return fmt.Errorf("--threshold %d: want 1 to %d", threshold, keyring.MaxSignatures)
			}
			ring, err := offerKeyring(cmd.Context(), s, args[0], keys, threshold)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return tellKeyring(cmd.OutOrStdout(), ring, asJSON)
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringArrayVar(&keys, "key", nil, "`PUBLIC` key that robots have in their files (DER or PEM); may be given more than once")
	cmd.Flags().IntVar(&threshold, "threshold", 1, "how many trusted keys must have signed: trust.threshold of the robots")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	need(cmd, "key")
	return cmd
}

// offerKeyring publishes a document and gives the ring that robots have then.
func offerKeyring(ctx context.Context, s *store.Store, path string, keyPaths []string, threshold int) (keyring.Ring, error) {
	base := keyring.Base{Threshold: threshold}
	for _, p := range keyPaths {
		keys, err := readKeyFile(p)
		if err != nil {
			return keyring.Ring{}, err
		}
		base.Files = append(base.Files, keyring.Source{Name: p, Keys: keys})
	}
	b, err := bounded.File(path, keyring.MaxDocument)
	if err != nil {
		return keyring.Ring{}, err
	}
	d, err := keyring.Parse(b)
	if err != nil {
		return keyring.Ring{}, err
	}
	var ring keyring.Ring
	err = s.AddKeyring(ctx, d, func(have []keyring.Document) (err error) {
		ring, err = followed(base, have, d)
		return err
	})
	return ring, err
}

// followed is the ring of a robot with these keys once it has taken d, be it one
// that has taken all before or one that begins anew.
func followed(base keyring.Base, have []keyring.Document, d keyring.Document) (keyring.Ring, error) {
	if n := len(have); n > 0 {
		if _, err := keyring.Resume(base, have[n-1]).Accept(d); err != nil {
			return keyring.Ring{}, err
		}
	}
	ring, err := keyring.NewRing(base).Follow(append(slices.Clone(have), d)...)
	if err != nil {
		return keyring.Ring{}, fmt.Errorf("a robot that has these keys alone and no keyring yet does not get there: %w", err)
	}
	return ring, nil
}

func tellKeyring(out io.Writer, ring keyring.Ring, asJSON bool) error {
	trusted, revoked := ring.Trusted().IDs(), append([]string{}, ring.Revoked()...)
	if asJSON {
		return printJSON(out, map[string]any{"version": ring.Document().Version(), "trusted": trusted, "revoked": revoked})
	}
	_, err := fmt.Fprintf(out, "offered keyring version %d: robots with these keys then trust %s; revoked: %s\n",
		ring.Document().Version(), strings.Join(trusted, ", "), orNone(revoked))
	return err
}

func orNone(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

func publishCommand() *cobra.Command {
	var at place
	var chip string
	var skus, keys []string
	var stable, asJSON, noPatches bool
	cmd := &cobra.Command{
		Use:   "publish --data DIR --sku SKU[,SKU…] [--key PUBLIC] [--stable] SIGNED",
		Short: "Verify a signed image and make it a release",
		Long: `Verify a signed image with the known public keys, as a robot does, and make it
a release for the named SKUs. Its version is that of the signed app description.
The keys are those of ota-fleet key and of the keyring documents; --key adds one.

A published release can be downloaded by who has its address, and is offered to
nobody until a rollout does. With --stable every robot of its SKUs is offered it
at once, with its next check: for a laboratory. A running server sees either at
once. Published again with --stable a release becomes stable.`,
		Args: oneArgument("one signed image"),
		RunE: with(at.open, func(cmd *cobra.Command, args []string, s *store.Store) error {
			id, err := image.ParseChip(chip)
			if err != nil {
				return err
			}
			fresh, err := publish(cmd.Context(), s, args[0], keys, id, skus, stable)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), map[string]any{"releases": fresh})
			}
			for _, r := range fresh {
				if !asJSON {
					fmt.Fprintf(cmd.OutOrStdout(), "published %s (%s): %d bytes, SHA-256 %s, signed by %s\n", r.Name, r.Status, r.Size, r.SHA256, r.Key)
				}
			}
			if noPatches || err != nil {
				return err
			}
			if err := makePatches(cmd.Context(), s, cmd.ErrOrStderr()); err != nil {
				return fmt.Errorf("it is published, but robots get no patches to it until ota-fleet patches --make or a server makes them: %w", err)
			}
			return tellUnlisted(cmd.Context(), cmd.OutOrStdout(), s, fresh)
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringSliceVar(&skus, "sku", nil, "SKUs whose robots get it: basic, standard, industrial")
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public key that may have signed it (DER or PEM), to be known from now on; may be given more than once")
	cmd.Flags().StringVar(&chip, "chip", "esp32s3", "chip of the robots")
	cmd.Flags().BoolVar(&stable, "stable", false, "offer it to every robot of its SKUs at once, without a rollout")
	cmd.Flags().BoolVar(&noPatches, "no-patches", false, "make no patches now; a running server makes them later, unless told otherwise")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	need(cmd, "sku")
	return cmd
}

func publish(ctx context.Context, s *store.Store, path string, keyPaths []string, chip image.ChipID, skus []string, stable bool) ([]release.Release, error) {
	signed, err := bounded.File(path, image.HeaderSize+image.MaxImageSize)
	if err != nil {
		return nil, err
	}
	trusted, added, err := known(ctx, s, keyPaths)
	if err != nil {
		return nil, err
	}
	fresh, err := release.Prove(signed, trusted, chip, skus, time.Now())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range fresh {
		fresh[i].By = operator()
		if stable {
			fresh[i].Status, fresh[i].Reason = release.Stable, "published with --stable"
		}
	}
	// Only now: a key that came with an image that is refused is not kept.
	if _, err := addKeys(ctx, s, added); err != nil {
		return nil, err
	}
	if err := s.Publish(ctx, signed, fresh); err != nil {
		return nil, err
	}
	return asStored(ctx, s, fresh)
}

// asStored reads the releases back: what was there already stays what it was.
func asStored(ctx context.Context, s *store.Store, fresh []release.Release) ([]release.Release, error) {
	out := make([]release.Release, len(fresh))
	for i, r := range fresh {
		var err error
		if out[i], err = s.Release(ctx, r.SKU, r.Version); err != nil {
			return nil, err
		}
	}
	return out, nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func publishCommand() *cobra.Command {
	var data, chip string
	var skus, keys []string
	cmd := &cobra.Command{
		Use:   "publish --data DIR --sku SKU[,SKU…] --key PUBLIC SIGNED",
		Short: "Verify a signed image and offer it to robots",
		Long: `Verify a signed image with the known public keys, as a robot does, and offer it
to the robots of the named SKUs. Its version is that of the signed app
description. A running server offers it from its next request on. Robots are
offered the highest version of their SKU.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want one signed image, got %d", len(args))
			}
			return nil
		},
		RunE: doing(func(cmd *cobra.Command, args []string) error {
			id, err := image.ParseChip(chip)
			if err != nil {
				return err
			}
			fresh, err := publish(cmd.Context(), data, args[0], keys, id, skus)
			for _, r := range fresh {
				fmt.Fprintf(cmd.OutOrStdout(), "published %s: %d bytes, SHA-256 %s, signed by %s\n", r.Name, r.Size, r.SHA256, r.Key)
			}
			return err
		}),
	}
	cmd.Flags().StringVar(&data, "data", "", "folder of the releases; made where it is missing")
	cmd.Flags().StringSliceVar(&skus, "sku", nil, "SKUs whose robots get it: basic, standard, industrial")
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public key that may have signed it (DER or PEM); may be given more than once")
	cmd.Flags().StringVar(&chip, "chip", "esp32s3", "chip of the robots")
	need(cmd, "data", "sku", "key")
	return cmd
}

func publish(ctx context.Context, data, path string, keyPaths []string, chip image.ChipID, skus []string) ([]release.Release, error) {
	keys, err := readKeys(keyPaths)
	if err != nil {
		return nil, err
	}
	signed, err := readBounded(path, image.HeaderSize+image.MaxImageSize)
	if err != nil {
		return nil, err
	}
	fresh, err := release.Prove(signed, keys, chip, skus, time.Now())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s, err := store.Open(ctx, data)
	if err != nil {
		return nil, err
	}
	if err := s.Publish(ctx, signed, fresh); err != nil {
		return nil, err
	}
	return fresh, nil
}

func readKeys(paths []string) (image.Keyring, error) {
	var all []image.Key
	for _, path := range paths {
		keys, err := readKeyFile(path)
		if err != nil {
			return image.Keyring{}, err
		}
		all = append(all, keys...)
	}
	return image.NewKeyring(all...), nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, nil
}

func listCommand() *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --data DIR",
		Short: "List the releases",
		Args:  noArguments,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(data); err != nil {
				return fmt.Errorf("no releases: %w", err)
			}
			s, err := store.Open(cmd.Context(), data)
			if err != nil {
				return err
			}
			all, err := s.Releases(cmd.Context())
			if err != nil {
				return err
			}
			return list(cmd.OutOrStdout(), all, asJSON)
		}),
	}
	cmd.Flags().StringVar(&data, "data", "", "folder of the releases")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	need(cmd, "data")
	return cmd
}

func list(out io.Writer, all []release.Release, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"releases": append([]release.Release{}, all...)})
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "no releases yet: ota-fleet publish adds one")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SKU\tVERSION\tLATEST\tPROTOCOL\tBYTES\tSIGNED BY\tPUBLISHED\tSHA-256")
	for _, r := range all {
		mark := ""
		if latest, _ := release.Latest(all, r.SKU); latest.Version == r.Version {
			mark = "latest"
		}
		fmt.Fprintf(w, "%s\t%v\t%s\t%d\t%d\t%s\t%s\t%s\n", r.SKU, r.Version, mark, r.Protocol, r.Size, r.Key, r.Published.Format(time.RFC3339), r.SHA256)
	}
	return w.Flush()
}

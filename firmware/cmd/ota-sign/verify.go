package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

func verifyCommand() *cobra.Command {
	var keyPaths []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify --key PUBLIC [--key PUBLIC…] SIGNED",
		Short: "Prove who signed an image, and that it is whole",
		Long: `Check a signed image as a robot does: signature, hash, size, app image, version.
Chip and SKU are shown and not checked: that depends on the robot.
The exit code is 0 when the image is genuine and 1 when it is refused.`,
		Args: oneFile,
		RunE: doing(func(cmd *cobra.Command, args []string) error {
			return verify(cmd.OutOrStdout(), args[0], keyPaths, asJSON)
		}),
	}
	cmd.Flags().StringArrayVar(&keyPaths, "key", nil, "public key (DER, PEM or 64 bytes X‖Y); may be given more than once")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	need(cmd, "key")
	return cmd
}

// refusal is what verify reports as JSON for a file that it refuses.
type refusal[C ~string] struct {
	File   string `json:"file"`
	Proved bool   `json:"proved"`
	Code   C      `json:"code"`
	Attack string `json:"attack,omitempty"`
	Reason string `json:"reason"`
}

func verify(out io.Writer, path string, keyPaths []string, asJSON bool) error {
	keys, err := readKeyring(keyPaths)
	if err != nil {
		return err
	}
	signed, err := bounded.File(path, image.HeaderSize+image.MaxImageSize)
	if err != nil {
		return err
	}
	v, err := image.Verify(signed, keys, image.Policy{Chip: image.AnyChip})
	var refused *image.Refused
	if errors.As(err, &refused) && asJSON {
		r := refusal[image.RefusalCode]{File: path, Code: refused.Code, Attack: refused.Code.Attack(), Reason: refused.Detail}
		if err := writeJSON(out, r); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r := newReport(path, signed)
	r.Proved, r.Key = true, v.KeyID()
	return r.write(out, asJSON)
}

func writeJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

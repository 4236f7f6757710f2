package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

type signOptions struct {
	input, key, output string
	version            compat.Version // zero: whatever the image says
	json               bool
}

func signCommand() *cobra.Command {
	var o signOptions
	cmd := &cobra.Command{
		Use:   "sign --input APP --key KEY --output SIGNED [--version VERSION]",
		Short: "Sign an app image",
		Long: `Sign an ESP32 app image and put it into the container that the robots take.

The version is that of the image's own app description (PROJECT_VER of its build).
--version does not set it; it is compared, and a difference is refused.`,
		Args: cobra.NoArgs,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			warnReadable(cmd, o.key)
			r, err := sign(o)
			if err != nil {
				return fmt.Errorf("sign %s: %w", o.input, err)
			}
			return r.write(cmd.OutOrStdout(), o.json)
		}),
	}
	cmd.Flags().StringVar(&o.input, "input", "", "app image, as the build made it")
	cmd.Flags().StringVar(&o.key, "key", "", "private key, PEM, on P-256")
	cmd.Flags().StringVar(&o.output, "output", "", "signed image to write")
	cmd.Flags().TextVar(&o.version, "version", compat.Version{}, "`VERSION` that the image is expected to have")
	cmd.Flags().BoolVar(&o.json, "json", false, "report as JSON")
	need(cmd, "input", "key", "output")
	return cmd
}

// sign makes o.output from o.input and reports on it.
func sign(o signOptions) (report, error) {
	if err := mayReplace(o.output, o.input, o.key); err != nil {
		return report{}, err
	}
	key, err := readPrivateKey(o.key)
	if err != nil {
		return report{}, err
	}
	app, err := readApp(o.input)
	if err != nil {
		return report{}, err
	}
	signed, err := image.Sign(app, key)
	if err != nil {
		return report{}, err
	}
	r := newReport(o.output, signed)
	if !o.version.IsZero() && r.Header.Version != o.version.String() {
		return report{}, fmt.Errorf("the image says that it is version %s, --version says %v; set PROJECT_VER in the firmware's build, or leave --version out",
			r.Header.Version, o.version)
	}
	if err := replace(o.output, signed); err != nil {
		return report{}, fmt.Errorf("write %s: %w", o.output, err)
	}
	pub, err := image.NewKey(&key.PublicKey)
	if err != nil {
		return report{}, err
	}
	r.Proved, r.Key = true, pub.ID // Sign has verified it
	return r, nil
}

// readApp reads what is to be signed.
func readApp(path string) ([]byte, error) {
	b, err := bounded.File(path, image.MaxImageSize)
	if err != nil {
		return nil, err
	}
	if isSigned(b) {
		return nil, errors.New("it is a signed image already; sign the app image that the build made")
	}
	return b, nil
}

// isSigned tells whether b begins like a signed container.
func isSigned(b []byte) bool {
	return bytes.HasPrefix(b, image.Header{}.AppendTo(nil)[:4])
}

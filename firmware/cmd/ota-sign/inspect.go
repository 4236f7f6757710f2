package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

func inspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what an image says of itself",
		Long: `Show header and app description of a signed image, or of a bare app image.
Inspect checks no signature and proves nothing; verify does.
The exit code is 1 when something does not fit together.`,
		Args: oneFile,
		RunE: doing(func(cmd *cobra.Command, args []string) error {
			b, err := bounded.File(args[0], image.HeaderSize+image.MaxImageSize)
			if err != nil {
				return err
			}
			r := newReport(args[0], b)
			if r.Kind == kindUnknown {
				return fmt.Errorf("%s: %s", args[0], r.Problems[0])
			}
			if err := r.write(cmd.OutOrStdout(), asJSON); err != nil {
				return err
			}
			if len(r.Problems) > 0 {
				return fmt.Errorf("%s: a robot refuses it: %s", args[0], strings.Join(r.Problems, "; "))
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	return cmd
}

//go:build docs

package main

import (
	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/internal/manual"
)

// withManual adds the hidden command that writes the manual pages.
func withManual(root *cobra.Command) *cobra.Command {
	root.AddCommand(manual.Command(root.Root))
	return root
}

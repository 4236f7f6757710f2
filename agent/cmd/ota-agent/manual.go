//go:build docs

package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/internal/manual"
)

// example is the commented configuration, as seen from the root of the tree.
const example = "agent/etc/agent.yaml"

// withManual adds the hidden command that writes the manual pages.
func withManual(root *cobra.Command) *cobra.Command {
	root.AddCommand(manual.Command(root.Root, func(dir string, date time.Time) error {
		text, err := os.ReadFile(example)
		if err != nil {
			return err
		}
		return manual.File(dir, "ota-agent.yaml", "configuration of ota-agent, /etc/robot-ota/agent.yaml", text, date)
	}))
	return root
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/robot"
)

// controlFlag adds --control.
func controlFlag(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "control", os.Getenv("OTA_SIM_CONTROL"), "control socket of the running simulator (or $OTA_SIM_CONTROL)")
}

func client(path string) (*robot.Client, error) {
	if path == "" {
		return nil, fmt.Errorf("which simulator? name its socket with --control or in $OTA_SIM_CONTROL")
	}
	return robot.NewClient(path), nil
}

func slotsCommand() *cobra.Command {
	var (
		control, dump string
		asJSON, plain bool
		tableOffset   uint32
	)
	c := &cobra.Command{
		Use:   "slots",
		Short: "Show what lies in the chip's slots, the OTA data, and what would boot",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r espsim.FlashReport
			if dump != "" {
				b, err := os.ReadFile(dump)
				if err != nil {
					return err
				}
				if r, err = espsim.Inspect(b, tableOffset, !plain); err != nil {
					return err
				}
			} else {
				cl, err := client(control)
				if err != nil {
					return err
				}
				s, err := cl.State(cmd.Context())
				if err != nil {
					return err
				}
				r = s.Flash
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), r)
			}
			return printReport(cmd.OutOrStdout(), r)
		},
	}
	controlFlag(c, &control)
	c.Flags().StringVar(&dump, "dump", "", "look into this flash dump instead")
	c.Flags().Uint32Var(&tableOffset, "table-offset", espsim.DefaultTableOffset, "of the dump's partition table")
	c.Flags().BoolVar(&plain, "no-rollback", false, "the dump's boot loader has no rollback")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printReport(out io.Writer, r espsim.FlashReport) error {
	if r.Problem != "" {
		fmt.Fprintln(out, "problem:", r.Problem)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SLOT\tOFFSET\tVERSION\tPROJECT\tOTA STATE\tAPP SHA-256\t")
	for _, s := range r.Slots {
		mark, version, sum := "", s.Version, s.SHA256
		if s.Slot == r.NextBoot {
			mark = "← boots next"
		}
		if !s.Valid {
			version = "-"
		}
		if len(sum) > 12 {
			sum = sum[:12]
		}
		fmt.Fprintf(w, "%s\t%#x\t%s\t%s\t%s\t%s\t%s\n", s.Slot, s.Offset, version, s.Project, s.OTAState, sum, mark)
	}
	fmt.Fprintln(w, "\nOTA DATA\tSEQ\tSTATE\tSLOT\tCRC")
	for i, e := range r.OTAData {
		seq, crc := fmt.Sprint(e.Seq), "right"
		if !e.Valid {
			crc = "none"
		}
		if e.Seq == 0xFFFFFFFF {
			seq = "-"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", i, seq, e.State, e.Slot, crc)
	}
	if r.NextBoot == "" {
		fmt.Fprintln(w, "nothing would boot")
	}
	return w.Flush()
}

func stateCommand() *cobra.Command {
	var control string
	c := &cobra.Command{
		Use:   "state",
		Short: "Print everything about the running simulator as JSON",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := client(control)
			if err != nil {
				return err
			}
			s, err := cl.State(cmd.Context())
			if err != nil {
				return err
			}
			return writeJSON(cmd.OutOrStdout(), s)
		},
	}
	controlFlag(c, &control)
	return c
}

// Command bench compares the agent's flasher with Espressif's esptool on the
// same simulated chip.
//
// # Parties
//
//	bench      the simulated ESP32-S3, its serial line, the clock
//	bench/agent  this program again, as a child process: connect, inspect,
//	             write the slot, attest, switch, reset; what the agent does
//	esptool    a child process: write-flash of the image and of the same OTA
//	             data, with its own check by MD5, and its reset
//
// Each run gets a chip of its own, with the flash timing of a common part and
// bytes at the pace of the baud rate. Runs of the two alternate.
//
// # What is measured
//
// Over RFC 2217, where DTR and RTS work: from the moment the chip leaves its
// application until the new one runs, by the chip's own state. On a pseudo
// terminal, which has no such lines, the chip waits in its loader already, and
// the time is that from the first byte on the line to the last. Neither holds
// the start of a process; the last column of the table has the whole of it.
// esptool over RFC 2217 waits 50 ms for nearly every command, which is
// pyserial's way to poll: how the two loaders compare, the terminal tells.
//
// It ends with 1 when the agent's flasher is slower than noise explains.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	esptool string
	runs    int
	baud    int
	size    int
	only    string
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == childCommand {
		return flash(ctx, args[1:])
	}
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.esptool, "esptool", os.Getenv("ROBOT_OTA_ESPTOOL"), "the esptool to compare with (or $ROBOT_OTA_ESPTOOL)")
	f.IntVar(&o.runs, "runs", 3, "runs of each kind, 1 to 99; the slow kinds get fewer")
	f.IntVar(&o.baud, "baud", 921600, "bits per second while flashing")
	f.IntVar(&o.size, "size", 1_388_912, "bytes of the image")
	f.StringVar(&o.only, "only", "", "cases whose name holds this text alone")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.esptool == "" {
		return errors.New("no esptool: name it with -esptool or in $ROBOT_OTA_ESPTOOL; make bench sets it up")
	}
	if o.runs < 1 || o.runs > 99 {
		return fmt.Errorf("-runs %d: want 1 to 99", o.runs)
	}
	return compare(ctx, o, out)
}

// compare measures every case and judges.
func compare(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "ota-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := prepare(dir, o.size)
	if err != nil {
		return err
	}
	var results []result
	for _, c := range cases(o) {
		fmt.Fprintf(out, "%s, %s\n", c.link, c.name)
		r, err := c.measure(ctx, files, o, out)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", c.link, c.name, err)
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return fmt.Errorf("-only %q: no case has a name like that", o.only)
	}
	fmt.Fprintln(out)
	if err := report(out, o, files.floor, results); err != nil {
		return err
	}
	return judge(results)
}

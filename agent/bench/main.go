// Command bench compares what the agent needs with what its peers need, side by
// side in one run, and prints one table; see part and row.
//
// # Parties
//
//	bench        the simulated ESP32-S3, its serial line, the clock
//	bench/agent  this program again, as a child process: connect, inspect,
//	             write the slot, attest, switch, reset; what the agent does
//	esptool      Espressif's, a child process: write-flash of the image and of
//	             the same OTA data, with its own check by MD5, and its reset
//
// # Downtime
//
// Each run gets a chip of its own, with bytes at the pace of the baud rate and,
// but for the rows that say otherwise, the flash timing of a common part. Runs
// of the rivals alternate. On a pseudo terminal, which has no DTR and RTS, the
// chip waits in its loader already, and the time is that from the first byte on
// the line to the last. Over RFC 2217 it is that from the moment the chip leaves
// its application until the new one runs, by the chip's own state. Neither holds
// the start of a process. esptool over RFC 2217 waits 50 ms for nearly every
// command, which is pyserial's way to poll: how the two loaders compare, the
// terminal tells.
//
// The bound of a row is the time of the bytes that the case cannot do without,
// or, where that is more, what the flash was erasing and writing for, and in
// both cases the one MD5 of the whole that proves it.
//
// # Download
//
// The bytes that come from a server over TLS, headers and all, until the agent
// has the next release of a firmware in its store: by a patch from the one
// before, and whole; and what would come if the patch were the release compressed
// by Zstandard with the one before as dictionary. The firmware is linked anew
// with each release, so that what lies behind a change moves (package deltatest);
// with -firmware it is real releases: the files of a folder, by name.
//
// # Robot
//
// What the agent takes at rest and in an update, beside nodes of rclgo alone, and
// how soon it starts, answers and asks for an image, as scripts/idle measures it
// with real processes: ROS 2, MQTT and DTLS.
//
// # Fleet
//
// What 10,000 robots are to a real ota-fleet and Mosquitto; see fleet/bench.
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
	"slices"
	"strings"
	"syscall"
	"time"
)

// parts are the parts of the table, in its order.
func parts() []part {
	return []part{
		{"downtime", true, downtime},
		{"download", true, download},
		{"robot", false, told("scripts/idle")},
		{"fleet", false, told("go", "run", "./fleet/bench")},
	}
}

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
	size    int
	part    string
	only    string
	full    bool
	json    string
	// firmware is a folder of releases; "": some are made.
	firmware string
	// code is a file of which the image has the code; "": made-up code.
	code string
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == childCommand {
		return flash(ctx, args[1:])
	}
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.esptool, "esptool", os.Getenv("ROBOT_OTA_ESPTOOL"), "the esptool to compare with (or $ROBOT_OTA_ESPTOOL)")
	f.IntVar(&o.runs, "runs", 0, "runs of each case, 1 to 99; 1, or 3 with -full; the slow cases get fewer")
	f.IntVar(&o.size, "size", 1_388_912, "bytes of the image")
	f.StringVar(&o.code, "code", "", "an application image whose code the flashed one has, instead of noise that packs as well")
	f.BoolVar(&o.full, "full", os.Getenv("BENCH") == "full", "all cases, which takes hours (or BENCH=full)")
	f.StringVar(&o.part, "part", "", "this part of the table alone")
	f.StringVar(&o.only, "only", "", "cases whose name holds this text alone")
	f.StringVar(&o.firmware, "firmware", "", "measure downloads from each file of this folder to the next by name")
	f.StringVar(&o.json, "json", "", "write the table to this file as JSON, too")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.runs == 0 {
		o.runs = 1
		if o.full {
			o.runs = 3
		}
	}
	if o.runs < 1 || o.runs > 99 {
		return fmt.Errorf("-runs %d: want 1 to 99", o.runs)
	}
	return compare(ctx, o, out)
}

// compare measures all parts that were asked for, prints the table and judges.
func compare(ctx context.Context, o options, out io.Writer) error {
	all, err := chosen(parts(), o.part)
	if err != nil {
		return err
	}
	r := newRecord(o)
	var verdicts []error
	for _, p := range all {
		rows, err := p.rows(ctx, o, out)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		for i := range rows {
			rows[i].Part, rows[i].Median = p.name, spreadOf(rows[i].Values).median
		}
		r.Rows = append(r.Rows, rows...)
		if p.strict {
			verdicts = append(verdicts, judge(rows))
		}
	}
	if len(r.Rows) == 0 {
		return fmt.Errorf("-only %q: no case has a name like that", o.only)
	}
	r.Took, r.Load[1] = time.Since(r.Began).Seconds(), load()
	fmt.Fprintf(out, "\n%s, %.0f s; %d cores, load %s at the beginning and %s at the end\n\n",
		r.Began.UTC().Format(time.RFC3339), r.Took, r.CPUs, r.Load[0], r.Load[1])
	if err := show(out, r.Rows); err != nil {
		return err
	}
	if o.json != "" {
		if err := r.save(o.json); err != nil {
			return err
		}
	}
	return errors.Join(verdicts...)
}

// chosen is the part of that name, or all.
func chosen(all []part, name string) ([]part, error) {
	if name == "" {
		return all, nil
	}
	var names []string
	for _, p := range all {
		if p.name == name {
			return []part{p}, nil
		}
		names = append(names, p.name)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("-part %q: there are %s", name, strings.Join(names, ", "))
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// linkKind is how the serial line is served.
type linkKind string

const (
	overPTY     linkKind = "pty"
	overRFC2217 linkKind = "rfc2217"
)

// benchCase is one comparison: what lies in the slot, and who writes over it.
type benchCase struct {
	link    linkKind
	name    string
	before  func(files) []byte // what ota_0 holds
	noStub  bool
	runs    int
	esptool []esptoolWay
}

// esptoolWay is one way to call write-flash.
type esptoolWay struct {
	name  string
	flags func(files) []string
}

func none(files) []string { return nil }

func cases(o options) []benchCase {
	plain := esptoolWay{"esptool", none}
	skip := esptoolWay{"esptool --skip-flashed", func(files) []string { return []string{"--skip-flashed"} }}
	diff := esptoolWay{"esptool --diff-with", func(f files) []string {
		return []string{"--diff-with", f.path("older.bin"), "skip"}
	}}
	other := func(f files) []byte { return f.other }
	same := func(f files) []byte { return f.update }
	older := func(f files) []byte { return f.older }
	few := min(o.runs, 2)
	all := []benchCase{
		{overPTY, "first write", other, false, o.runs, []esptoolWay{plain}},
		{overPTY, "again", same, false, o.runs, []esptoolWay{plain, skip}},
		{overPTY, "few sectors changed", older, false, o.runs, []esptoolWay{diff}},
		{overRFC2217, "first write", other, false, few, []esptoolWay{plain}},
		{overRFC2217, "again", same, false, few, []esptoolWay{skip}},
		{overPTY, "first write, no stub", other, true, 1, []esptoolWay{plain}},
	}
	var picked []benchCase
	for _, c := range all {
		if strings.Contains(string(c.link)+" "+c.name, o.only) {
			picked = append(picked, c)
		}
	}
	return picked
}

// rival is one column of a case: who, and how it is started on a port.
type rival struct {
	name  string
	start func(ctx context.Context, port string) (*exec.Cmd, error)
}

func (c benchCase) rivals(f files, o options) []rival {
	list := []rival{{"agent", c.agent(f, o)}}
	for _, w := range c.esptool {
		list = append(list, rival{w.name, c.tool(f, o, w)})
	}
	return list
}

func (c benchCase) agent(f files, o options) func(context.Context, string) (*exec.Cmd, error) {
	return func(ctx context.Context, port string) (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		args := []string{childCommand, "-port", port, "-image", f.path("signed.bin"), "-key", f.path("key.pem"),
			"-locks", f.dir, "-baud", strconv.Itoa(o.baud)}
		if c.link == overPTY {
			args = append(args, "-reset", "none")
		}
		if c.noStub {
			args = append(args, "-no-stub")
		}
		return exec.CommandContext(ctx, self, args...), nil
	}
}

func (c benchCase) tool(f files, o options, w esptoolWay) func(context.Context, string) (*exec.Cmd, error) {
	return func(ctx context.Context, port string) (*exec.Cmd, error) {
		args := []string{"--chip", "esp32s3", "--port", port, "--baud", strconv.Itoa(o.baud)}
		if c.link == overPTY {
			args = append(args, "--before", "no-reset", "--after", "no-reset")
		}
		if c.noStub {
			args = append(args, "--no-stub")
		}
		args = append(args, "write-flash", "--no-progress",
			fmt.Sprintf("%#x", slotOffset), f.path("update.bin"), fmt.Sprintf("%#x", otaOffset), f.path("otadata.bin"))
		args = append(args, w.flags(f)...) // last: --diff-with takes all that follows for files
		cmd := exec.CommandContext(ctx, o.esptool, args...)
		cmd.Env = append(os.Environ(), "ESPTOOL_CFGFILE="+os.DevNull, "TERM=dumb")
		return cmd, nil
	}
}

// result is a case measured.
type result struct {
	benchCase
	columns []column
}

type column struct {
	name    string
	samples []sample
}

// measure runs the rivals in turn, each round in the other order.
func (c benchCase) measure(ctx context.Context, f files, o options, out io.Writer) (result, error) {
	rivals := c.rivals(f, o)
	r := result{benchCase: c, columns: make([]column, len(rivals))}
	flash, err := f.flash(c.before(f))
	if err != nil {
		return r, err
	}
	for round := range c.runs {
		for i := range rivals {
			if round%2 == 1 {
				i = len(rivals) - 1 - i
			}
			s, err := once(ctx, c.link, flash, f, rivals[i])
			if err != nil {
				return r, fmt.Errorf("%s: %w", rivals[i].name, err)
			}
			fmt.Fprintf(out, "  %-24s %6.2f s  %9d bytes to the chip\n", rivals[i].name, s.work.Seconds(), s.toChip)
			r.columns[i].name = rivals[i].name
			r.columns[i].samples = append(r.columns[i].samples, s)
		}
	}
	return r, nil
}

// sample is one run.
type sample struct {
	work   time.Duration // see the package's documentation
	whole  time.Duration // of the process
	toChip uint64        // bytes on the line
	toHost uint64
}

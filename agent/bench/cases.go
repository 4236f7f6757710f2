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
	baud    int
	fresh   bool // all of the image is new to the slot, so the line's floor holds
	runs    int
	esptool []esptoolWay
}

// esptoolWay is one way to call write-flash.
type esptoolWay struct {
	name  string
	flags func(files) []string
}

func none(files) []string { return nil }

// diffWith compares with a copy of what lies in the slot.
func diffWith(name string) esptoolWay {
	return esptoolWay{"esptool --diff-with", func(f files) []string {
		return []string{"--diff-with", f.path(name), "skip"}
	}}
}

func cases(o options) []benchCase {
	plain := esptoolWay{"esptool", none}
	skip := esptoolWay{"esptool --skip-flashed", func(files) []string { return []string{"--skip-flashed"} }}
	other := func(f files) []byte { return f.other }
	same := func(f files) []byte { return f.update }
	older := func(f files) []byte { return f.older }
	bumped := func(f files) []byte { return f.bumped }
	few := min(o.runs, 2)
	all := []benchCase{
		{overPTY, "first write", other, false, o.baud, true, o.runs, []esptoolWay{plain}},
		{overPTY, "again", same, false, o.baud, false, o.runs, []esptoolWay{plain, skip}},
		{overPTY, "version alone changed", bumped, false, o.baud, false, o.runs, []esptoolWay{diffWith("bumped.bin")}},
		{overPTY, "few sectors changed", older, false, o.baud, false, o.runs, []esptoolWay{diffWith("older.bin")}},
		{overRFC2217, "first write", other, false, o.baud, true, few, []esptoolWay{plain}},
		{overRFC2217, "again", same, false, o.baud, false, few, []esptoolWay{skip}},
		{overPTY, "first write, no stub", other, true, o.baud, false, 1, []esptoolWay{plain}},
	}
	for _, baud := range []int{115200, 460800, 2_000_000} {
		all = append(all, benchCase{overPTY, fmt.Sprintf("first write, %d baud", baud), other, false, baud, true, 1, []esptoolWay{plain}})
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
	list := []rival{{"agent", c.agent(f)}}
	for _, w := range c.esptool {
		list = append(list, rival{w.name, c.tool(f, o, w)})
	}
	return list
}

func (c benchCase) agent(f files) func(context.Context, string) (*exec.Cmd, error) {
	return func(ctx context.Context, port string) (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		args := []string{childCommand, "-port", port, "-image", f.path("signed.bin"), "-key", f.path("key.pem"),
			"-locks", f.dir, "-baud", strconv.Itoa(c.baud)}
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
		args := []string{"--chip", "esp32s3", "--port", port, "--baud", strconv.Itoa(c.baud)}
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

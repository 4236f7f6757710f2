package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/sim/espsim"
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
	change  change
	baud    int
	instant bool // the flash takes no time
	runs    int
	esptool []esptoolWay
}

func (c benchCase) name() string {
	s := fmt.Sprintf("%s, %d baud", c.change.name, c.baud)
	if c.instant {
		s += ", instant flash"
	}
	if c.link != overPTY {
		s += ", " + string(c.link)
	}
	return s
}

// esptoolWay is one way to call write-flash.
type esptoolWay struct {
	name   string
	noStub bool
	flags  func(f files, before string) []string
}

func none(files, string) []string { return nil }

var (
	byDefault   = esptoolWay{"esptool", false, none}
	skipFlashed = esptoolWay{"esptool --skip-flashed", false, func(files, string) []string { return []string{"--skip-flashed"} }}
	// diffWith compares with a copy of what lies in the slot, of which the agent
	// has kept the sums.
	diffWith = esptoolWay{"esptool --diff-with", false, func(f files, before string) []string {
		return []string{"--diff-with", f.path(before), "skip"}
	}}
	noStub = esptoolWay{"esptool --no-stub", true, none}
)

const usualBaud = 921600

// cases are the rows of the table: at the usual speed each change against the
// ways of esptool that make sense for it; at the others, and over RFC 2217, the
// first write; with -full everything at each speed, with and without the time of
// the flash.
func cases(o options, f files) []benchCase {
	var all []benchCase
	for _, baud := range []int{usualBaud, 115200, 460800, 2_000_000} {
		for _, instant := range []bool{false, true} {
			for i, ch := range f.changes {
				usual, first := baud == usualBaud && !instant, i == 0
				c := benchCase{overPTY, ch, baud, instant, o.runs, ways(ch, usual || o.full)}
				if baud == 115200 {
					c.runs = 1
				}
				if o.full || usual || first && (baud == usualBaud || !instant) {
					all = append(all, c)
				}
			}
		}
	}
	for i, ch := range f.changes[:2] {
		if o.full || i == 0 {
			all = append(all, benchCase{overRFC2217, ch, usualBaud, false, min(o.runs, 2), []esptoolWay{byDefault}})
		}
	}
	return slices.DeleteFunc(all, func(c benchCase) bool { return !strings.Contains(c.name(), o.only) })
}

func ways(ch change, rom bool) []esptoolWay {
	switch {
	case ch.fresh && rom:
		return []esptoolWay{byDefault, noStub}
	case ch.fresh:
		return []esptoolWay{byDefault}
	}
	return []esptoolWay{byDefault, skipFlashed, diffWith}
}

// downtime measures every case.
func downtime(ctx context.Context, o options, out io.Writer) ([]row, error) {
	if o.esptool == "" {
		return nil, errors.New("no esptool: name it with -esptool or in $ROBOT_OTA_ESPTOOL; make bench sets it up")
	}
	dir, err := os.MkdirTemp("", "ota-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var firmware []byte
	if o.code != "" {
		if firmware, err = os.ReadFile(o.code); err != nil {
			return nil, err
		}
	}
	f, err := prepare(dir, o.size, firmware)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, c := range cases(o, f) {
		fmt.Fprintln(out, c.name())
		r, err := c.measure(ctx, f, o, out)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name(), err)
		}
		rows = append(rows, r...)
	}
	return rows, nil
}

// rival is who takes part in a case, and how it is started on a port.
type rival struct {
	name   string
	noStub bool
	start  func(ctx context.Context, port string) (*exec.Cmd, error)
}

func (c benchCase) rivals(f files, o options) []rival {
	list := []rival{{"agent", false, c.agent(f, false)}}
	for _, w := range c.esptool {
		if w.noStub {
			list = append(list, rival{"agent, no stub", true, c.agent(f, true)})
		}
		list = append(list, rival{w.name, w.noStub, c.tool(f, o, w)})
	}
	return list
}

func (c benchCase) agent(f files, noStub bool) func(context.Context, string) (*exec.Cmd, error) {
	return func(ctx context.Context, port string) (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		args := []string{childCommand, "-port", port, "-image", f.path("signed.bin"), "-key", f.path("key.pem"),
			"-locks", f.dir, "-baud", strconv.Itoa(c.baud), "-before", f.path(c.change.file)}
		if c.link == overPTY {
			args = append(args, "-reset", "none")
		}
		if noStub {
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
		if w.noStub {
			args = append(args, "--no-stub")
		}
		args = append(args, "write-flash", "--no-progress",
			fmt.Sprintf("%#x", slotOffset), f.path("update.bin"), fmt.Sprintf("%#x", otaOffset), f.path("otadata.bin"))
		args = append(args, w.flags(f, c.change.file)...) // last: --diff-with takes all that follows for files
		cmd := exec.CommandContext(ctx, o.esptool, args...)
		cmd.Env = append(os.Environ(), "ESPTOOL_CFGFILE="+os.DevNull, "TERM=dumb")
		return cmd, nil
	}
}

// measure runs the rivals in turn, each round in the other order.
func (c benchCase) measure(ctx context.Context, f files, o options, out io.Writer) ([]row, error) {
	rivals := c.rivals(f, o)
	samples := make([][]sample, len(rivals))
	flash, err := f.flash(c.change.before)
	if err != nil {
		return nil, err
	}
	timing := espsim.RealTiming()
	if c.instant {
		timing = espsim.Timing{}
	}
	for round := range c.runs {
		for i := range rivals {
			if round%2 == 1 {
				i = len(rivals) - 1 - i
			}
			s, err := once(ctx, c.link, timing, flash, f, rivals[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", rivals[i].name, err)
			}
			fmt.Fprintf(out, "  %-24s %6.2f s  %9d bytes to the chip\n", rivals[i].name, s.work.Seconds(), s.toChip)
			samples[i] = append(samples[i], s)
		}
	}
	rows := make([]row, len(rivals))
	for i, r := range rivals {
		rows[i] = c.row(r, samples[i], f)
	}
	rows[0].Mark = c.mark(rows)
	return rows, nil
}

// row is the row of one rival.
func (c benchCase) row(who rival, samples []sample, f files) row {
	r := row{Case: c.name(), Who: who.name, Unit: "s"}
	for _, s := range samples {
		r.Values = append(r.Values, s.work.Seconds())
	}
	s := typical(samples)
	floor := c.change.floor
	if who.noStub {
		floor = f.raw
	}
	r.Bound = c.bound(s, floor)
	r.More = []figure{
		{Name: "to the chip", Value: float64(s.toChip), Unit: "B"}, {Name: "floor", Value: float64(floor), Unit: "B"},
		{Name: "to the host", Value: float64(s.toHost), Unit: "B"}, {Name: "process", Value: s.whole.Seconds(), Unit: "s"},
	}
	return r
}

// bitsPerByte on the line: 8N1.
const bitsPerByte = 10

// onLine is how long n bytes take at the case's speed.
func (c benchCase) onLine(n int) time.Duration {
	return time.Duration(n) * bitsPerByte * time.Second / time.Duration(c.baud)
}

// bound is what the case cannot take less than: floor bytes on the line, or the
// erasing and writing that the run did, and one MD5 of the whole.
func (c benchCase) bound(s sample, floor int) *bound {
	by, least := "line", c.onLine(floor)
	if s.writing > least {
		by, least = "flash", s.writing
	}
	if !c.instant {
		if least < s.proof {
			by = "MD5"
		}
		least += s.proof
	}
	return &bound{By: by, Value: least.Seconds()}
}

// Marks that the agent's flasher is to reach.
const (
	markOfFloor = 95   // per cent of a first write that are bytes on the line
	markWhole   = 10.3 // s, a first write of 1.39 MB
	markFaster  = 5    // times that esptool's default takes after a small change
)

// mark says whether the agent's row, the first, reaches what was aimed at.
func (c benchCase) mark(rows []row) string {
	ours := spreadOf(rows[0].Values).median
	verdict := func(met bool) string {
		if met {
			return "met"
		}
		return "missed"
	}
	switch {
	case c.instant || c.baud != usualBaud || c.link != overPTY:
		return ""
	case c.change.fresh:
		part := 100 * c.onLine(c.change.floor).Seconds() / ours
		return fmt.Sprintf("%d %% of it on the line: %.1f %%, %s; %.1f s: %s", markOfFloor, part, verdict(part >= markOfFloor),
			markWhole, verdict(ours <= markWhole))
	case c.change.small:
		times := spreadOf(rows[1].Values).median / ours
		return fmt.Sprintf("%d times as fast as esptool: %.1f, %s", markFaster, times, verdict(times >= markFaster))
	}
	return ""
}

// sample is one run.
type sample struct {
	work    time.Duration // see the package's documentation
	whole   time.Duration // of the process
	writing time.Duration // the flash erased and wrote
	proof   time.Duration // one MD5 of the image takes
	toChip  uint64        // bytes on the line
	toHost  uint64
}

// typical is the run in the middle by bytes to the chip.
func typical(s []sample) sample {
	s = slices.Clone(s)
	slices.SortFunc(s, func(a, b sample) int { return int(int64(a.toChip) - int64(b.toChip)) })
	return s[len(s)/2]
}

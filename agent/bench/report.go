package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// What two runs may differ by for reasons of the machine's, at the least.
const (
	leastNoise   = 50 * time.Millisecond
	noisePercent = 2
)

// bitsPerByte on the line: 8N1.
const bitsPerByte = 10

// spread is the middle and the ends of some durations.
type spread struct{ least, median, most time.Duration }

func spreadOf(d []time.Duration) spread {
	d = slices.Sorted(slices.Values(d))
	n := len(d)
	return spread{d[0], (d[(n-1)/2] + d[n/2]) / 2, d[n-1]}
}

// slower tells whether a is slower than b by more than half of the wider
// spread, and by more than the least noise.
func (a spread) slower(b spread) bool {
	noise := max(leastNoise, b.median*noisePercent/100, (a.most-a.least)/2, (b.most-b.least)/2)
	return a.median > b.median+noise
}

func (c column) work() spread {
	var d []time.Duration
	for _, s := range c.samples {
		d = append(d, s.work)
	}
	return spreadOf(d)
}

func (c column) whole() spread {
	var d []time.Duration
	for _, s := range c.samples {
		d = append(d, s.whole)
	}
	return spreadOf(d)
}

// typical is the run in the middle by bytes to the chip.
func (c column) typical() sample {
	s := slices.Clone(c.samples)
	slices.SortFunc(s, func(a, b sample) int { return int(int64(a.toChip) - int64(b.toChip)) })
	return s[len(s)/2]
}

// report prints the table.
func report(out io.Writer, o options, floor int, results []result) error {
	fmt.Fprintf(out, "Simulated ESP32-S3 with the flash timing of a common part; image of %d bytes at %d baud.\n", o.size, o.baud)
	fmt.Fprintln(out, "TIME: over rfc2217 from the reset to the new firmware running; on a pty, which has no reset")
	fmt.Fprintln(out, "lines, from the first byte on the line to the last. PROCESS: from its start to its end.")
	fmt.Fprintf(out, "FLOOR: the time that the deflated image in its frames, %d bytes, takes on the line, as part of TIME.\n", floor)
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LINK\tSLOT BEFORE\tFLASHER\tRUNS\tTIME (s)\tMIN-MAX\tRATIO\tFLOOR\tTO CHIP (B)\tTO HOST (B)\tPROCESS (s)")
	for _, r := range results {
		ours := r.columns[0].work()
		link, name := string(r.link), r.name
		for _, c := range r.columns {
			t, s := c.work(), c.typical()
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.2f\t%.2f-%.2f\t%.2f\t%s\t%d\t%d\t%.2f\n", link, name, c.name, len(c.samples),
				t.median.Seconds(), t.least.Seconds(), t.most.Seconds(), t.median.Seconds()/ours.median.Seconds(), r.reached(floor, t.median),
				s.toChip, s.toHost, c.whole().median.Seconds())
			link, name = "", ""
		}
	}
	return w.Flush()
}

// reached is how near a time comes to what the line allows, in per cent.
func (c benchCase) reached(floor int, took time.Duration) string {
	if !c.fresh {
		return "-"
	}
	line := time.Duration(floor) * bitsPerByte * time.Second / time.Duration(c.baud)
	return fmt.Sprintf("%.1f %%", 100*line.Seconds()/took.Seconds())
}

// judge is an error when the agent is slower than any way of esptool's to do
// the same.
func judge(results []result) error {
	for _, r := range results {
		ours := r.columns[0].work()
		for _, c := range r.columns[1:] {
			if theirs := c.work(); ours.slower(theirs) {
				return fmt.Errorf("%s, %s: the agent takes %.2f s where %s takes %.2f s", r.link, r.name,
					ours.median.Seconds(), c.name, theirs.median.Seconds())
			}
		}
	}
	return nil
}

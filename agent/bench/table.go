package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/robot-platform/robot-ota/internal/benchtable"
)

// part is a part of the table: what one kind of measurement gives. It measures
// by itself and says on out what it is at.
type part struct {
	name string
	// strict: it is an error when ours is worse than a peer's beyond noise.
	strict bool
	rows   func(ctx context.Context, o options, out io.Writer) ([]row, error)
}

// The rows of the table.
type (
	row    = benchtable.Row
	bound  = benchtable.Bound
	figure = benchtable.Figure
)

// spread is the middle and the ends of some values.
type spread struct{ least, median, most float64 }

func spreadOf(v []float64) spread {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return spread{v[0], (v[(n-1)/2] + v[n/2]) / 2, v[n-1]}
}

// What two runs may differ by for reasons of the machine's, at the least.
const (
	leastNoise   = 0.05 // s
	noisePercent = 2
)

// worse tells whether a is more than b by more than half of the wider spread,
// and by more than the least noise.
func (a spread) worse(b spread, unit string) bool {
	noise := max(b.median*noisePercent/100, (a.most-a.least)/2, (b.most-b.least)/2)
	if unit == "s" {
		noise = max(noise, leastNoise)
	}
	return a.median > b.median+noise
}

// groups splits rows into those of one case each.
func groups(rows []row) [][]row {
	var all [][]row
	for i, r := range rows {
		if i == 0 || r.Part != rows[i-1].Part || r.Case != rows[i-1].Case {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], r)
	}
	return all
}

// judge is an error when ours is worse than any peer's.
func judge(rows []row) error {
	for _, g := range groups(rows) {
		ours := spreadOf(g[0].Values)
		for _, r := range g[1:] {
			if theirs := spreadOf(r.Values); ours.worse(theirs, r.Unit) {
				return fmt.Errorf("%s, %s: the %s needs %s where %s needs %s", r.Part, r.Case,
					g[0].Who, amount(ours.median, r.Unit), r.Who, amount(theirs.median, r.Unit))
			}
		}
	}
	return nil
}

// amount is a value with its unit.
func amount(v float64, unit string) string {
	switch {
	case unit == "s" && v < 0.1:
		return fmt.Sprintf("%.2f ms", 1000*v)
	case unit == "s", unit == "MiB", unit == "%":
		return fmt.Sprintf("%.2f %s", v, unit)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}

// show prints the table.
func show(out io.Writer, rows []row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CASE\tWHO\tMEDIAN\tMIN-MAX\tRUNS\tTO OURS\tBOUND\tREACHED\tMORE")
	last := ""
	for _, g := range groups(rows) {
		if g[0].Part != last {
			last = g[0].Part
			fmt.Fprintf(w, "%s\t\t\t\t\t\t\t\t\n", strings.ToUpper(last))
		}
		name := g[0].Case
		for _, r := range g {
			s := spreadOf(r.Values)
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", name, r.Who, amount(s.median, r.Unit), span(r, s), len(r.Values),
				ratio(s.median, spreadOf(g[0].Values).median), limit(r, s), remarks(r))
			name = ""
		}
	}
	return w.Flush()
}

func span(r row, s spread) string {
	if r.Unit == "B" {
		return fmt.Sprintf("%.0f-%.0f", s.least, s.most)
	}
	return fmt.Sprintf("%.3g-%.3g", s.least, s.most)
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// limit is the columns of the bound.
func limit(r row, s spread) string {
	if r.Bound == nil || s.median == 0 {
		return "-\t-"
	}
	return fmt.Sprintf("%s: %s\t%.1f %%", r.Bound.By, amount(r.Bound.Value, r.Unit), 100*r.Bound.Value/s.median)
}

func remarks(r row) string {
	var all []string
	for _, f := range r.More {
		all = append(all, f.Name+" "+amount(f.Value, f.Unit))
	}
	if r.Mark != "" {
		all = append(all, "mark: "+r.Mark)
	}
	return strings.Join(all, ", ")
}

// record is the table for programs.
type record struct {
	Began time.Time `json:"began"`
	Took  float64   `json:"took_seconds"`
	// Load is the machine's load average at the beginning and the end; what
	// else ran disturbs every time.
	Load [2]string `json:"load"`
	CPUs int       `json:"cpus"`
	Full bool      `json:"full"`
	Rows []row     `json:"rows"`
}

// save writes the record to a file.
func (r record) save(file string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

func newRecord(o options) record {
	return record{Began: time.Now(), Load: [2]string{load()}, CPUs: runtime.NumCPU(), Full: o.full}
}

// load is the load average of the last minute, "" where it is not told.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

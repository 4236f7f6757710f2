package doctor

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Watcher sees an examination as it goes on. It is called from one goroutine.
type Watcher interface {
	// Waiting names the checks that are not done yet, at the beginning and
	// whenever that changes.
	Waiting(names []string)
	// Found is told of each finding, in the order of the checks, as soon as
	// those before are known.
	Found(f Finding)
}

// grace is how long a check that ran out of time may take to say so itself.
const grace = 500 * time.Millisecond

// Run runs the checks beside each other, those that disturb others after them,
// and ends at the latest when the last one's time is up. When ctx ends, what is
// not done is told as skipped.
func Run(ctx context.Context, checks []Check, w Watcher) Report {
	r := run{checks: checks, results: make(chan result, len(checks)), done: make([][]Finding, len(checks)), watch: w}
	r.report.Level = Skipped
	r.report.Findings = []Finding{}
	for _, alone := range []bool{false, true} {
		started := 0
		for i, c := range checks {
			if c.Alone != alone {
				continue
			}
			started++
			go func() { r.results <- result{i, examine(ctx, c)} }()
			if alone { // one after the other
				r.collect(started)
				started = 0
			}
		}
		r.collect(started)
	}
	return r.report
}

type result struct {
	check    int
	findings []Finding
}

// run is an examination that goes on.
type run struct {
	checks  []Check
	results chan result
	done    [][]Finding // by check; nil: not yet
	told    int         // checks whose findings were told
	report  Report
	watch   Watcher
}

// collect waits for so many checks and tells what is known.
func (r *run) collect(n int) {
	for ; n > 0; n-- {
		r.watch.Waiting(r.waiting())
		got := <-r.results
		r.done[got.check] = got.findings
		for ; r.told < len(r.checks) && r.done[r.told] != nil; r.told++ {
			for _, f := range r.done[r.told] {
				r.report.add(f)
				r.watch.Found(f)
			}
		}
	}
	r.watch.Waiting(r.waiting())
}

func (r *run) waiting() []string {
	var names []string
	for i, c := range r.checks {
		if r.done[i] == nil {
			names = append(names, c.Name)
		}
	}
	return names
}

// errTime is a time-out, as those of the network are.
var errTime = fmt.Errorf("there was no answer in time (%w)", context.DeadlineExceeded)

// examine runs one check within its time. One that does not end is left
// behind: the process ends soon.
func examine(ctx context.Context, c Check) []Finding {
	within := cmp.Or(c.Within, Within)
	bound, cancel := context.WithTimeoutCause(ctx, within, errTime)
	defer cancel()
	said := make(chan []Finding, 1)
	var findings []Finding
	if ctx.Err() == nil {
		go func() { said <- guarded(bound, c) }()
	}
	select {
	case findings = <-said:
	case <-bound.Done():
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer stop()
		select {
		case findings = <-said:
		case <-last.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		findings = []Finding{Skip("interrupted")}
	case len(findings) == 0 && bound.Err() != nil:
		findings = []Finding{Bad("try again by `ota-agent doctor --only "+c.Name+"`, and look at what it waits for", "no result within %s", within)}
	case len(findings) == 0:
		findings = []Finding{Skip("nothing to say")}
	}
	for i := range findings {
		findings[i].Check = c.Name
	}
	return findings
}

// guarded makes a check that breaks a finding: the others are worth knowing.
func guarded(ctx context.Context, c Check) (findings []Finding) {
	defer func() {
		if broke := recover(); broke != nil {
			findings = []Finding{Bad("report this as a fault of ota-agent", "the check itself broke: %v", broke)}
		}
	}()
	return c.Run(ctx)
}

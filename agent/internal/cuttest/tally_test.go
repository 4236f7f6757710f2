package cuttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// tally is what a machine has done.
type tally struct {
	mu       sync.Mutex
	of       map[string]int // points that are known, by kind
	first    map[string]int // cuts that struck, by kind
	second   map[string]int
	wrong    map[string]int // runs with a fault
	fresh    map[string]int // that ended with the new firmware confirmed
	old      map[string]int // with the old one
	ends     map[string]int // how they ended, by flow
	missed   int            // cuts whose event did not come
	failures []string
}

func newTally() *tally {
	return &tally{of: map[string]int{}, first: map[string]int{}, second: map[string]int{}, wrong: map[string]int{},
		fresh: map[string]int{}, old: map[string]int{}, ends: map[string]int{}}
}

// maxTold bounds the failures that are told.
const maxTold = 100

// note takes a run in. It counts for the kind of its last cut.
func (c *tally) note(p point, r result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind, by := p.first.kind, c.first
	if p.second != nil {
		kind, by = p.second.kind, c.second
	}
	c.ends[p.flow+": "+string(r.outcome)]++
	switch {
	case r.hits == len(p.cuts()):
		by[kind]++
	case len(r.faults) == 0:
		c.missed++
	}
	if r.outcome == update.Confirmed {
		c.fresh[kind]++
	} else {
		c.old[kind]++
	}
	if len(r.faults) == 0 {
		return
	}
	if c.wrong[kind]++; len(c.failures) < maxTold {
		c.failures = append(c.failures, fmt.Sprintf("%s: %s\n\treplay: make proof POINT='%s'", p, r.faults[0], p))
	}
}

func (c *tally) failed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return total(c.wrong)
}

// since are the failures after the first n.
func (c *tally) since(n int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.failures[n:])
}

func total(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// lines are for people.
func (c *tally) lines() []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(c.of)) {
		out = append(out, fmt.Sprintf("%-12s %6d of %6d first cuts, %6d second ones; %6d runs ended with the new firmware, %6d with the old",
			k, c.first[k], c.of[k], c.second[k], c.fresh[k], c.old[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(c.ends)) {
		out = append(out, fmt.Sprintf("%6d %s", c.ends[k], k))
	}
	return append(out, fmt.Sprintf("%d cuts did not come to pass", c.missed))
}

// report appends a line of JSON for each kind.
func (c *tally) report(path string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(c.of)) {
		b, merr := json.Marshal(map[string]any{
			"part": "cut " + k, "points": c.first[k], "of": c.of[k], "second": c.second[k], "failures": c.wrong[k],
			"seeds": fmt.Sprint(*seed), "new": c.fresh[k], "old": c.old[k],
		})
		_, werr := f.Write(append(b, '\n'))
		err = errors.Join(err, merr, werr)
	}
	return errors.Join(err, f.Close())
}

// Package doctor examines a robot's update agent and everything that it leans
// on, and says what is wrong and what to do about it.
//
// This package is the frame: what a finding is, how checks run beside each
// other, each within its time, and in which order their findings are told. The
// checks themselves are in package check; a command puts them together. A new
// check is one function there that returns a Check, and one line in the
// command.
//
// A check looks and changes nothing. The one that does, because it has to
// restart the chip, is asked for by name and runs alone, after all others.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warn    Level = "warn"    // it works, and may stop to
	Fail    Level = "fail"    // updates will not work, or must not be trusted
	Skipped Level = "skipped" // it could not be looked at, or there is nothing to look at
)

// rank orders levels by how much they weigh in the whole.
func (l Level) rank() int { return slices.Index([]Level{Skipped, OK, Warn, Fail}, l) }

// Finding is what a check has found.
type Finding struct {
	Check string `json:"check"` // its name; Run sets it
	Level Level  `json:"level"`
	// Text says what is, or what is wrong.
	Text string `json:"text"`
	// Do says what to do: a command to run or an edit to make. A Warn and a
	// Fail have one.
	Do string `json:"do,omitempty"`
}

// Good is a finding that all is well.
func Good(format string, args ...any) Finding {
	return Finding{Level: OK, Text: fmt.Sprintf(format, args...)}
}

// Skip is a finding that there was nothing to find, and why.
func Skip(format string, args ...any) Finding {
	return Finding{Level: Skipped, Text: fmt.Sprintf(format, args...)}
}

// Doubt is a warning: what to do, and what is wrong.
func Doubt(do, format string, args ...any) Finding {
	return Finding{Level: Warn, Do: do, Text: fmt.Sprintf(format, args...)}
}

// Bad is a failure: what to do, and what is wrong.
func Bad(do, format string, args ...any) Finding {
	return Finding{Level: Fail, Do: do, Text: fmt.Sprintf(format, args...)}
}

// Check looks at one thing.
type Check struct {
	Name  string // one lower-case word
	About string // what it looks at, in a few words
	// Within bounds it; 0: Within of this package. A check watches its context
	// and says in its own words what it waited for in vain.
	Within time.Duration
	// Alone: it disturbs others, and so runs when they are done.
	Alone bool
	Run   func(ctx context.Context) []Finding
}

// Within bounds a check that says nothing else.
const Within = 10 * time.Second

// Report is the whole.
type Report struct {
	// Level is the worst of the findings.
	Level    Level     `json:"level"`
	OK       int       `json:"ok"`
	Warn     int       `json:"warn"`
	Fail     int       `json:"fail"`
	Skipped  int       `json:"skipped"`
	Findings []Finding `json:"findings"`
}

func (r *Report) add(f Finding) {
	r.Findings = append(r.Findings, f)
	switch f.Level {
	case OK:
		r.OK++
	case Warn:
		r.Warn++
	case Fail:
		r.Fail++
	case Skipped:
		r.Skipped++
	}
	if f.Level.rank() > r.Level.rank() {
		r.Level = f.Level
	}
}

// Summary is the report in one line.
func (r Report) Summary() string {
	var parts []string
	for _, p := range []struct {
		n         int
		one, many string
	}{{r.Fail, "failure", "failures"}, {r.Warn, "warning", "warnings"}, {r.OK, "ok", "ok"}, {r.Skipped, "skipped", "skipped"}} {
		if p.n > 0 {
			name := p.many
			if p.n == 1 {
				name = p.one
			}
			parts = append(parts, fmt.Sprintf("%d %s", p.n, name))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing was looked at")
}

// Select keeps the checks of these names, in their own order; all of them
// where none is named. The error names a name that there is not.
func Select(checks []Check, names []string) ([]Check, error) {
	if len(names) == 0 {
		return checks, nil
	}
	for _, n := range names {
		if !slices.ContainsFunc(checks, func(c Check) bool { return c.Name == n }) {
			return nil, fmt.Errorf("there is no check %q: want some of %s", n, strings.Join(Names(checks), ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return !slices.Contains(names, c.Name) }), nil
}

// Names of checks.
func Names(checks []Check) []string {
	names := make([]string, len(checks))
	for i, c := range checks {
		names[i] = c.Name
	}
	return names
}

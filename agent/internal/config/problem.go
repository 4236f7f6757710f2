package config

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Problem is one fault of the configuration.
type Problem struct {
	File      string // as it was opened
	Line, Col int    // from 1; 0 where nothing in the file is to blame
	Key       string // "serial.baud"; "" for the file as a whole
	Text      string // what is wrong and what would be right
}

// Error is FILE:LINE:COLUMN: KEY: what is wrong and what would be right.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Col)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// maxProblems told at once: the first ones usually explain the rest.
const maxProblems = 20

// Problems is every fault that was found, in the order of the file. It is
// never empty.
type Problems []Problem

// Error is one line for each of the first problems.
func (ps Problems) Error() string {
	lines := make([]string, 0, len(ps))
	for i, p := range ps {
		if i == maxProblems {
			lines = append(lines, fmt.Sprintf("%s: and %d more", filepath.Base(p.File), len(ps)-maxProblems))
			break
		}
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single Problem.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// sorted returns the problems as an error, nil when there are none.
func sorted(ps Problems) error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return ps
}

// ErrNoFile says that there is no configuration at the path.
var ErrNoFile = errors.New("no such configuration file")

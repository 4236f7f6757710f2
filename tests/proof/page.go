package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// part is what one test reports. Several lines of a part count together.
type part struct {
	Part       string `json:"part"`
	Points     int    `json:"points"`               // tried
	Of         int    `json:"of,omitempty"`         // that are known; 0: all were tried
	Second     int    `json:"second,omitempty"`     // second ones, in what followed the first
	Failures   int    `json:"failures"`             // of both
	Accepted   *int   `json:"accepted,omitempty"`   // of lies; a part that has it told lies
	Executions *int   `json:"executions,omitempty"` // of fuzz targets
	Hours      *int   `json:"hours,omitempty"`      // of a soak; a part that has it was soaked, and has no points
	New        int    `json:"new,omitempty"`        // runs that ended with the new firmware
	Old        int    `json:"old,omitempty"`        // with the old one
	Seeds      string `json:"seeds,omitempty"`
}

// Bounds of a report.
const (
	maxLine  = 64 << 10
	maxParts = 1000
)

// read reads a report, in the order of its first lines.
func read(r io.Reader) ([]part, error) {
	var parts []part
	at := map[string]int{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var p part
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil || p.Part == "" {
			return nil, fmt.Errorf("line %d is no report of a part: %w", n, errors.Join(err, errNoPart))
		}
		i, known := at[p.Part]
		if !known {
			if len(parts) == maxParts {
				return nil, fmt.Errorf("more than %d parts", maxParts)
			}
			at[p.Part], parts = len(parts), append(parts, p)
			continue
		}
		parts[i].add(p)
	}
	if len(parts) == 0 && lines.Err() == nil {
		return nil, errors.New("it is empty: no part has reported")
	}
	return parts, lines.Err()
}

var errNoPart = errors.New(`want {"part": …, "points": …, "failures": …}`)

func (p *part) add(q part) {
	p.Points, p.Of, p.Second, p.Failures = p.Points+q.Points, p.Of+q.Of, p.Second+q.Second, p.Failures+q.Failures
	p.New, p.Old = p.New+q.New, p.Old+q.Old
	p.Accepted, p.Executions, p.Hours = sum(p.Accepted, q.Accepted), sum(p.Executions, q.Executions), sum(p.Hours, q.Hours)
	if q.Seeds != "" && !slices.Contains(strings.Split(p.Seeds, ", "), q.Seeds) {
		p.Seeds = strings.TrimPrefix(p.Seeds+", "+q.Seeds, ", ")
	}
}

func sum(a, b *int) *int {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	n := *a + *b
	return &n
}

// facts are of the whole run.
type facts struct{ Commit, Date, Limit string }

//go:embed page.md.tmpl
var page string

//go:embed bugs.md
var bugs string

// view is what the page is made of.
type view struct {
	facts
	Cuts, Lies, Fuzz, Soaks []part
	Total, LiesTotal        part
	Executions              int
	Bugs                    string
}

func render(parts []part, f facts) (string, error) {
	v := view{facts: f, Bugs: strings.TrimSpace(bugs)}
	for _, p := range parts {
		switch {
		case p.Accepted != nil:
			v.Lies = append(v.Lies, p)
			v.LiesTotal.add(p)
		case p.Executions != nil:
			v.Fuzz = append(v.Fuzz, p)
			v.Executions += *p.Executions
		case p.Hours != nil:
			v.Soaks = append(v.Soaks, p)
		default:
			if p.Of == 0 {
				p.Of = p.Points
			}
			v.Cuts = append(v.Cuts, p)
			v.Total.add(p)
		}
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"n": number, "cell": cell, "plus": func(a, b int) int { return a + b }, "deref": func(p *int) int { return *p },
	}).Parse(page)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, v)
	return out.String(), err
}

// number writes n with commas.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// cell is a text that does not end its cell of a table.
func cell(s string) string {
	if s == "" {
		return "–"
	}
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}

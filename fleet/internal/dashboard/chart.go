package dashboard

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// slice is a part of a pie.
type slice struct {
	Label string
	Count int
	Share float64
	// Colour is the number of a class in the style sheet.
	Colour int
}

// pie is how the robots of a SKU are spread over versions.
type pie struct {
	SKU    string
	Robots int
	Slices []slice
}

// slicesMost is how many versions a pie tells apart; the others are one slice.
const slicesMost = 7

// pies makes a pie of each SKU, the most common versions first.
func pies(counts []store.VersionCount) []pie {
	var out []pie
	for _, c := range counts {
		if n := len(out); n == 0 || out[n-1].SKU != c.SKU {
			out = append(out, pie{SKU: c.SKU})
		}
		p := &out[len(out)-1]
		p.Robots += c.Robots
		p.Slices = append(p.Slices, slice{Label: versionLabel(c.Version), Count: c.Robots})
	}
	for i := range out {
		out[i].cut()
	}
	return out
}

// cut puts the slices in order, those that are too many into one.
func (p *pie) cut() {
	slices.SortStableFunc(p.Slices, func(a, b slice) int { return cmp.Compare(b.Count, a.Count) })
	if len(p.Slices) > slicesMost+1 {
		rest := slice{Label: fmt.Sprintf("%d other versions", len(p.Slices)-slicesMost)}
		for _, s := range p.Slices[slicesMost:] {
			rest.Count += s.Count
		}
		p.Slices = append(p.Slices[:slicesMost], rest)
	}
	for i := range p.Slices {
		p.Slices[i].Colour = i
		p.Slices[i].Share = float64(p.Slices[i].Count) / float64(p.Robots)
	}
}

func versionLabel(v compat.Version) string {
	if v.IsZero() {
		return "not known"
	}
	return v.String()
}

// SVG draws the pie. Colours are classes, as the pages allow no style of their
// own; what it shows stands in words beside it and in its title.
func (p pie) SVG() template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="pie" viewBox="-52 -52 104 104" role="img"><title>%s</title>`, template.HTMLEscapeString(p.describe()))
	from := 0.0
	for _, s := range p.Slices {
		to := from + s.Share
		if s.Share >= 0.9999 {
			fmt.Fprintf(&b, `<circle class="c%d" r="50"/>`, s.Colour)
		} else {
			fmt.Fprintf(&b, `<path class="c%d" d="M0 0L%sA50 50 0 %d 1 %sZ"/>`, s.Colour, onCircle(from), large(s.Share), onCircle(to))
		}
		from = to
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // numbers, and one text that was escaped
}

func (p pie) describe() string {
	var parts []string
	for _, s := range p.Slices {
		parts = append(parts, fmt.Sprintf("%s: %s", s.Label, percent(s.Share)))
	}
	return "Firmware of " + p.SKU + ". " + strings.Join(parts, ", ")
}

// onCircle is a point on a pie's edge, clockwise from the top.
func onCircle(share float64) string {
	a := 2 * math.Pi * share
	return fmt.Sprintf("%.3f %.3f", 50*math.Sin(a), -50*math.Cos(a))
}

func large(share float64) int {
	if share > 0.5 {
		return 1
	}
	return 0
}

// bar is how far the robots of a stage have come.
type bar struct {
	Robots int
	Parts  []part
}

// part of a bar, in the order in which they stand.
type part struct {
	Name  string // also the class in the style sheet
	Count int
}

// SVG draws the bar; what it shows stands in words beside it.
func (s bar) SVG() template.HTML {
	var b strings.Builder
	b.WriteString(`<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="nothing" width="100" height="4"/>`)
	at := 0.0
	for _, p := range s.Parts {
		if p.Count == 0 {
			continue
		}
		width := 100 * float64(p.Count) / float64(max(s.Robots, 1))
		fmt.Fprintf(&b, `<rect class="%s" x="%.3f" width="%.3f" height="4"/>`, template.HTMLEscapeString(p.Name), at, width)
		at += width
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // numbers, and names that were escaped
}

package console

import (
	"fmt"
	"strings"

	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

// Findings shows an examination as it goes on: each finding as a paragraph, and
// on a terminal a last line that names what is not done yet.
type Findings struct{ c *Screen }

// Findings shows what an examination finds on the screen.
func (c *Screen) Findings() *Findings { return &Findings{c} }

const (
	levelWidth = 7 // "skipped"
	checkWidth = 8 // "microros"
)

// word is the level as it is shown, which scripts and eyes can look for.
func (st Style) word(l doctor.Level) string {
	name, hue := string(l), faint
	switch l {
	case doctor.OK:
		name, hue = "OK", green
	case doctor.Warn:
		name, hue = "WARN", yellow
	case doctor.Fail:
		name, hue = "FAIL", red
	case doctor.Skipped:
	}
	return st.paint(hue, fmt.Sprintf("%-*s", levelWidth, name))
}

// Found shows a finding.
func (f *Findings) Found(x doctor.Finding) {
	f.c.clear()
	indent := strings.Repeat(" ", levelWidth+checkWidth+2)
	f.c.print("%s %-*s %s\n", f.c.st.word(x.Level), checkWidth, clean(x.Check), f.wrap(x.Text, indent))
	if x.Do != "" {
		arrow := f.c.st.sign("→ ", "-> ")
		f.c.print("%s%s\n", indent, f.c.st.paint(cyan, arrow+f.wrap(x.Do, indent+strings.Repeat(" ", len([]rune(arrow))))))
	}
}

// Waiting shows what is not done yet.
func (f *Findings) Waiting(names []string) {
	if f.c.width == nil {
		return
	}
	if len(names) == 0 {
		f.c.clear()
		return
	}
	f.c.draw(fit(f.c.st.sign("… ", "... ")+"looking at "+strings.Join(names, ", "), f.c.width()-1))
}

// End shows the summary.
func (f *Findings) End(r doctor.Report) error {
	f.c.clear()
	f.c.print("\n%s\n", f.c.st.paint(levelColor(r.Level), r.Summary()))
	return f.c.End()
}

func levelColor(l doctor.Level) color {
	switch l {
	case doctor.Fail:
		return red
	case doctor.Warn:
		return yellow
	case doctor.OK:
		return green
	case doctor.Skipped:
	}
	return faint
}

// wrap breaks text between words where the terminal is too narrow for it, and
// indents what follows. Text of several lines stays so.
func (f *Findings) wrap(text, indent string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, clean(strings.TrimSuffix(line, "\n")))
	}
	if f.c.width != nil {
		lines = folded(lines, max(20, f.c.width()-1-len(indent)))
	}
	return strings.Join(lines, "\n"+indent)
}

// folded breaks lines into such of at most width columns, where words allow.
func folded(lines []string, width int) []string {
	var out []string
	for _, line := range lines {
		now := ""
		for _, word := range strings.Split(line, " ") {
			if now != "" && len([]rune(now))+1+len([]rune(word)) > width {
				out, now = append(out, now), word
				continue
			}
			if now != "" {
				now += " "
			}
			now += word
		}
		out = append(out, now)
	}
	return out
}

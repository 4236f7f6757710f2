package dashboard

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/dashboard/outline"
)

// functions are those of the templates.
func functions() template.FuncMap {
	return template.FuncMap{
		"moment": moment, "duration": duration, "percent": percent, "tree": outline.Read, "words": words, "count": count, "join": strings.Join,
		"version": versionLabel,
	}
}

// moment is a time in UTC, machine-readable as well.
func moment(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s UTC</time>`, t.Format(time.RFC3339), t.Format("2006-01-02 15:04:05"))) //nolint:gosec // digits
}

// duration in the two largest units that it has.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "–"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return units(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 48*time.Hour:
		return units(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	return units(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func units(n int, unit string, rest int, below string) string {
	if rest == 0 {
		return fmt.Sprintf("%d %s", n, unit)
	}
	return fmt.Sprintf("%d %s %d %s", n, unit, rest, below)
}

// percent never rounds to a target that was not reached: 99.97 % is not 100 %.
func percent(share float64) string {
	p := 100 * share
	switch s := fmt.Sprintf("%.1f %%", p); {
	case p > 0 && s == "0.0 %":
		return "< 0.1 %"
	case p < 100 && s == "100.0 %":
		return "> 99.9 %"
	default:
		return strings.Replace(s, ".0 %", " %", 1)
	}
}

// words makes of a name of the program, such as rolled_back, words.
func words(name any) string { return strings.ReplaceAll(fmt.Sprint(name), "_", " ") }

// count is a number and what it is of, of which the plural ends in s.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

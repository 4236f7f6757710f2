package emergency

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Chapter is an incident with its time line.
type Chapter struct {
	store.Incident
	Entries []store.Entry `json:"entries"`
}

// Log is the log of incidents, in Markdown: the newest first, times in UTC.
// What people and robots wrote is text in it, whatever it looks like.
func Log(chapters []Chapter) string {
	var b strings.Builder
	b.WriteString("# Incidents\n\nThe newest first; times are in UTC.\n")
	if len(chapters) == 0 {
		b.WriteString("\nNone.\n")
	}
	newest := slices.Clone(chapters)
	slices.SortStableFunc(newest, func(a, b Chapter) int { return cmp.Or(b.Opened.Compare(a.Opened), cmp.Compare(a.ID, b.ID)) })
	for _, c := range newest {
		c.write(&b)
	}
	return b.String()
}

func (c Chapter) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s: %s\n\n", c.Opened.UTC().Format(time.DateOnly), plain(c.Title))
	fmt.Fprintf(b, "- Incident: `%s` (%s)\n", c.ID, plain(c.Kind))
	fmt.Fprintf(b, "- Opened: %s by %s\n", utc(c.Opened), who(c.OpenedBy))
	if c.Closed.IsZero() {
		b.WriteString("- Closed: not yet\n")
	} else {
		fmt.Fprintf(b, "- Closed: %s by %s, after %v\n", utc(c.Closed), who(c.ClosedBy), c.Closed.Sub(c.Opened).Round(time.Second))
	}
	fmt.Fprintf(b, "- Reason: %s\n", plain(c.Reason))
	if !c.Version.IsZero() {
		fmt.Fprintf(b, "- Firmware: %s\n", c.Version)
	}
	if len(c.SKUs) > 0 {
		fmt.Fprintf(b, "- SKUs: %s\n", plain(strings.Join(c.SKUs, ", ")))
	}
	b.WriteString("\n### Time line\n\n")
	for _, e := range c.Entries {
		fmt.Fprintf(b, "- %s %s: %s\n", utc(e.At), who(e.By), plain(e.Text))
	}
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// who did it; nobody: the server did.
func who(by string) string {
	if by == "" {
		return "the server"
	}
	return plain(by)
}

// plain keeps a text one line, without the marks that mean something in Markdown.
func plain(s string) string {
	var b strings.Builder
	for _, r := range strings.Join(strings.Fields(s), " ") {
		if strings.ContainsRune("\\`*_[]<>|~&", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

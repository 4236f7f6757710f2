package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// page is a list of named rows.
type page struct {
	st Style
	b  strings.Builder
}

func (p *page) row(name, format string, args ...any) {
	p.b.WriteString(p.st.paint(faint, fmt.Sprintf("%-10s", name)) + " " + fmt.Sprintf(format, args...) + "\n")
}

// Status is the state of things as a page.
func Status(s update.Status, now time.Time, st Style) string {
	p := page{st: st}
	p.row("state", "%s  %s", st.paint(colorOf(s.State), clean(string(s.State))), message(s))
	if measured(s) {
		p.row("progress", "%s", st.figures(s, now))
	}
	p.row("running", "%s", firmware(s.Running))
	if s.JobID != "" {
		p.row("job", "%s (%s, asked for by %s)", clean(s.JobID), s.Kind, s.Origin)
		if !s.Target.IsZero() || s.Slot != "" {
			p.row("target", "%s", firmware(update.Installed{Version: s.Target, Slot: s.Slot}))
		}
	}
	if !s.Since.IsZero() {
		p.row("since", "%s (%s)", moment(s.Since, now), span(now.Sub(s.Since)))
	}
	p.reasons(s.Reasons, now)
	if f := s.Failure; f != nil {
		why := ": " + clean(f.Text)
		if strings.Contains(s.Message, f.Text) { // the first row has said it
			why = ""
		}
		p.row("failure", "%s in %s%s", st.paint(red, clean(f.Code)), f.State, why)
	}
	p.checks(s, now)
	p.metadata(s.Metadata, now)
	if s.Held {
		p.row("chip", "%s", st.paint(yellow, "in the agent's hands: the serial line is not with its owner"))
	}
	return p.b.String()
}

// metadata tells until when the robot knows what may be installed.
func (p *page) metadata(m *update.Metadata, now time.Time) {
	switch {
	case m == nil:
		return
	case m.Expires.IsZero():
		p.row("metadata", "%s", p.st.paint(yellow, "none was accepted yet, so nothing can be installed"))
	case now.After(m.Expires):
		p.row("metadata", "list %d, %s", m.List, p.st.paint(yellow, "expired at "+moment(m.Expires, now)+": nothing can be installed until the update server has newer"))
	default:
		p.row("metadata", "list %d, valid until %s (%s)", m.List, moment(m.Expires, now), span(m.Expires.Sub(now)))
	}
	if m.Warning != "" {
		p.row("", "%s", p.st.paint(yellow, clean(m.Warning)))
	}
}

// checks tells when the update server was asked, and when it will be.
func (p *page) checks(s update.Status, now time.Time) {
	if c := s.LastCheck; c != nil {
		went := "there is nothing newer"
		switch {
		case c.Err != "":
			went = p.st.paint(yellow, "failed: "+clean(c.Err))
		case !c.Offered.IsZero():
			went = c.Offered.String() + " is offered"
		}
		p.row("last check", "%s (%s ago): %s", moment(c.At, now), span(max(0, now.Sub(c.At))), went)
	}
	if !s.NextCheck.IsZero() {
		p.row("next check", "at %s (in %s)", moment(s.NextCheck, now), span(max(0, s.NextCheck.Sub(now))))
	}
}

func (p *page) reasons(rs []preflight.Reason, now time.Time) {
	name := "not now"
	for _, r := range rs {
		p.row(name, "%s %s", clean(r.Text), p.st.paint(faint, "("+clean(string(r.Code))+", since "+moment(r.Since, now)+")"))
		p.row("", "lifted by %s", clean(r.Lift))
		name = ""
	}
}

// firmware is a version and its slot in words.
func firmware(i update.Installed) string {
	version, slot := "unknown version", ""
	if !i.Version.IsZero() {
		version = i.Version.String()
	}
	if i.Slot != "" {
		slot = " in " + clean(i.Slot)
	}
	if i.Version.IsZero() && slot == "" {
		return "unknown: the firmware has not spoken"
	}
	return version + slot
}

// Plan is what a request would do, as a page.
func Plan(pl update.Plan, now time.Time, st Style) string {
	p := page{st: st}
	verdict := st.paint(yellow, "not now")
	if pl.WouldUpdate {
		verdict = st.paint(green, "go")
	}
	p.row("plan", "%s  %s", verdict, clean(pl.Message))
	p.row("running", "%s", firmware(pl.Running))
	if !pl.Target.IsZero() {
		p.row("target", "%s", firmware(update.Installed{Version: pl.Target, Slot: pl.Slot}))
	}
	if pl.Estimate > 0 {
		p.row("takes", "about %s from the download to the confirmation", span(pl.Estimate))
	}
	p.reasons(pl.Reasons, now)
	return p.b.String()
}

// History is what was done, oldest first. long adds the evidence.
func History(rs []update.Record, now time.Time, long bool, st Style) string {
	if len(rs) == 0 {
		return "nothing was done yet\n"
	}
	var b strings.Builder
	for _, r := range rs {
		to := r.Image.Version.String()
		if r.Image.Version.IsZero() {
			to = "?"
		}
		from := r.From.Version.String()
		if r.From.Version.IsZero() {
			from = "?"
		}
		if r.Kind == update.KindRollback {
			from, to = to, from
		}
		fmt.Fprintf(&b, "%s  %s  %s  %s %s %s  %s\n", moment(r.Ended, now), clean(r.JobID),
			st.paint(colorOf(r.Outcome), fmt.Sprintf("%-11s", clean(string(r.Outcome)))),
			from, st.sign("→", "->"), to,
			st.paint(faint, fmt.Sprintf("(%s by %s, %s)", r.Kind, r.Origin, span(r.Ended.Sub(r.Started)))))
		if f := r.Failure; f != nil {
			fmt.Fprintf(&b, "    %s in %s: %s\n", clean(f.Code), f.State, clean(f.Text))
		}
		if long {
			details(&b, r)
		}
	}
	return b.String()
}

func details(b *strings.Builder, r update.Record) {
	if r.URL != "" {
		fmt.Fprintf(b, "    from %s\n", clean(r.URL))
	}
	if r.Image.FileSHA256 != "" {
		fmt.Fprintf(b, "    file %s, signed by key %s\n", clean(r.Image.FileSHA256), clean(r.Image.Key))
	}
	if r.Downloaded > 0 {
		as := ""
		if r.Patched {
			as = " as a patch, of " + size(float64(r.Image.Size))
		}
		fmt.Fprintf(b, "    downloaded %s%s\n", size(float64(r.Downloaded)), as)
	}
	for _, e := range r.Evidence {
		fmt.Fprintf(b, "    saw  %s\n", clean(e))
	}
	for _, d := range r.Durations {
		fmt.Fprintf(b, "    %-12s %s\n", d.State, span(time.Duration(d.Seconds*float64(time.Second))))
	}
}

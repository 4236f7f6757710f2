package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// Keys is whose signatures count, as a page.
func Keys(r keyring.Report, now time.Time, st Style) string {
	p := page{st: st}
	p.row("keyring", "%s", document(r, now))
	p.row("the next", "has to be signed by %d of the trusted keys", r.Threshold)
	p.entries("trusted", green, r.Trusted)
	p.entries("revoked", red, r.Revoked)
	if f := r.Firmware; f != nil {
		verdict := st.paint(green, "trusted")
		if !f.Trusted {
			verdict = st.paint(yellow, "not trusted")
		}
		p.row("firmware", "embeds %s, %s", clean(f.Key), verdict)
	} else {
		p.row("firmware", "does not say which key it embeds")
	}
	if f := r.Refused; f != nil {
		p.row("refused", "at %s from %s (%s)", moment(f.At, now), clean(f.From), clean(string(f.Code)))
	}
	for _, w := range r.Warnings() {
		p.row("look", "%s", st.paint(yellow, clean(w)))
	}
	return p.b.String()
}

func document(r keyring.Report, now time.Time) string {
	if r.Version == 0 {
		return "none accepted yet: the keys are those of the configured files"
	}
	s := fmt.Sprintf("version %d", r.Version)
	if r.Accepted != nil {
		s += fmt.Sprintf(", accepted %s from %s", moment(*r.Accepted, now), clean(r.From))
	}
	if r.Issued != nil {
		s += ", issued " + moment(*r.Issued, now)
	}
	if r.Comment != "" {
		s += ": " + clean(r.Comment)
	}
	return s
}

func (p *page) entries(name string, c color, entries []keyring.Entry) {
	if len(entries) == 0 {
		p.row(name, "no key")
	}
	for _, e := range entries {
		p.row(name, "%s  %s", p.st.paint(c, clean(e.ID)), p.st.paint(faint, clean(strings.Join(e.From, ", "))))
		name = ""
	}
}

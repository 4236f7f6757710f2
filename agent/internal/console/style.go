package console

import (
	"strings"
	"unicode"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Style is what the reader's screen can do.
type Style struct {
	Color   bool
	Unicode bool
}

type color string

const (
	red    color = "31"
	green  color = "32"
	yellow color = "33"
	cyan   color = "36"
	faint  color = "2"
)

func (st Style) paint(c color, s string) string {
	if !st.Color || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// sign returns the one of two that the screen can show.
func (st Style) sign(unicode, ascii string) string {
	if st.Unicode {
		return unicode
	}
	return ascii
}

func colorOf(s update.State) color {
	switch s {
	case update.Confirmed, update.Observing:
		return green
	case update.Failed:
		return red
	case update.Waiting, update.RollingBack, update.RolledBack:
		return yellow
	case update.Idle:
		return faint
	case update.Checking, update.Downloading, update.Verifying, update.Handover, update.Connecting,
		update.Writing, update.Attesting, update.Booting, update.Validating:
	}
	return cyan
}

// clean keeps what is printable: text from outside must not steer a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsGraphic(r) {
			return r
		}
		return '?'
	}, s)
}

// fit cuts plain text to so many columns; 0 is no limit.
func fit(s string, width int) string {
	r := []rune(s)
	if width <= 0 || len(r) <= width {
		return s
	}
	if width <= 3 {
		return string(r[:width])
	}
	return string(r[:width-3]) + "..."
}

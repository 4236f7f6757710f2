package console

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// step is by how much progress must grow to be worth a line where lines stay.
const step = 0.25

// Screen shows a state as it changes. It is not safe for concurrent use.
type Screen struct {
	w     io.Writer
	st    Style
	width func() int // columns of the terminal; nil: it is none

	last  update.Status
	shown bool    // something was
	live  bool    // a line stands that is to be overwritten
	told  float64 // the progress that the last plain line spoke of
	err   error
}

// NewScreen shows states on w. width is asked for the columns of the terminal
// before each line; nil means that w is none, and lines stay as they are.
func NewScreen(w io.Writer, st Style, width func() int) *Screen {
	return &Screen{w: w, st: st, width: width}
}

// Show shows a state.
func (c *Screen) Show(s update.Status, now time.Time) {
	entered := !c.shown || s.State != c.last.State || s.JobID != c.last.JobID
	if entered && c.shown && c.width != nil {
		c.keep(c.last, s.Since)
	}
	if c.width == nil {
		c.plain(s, now, entered)
	}
	if why := news(c.last.Reasons, s.Reasons); len(why) > 0 {
		c.reasons(why)
	}
	if c.width != nil {
		c.draw(c.st.line(s, now, c.width()-1))
	}
	c.last, c.shown = s, true
}

// plain writes a line for each state and for some of its progress.
func (c *Screen) plain(s update.Status, now time.Time, entered bool) {
	if entered {
		c.told = 0
	}
	if !entered && (!measured(s) || s.Progress < c.told+step || s.State == update.Observing) {
		return
	}
	if measured(s) {
		c.told = s.Progress
	}
	text := message(s)
	if !entered {
		text = c.st.figures(s, now)
	}
	c.print("%s  %-*s %s\n", now.Format("15:04:05"), labelWidth, clean(string(s.State)), text)
}

// keep turns the line of a state that is over into one that stays.
func (c *Screen) keep(s update.Status, end time.Time) {
	took := ""
	if !s.Since.IsZero() && end.After(s.Since) {
		took = span(end.Sub(s.Since))
	}
	text := message(s)
	if s.BytesTotal > 0 {
		text = size(float64(s.BytesTotal))
	}
	c.clear()
	c.print("%s %s %s\n", c.st.paint(colorOf(s.State), fmt.Sprintf("%-*s", labelWidth, clean(string(s.State)))),
		c.st.paint(faint, fmt.Sprintf("%6s", took)), fit(text, max(10, c.width()-labelWidth-9)))
}

func (c *Screen) reasons(rs []preflight.Reason) {
	c.clear()
	for _, r := range rs {
		c.print("  not now (%s): %s; lifted by %s\n", clean(string(r.Code)), clean(r.Text), clean(r.Lift))
	}
}

// news are the reasons whose code was not there before.
func news(before, now []preflight.Reason) []preflight.Reason {
	return slices.DeleteFunc(slices.Clone(now), func(r preflight.Reason) bool {
		return slices.ContainsFunc(before, func(b preflight.Reason) bool { return b.Code == r.Code })
	})
}

// Note writes a line that stays.
func (c *Screen) Note(text string) {
	c.clear()
	c.print("%s\n", clean(text))
}

// End leaves the last line as it stands. The error is the first one that
// writing met.
func (c *Screen) End() error {
	if c.live {
		c.print("\n")
		c.live = false
	}
	return c.err
}

func (c *Screen) draw(line string) {
	c.print("\r\x1b[K%s", line)
	c.live = true
}

func (c *Screen) clear() {
	if c.live {
		c.print("\r\x1b[K")
		c.live = false
	}
}

func (c *Screen) print(format string, args ...any) {
	if _, err := fmt.Fprintf(c.w, format, args...); err != nil && c.err == nil {
		c.err = err
	}
}

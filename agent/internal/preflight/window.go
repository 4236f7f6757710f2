package preflight

import (
	"fmt"
	"strings"
	"time"
)

// Window is a time at which an update may begin, again and again: from each
// start on, for so long. What has begun is finished, also when the window ends
// meanwhile.
//
// It is told by the clock on the wall of its zone: a window from 02:00 for 3 h
// is open while that clock shows 02:00 to 05:00. In the night in which an hour
// is skipped it is therefore an hour shorter (a start that does not exist that
// night is the first moment after it), and in the night in which an hour comes
// twice an hour longer.
type Window struct {
	// Spec is how the operator wrote it, for people.
	Spec   string
	Starts Starts        // nil: it never opens
	For    time.Duration // > 0
	Zone   *time.Location
}

// Starts are moments that come again and again, in UTC, in whole seconds.
type Starts interface {
	// Next is the first start after t; zero: there is none.
	Next(t time.Time) time.Time
}

// firstYear is before every robot that this is built for: a clock that shows
// less was never set, and no window can be told by it.
const firstYear = 2025

// Open says whether now is in the window.
func (w Window) Open(now time.Time) bool {
	if w.Starts == nil || now.Year() < firstYear {
		return false
	}
	wall := onWall(now, w.Zone)
	start := w.Starts.Next(wall.Add(-w.For))
	return !start.IsZero() && !start.After(wall)
}

// Next is the moment after now at which the window opens the next time; zero:
// never.
func (w Window) Next(now time.Time) time.Time {
	if w.Starts == nil {
		return time.Time{}
	}
	wall := onWall(now, w.Zone)
	for range 3 {
		if wall = w.Starts.Next(wall); wall.IsZero() {
			break
		}
		t := fromWall(wall, w.Zone)
		if !t.After(now) { // the clock shows this a second time, and it is after the first
			t = again(t)
		}
		if w.Open(t) {
			return t
		}
		wall = onWall(t, w.Zone) // all of it is skipped that night
	}
	return time.Time{}
}

// onWall is what the clock on the wall of a zone shows, as if it were UTC:
// there no hour is skipped or comes twice.
func onWall(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// fromWall is the first moment at which the clock on the wall of a zone shows
// this, or more where it never shows it.
func fromWall(wall time.Time, zone *time.Location) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), zone)
	began, ends := t.ZoneBounds()
	shows := onWall(t, zone)
	switch {
	case shows.After(wall): // skipped, and t lies behind the gap
		return began
	case shows.Before(wall): // skipped, and t lies before it
		return ends
	}
	// Where the clock was set back, t may be the second time that it shows this.
	if began.IsZero() {
		return t
	}
	if earlier := t.Add(offset(t) - offset(began.Add(-time.Second))); earlier.Before(began) && onWall(earlier, zone).Equal(wall) {
		return earlier
	}
	return t
}

// again is the second moment at which the clock on the wall shows what it does
// at t, in the night in which it is set back.
func again(t time.Time) time.Time {
	_, ends := t.ZoneBounds()
	return t.Add(offset(t) - offset(ends))
}

// offset of a moment's zone from UTC.
func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

func (g *gates) maintenance(c Candidate) {
	if c.AnyTime || len(g.policy.Maintenance) == 0 {
		return
	}
	if g.now.Year() < firstYear {
		g.shut(OutsideWindow, "this computer's clock being set",
			"this computer's clock says %s: no maintenance window can be told by it", g.now.UTC().Format(time.DateOnly))
		return
	}
	var specs []string
	var next time.Time
	for _, w := range g.policy.Maintenance {
		if w.Open(g.now) {
			return
		}
		specs = append(specs, w.Spec)
		if n := w.Next(g.now); !n.IsZero() && (next.IsZero() || n.Before(next)) {
			next = n
		}
	}
	lift := "an update that may begin at any time"
	if !next.IsZero() {
		lift = fmt.Sprintf("the next maintenance window, from %s on, or %s", next.Format(time.RFC3339), lift)
	}
	g.shut(OutsideWindow, lift, "this is outside of the maintenance windows (%s)", strings.Join(specs, "; "))
}

package console

import (
	"fmt"
	"math"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// size writes bytes as people read them.
func size(n float64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", n/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.0f KiB", n/(1<<10))
	}
	return fmt.Sprintf("%.0f B", max(0, n))
}

// span writes a time to the second, or to the minute where it is long.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// moment writes a time of today as a clock shows it, others with their date.
func moment(t, now time.Time) string {
	t = t.In(now.Location())
	if y, m, d := t.Date(); y == now.Year() && m == now.Month() && d == now.Day() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

// left is how long the state goes on as it has gone so far; false where that
// cannot be told.
func left(s update.Status, now time.Time) (time.Duration, bool) {
	seconds := math.NaN()
	elapsed := now.Sub(s.Since)
	switch {
	case s.BytesTotal > 0 && s.Rate > 0:
		seconds = float64(s.BytesTotal-s.BytesDone) / s.Rate
	case s.Progress > 0.005 && s.Progress <= 1 && !s.Since.IsZero() && elapsed >= time.Second:
		seconds = elapsed.Seconds() * (1 - s.Progress) / s.Progress
	}
	const most = 365 * 24 * 3600
	if math.IsNaN(seconds) || seconds < 0 || seconds > most {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

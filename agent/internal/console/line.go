package console

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

const (
	barWidth   = 24
	labelWidth = 12 // the longest state, "rolling_back"
)

// sane is a fraction between 0 and 1 whatever came; what is none (NaN) is 0.
func sane(fraction float64) float64 {
	if math.IsNaN(fraction) {
		return 0
	}
	return min(1, max(0, fraction))
}

// bar draws a fraction.
func (st Style) bar(fraction float64) string {
	n := int(math.Round(sane(fraction) * barWidth))
	return strings.Repeat(st.sign("█", "#"), n) + strings.Repeat(st.sign("░", "."), barWidth-n)
}

// measured says that a state has a progress worth a bar.
func measured(s update.Status) bool {
	switch s.State {
	case update.Downloading, update.Writing, update.Validating, update.Observing:
		return s.Progress > 0 || s.BytesTotal > 0
	case update.Idle, update.Checking, update.Verifying, update.Waiting, update.Handover, update.Connecting, update.Attesting,
		update.Booting, update.Confirmed, update.Failed, update.RollingBack, update.RolledBack:
	}
	return false
}

// figures are bar, percentage, bytes, rate and the time left.
func (st Style) figures(s update.Status, now time.Time) string {
	parts := []string{st.bar(s.Progress), fmt.Sprintf("%3.0f %%", sane(s.Progress)*100)}
	if s.BytesTotal > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s", size(float64(s.BytesDone)), size(float64(s.BytesTotal))))
	}
	if s.Rate > 0 && !math.IsInf(s.Rate, 1) {
		parts = append(parts, size(s.Rate)+"/s")
	}
	if d, ok := left(s, now); ok && s.Progress < 1 {
		parts = append(parts, span(d)+" "+leftOf(s.State))
	}
	return strings.Join(parts, "  ")
}

func leftOf(s update.State) string {
	switch s {
	case update.Validating:
		return "left of the trial"
	case update.Observing:
		return "left of the observation"
	default:
		return "left"
	}
}

// message is what the agent says, without the state that stands beside it.
func message(s update.Status) string {
	return clean(strings.TrimPrefix(s.Message, string(s.State)+": "))
}

// line is a state as one line of at most width columns, 0 for no limit.
func (st Style) line(s update.Status, now time.Time, width int) string {
	label := fmt.Sprintf("%-*s", labelWidth, clean(string(s.State)))
	text := message(s)
	if measured(s) {
		text = st.figures(s, now)
	}
	if width > 0 {
		text = fit(text, max(1, width-len(label)-1))
	}
	return st.paint(colorOf(s.State), label) + " " + text
}

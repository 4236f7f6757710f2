package hawkbit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// The number of entries stays far below hawkBit's bound, whatever goes on.
func TestFeedbackIsThrottled(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.begun()
		for i := range 1000 {
			r.moves(float64(i) / 1000)
			r.wait(20 * time.Millisecond)
		}
		if n := len(h.heard(a)); n > 4 {
			t.Errorf("%d entries of a download of 20 s", n)
		}
		r.ready()
		for i := range 10_000 { // a gate flaps for a week
			if i == 60 && len(h.heard(a)) > 20 {
				t.Errorf("%d entries in the first hour", len(h.heard(a)))
			}
			b := lowBattery()
			if i%2 == 0 {
				b.Reasons = append(b.Reasons, preflight.Reason{Code: preflight.Moving})
			}
			r.happen(b)
			r.wait(time.Minute)
		}
		n := len(h.heard(a))
		if n < 100 || n > maxTold+10 {
			t.Errorf("%d entries", n)
		}
		r.flashes()
		r.passes()
		r.wait(time.Minute)
		if a.outcome != "finished" {
			t.Errorf("the server has %q", a.outcome)
		}
	})
}

// A server whose own bound is lower still gets the closing entry.
func TestServersBoundOnEntries(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", quota: 1}
	h := newHawk(a)
	play(t, h, func(t *testing.T, r *rig) {
		r.begun()
		r.wait(time.Second)
		r.ready()
		r.wait(time.Second)
		r.flashes()
		r.wait(time.Second)
		r.passes()
		r.wait(time.Minute)
		if a.outcome != "finished" {
			t.Errorf("the server has %q", a.outcome)
		}
	})
}

// All details fit, however much evidence there is.
func TestDetailsAreBounded(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.begun()
		r.ready()
		r.flashes()
		r.runs("0.2.1", "ota_1", newApp)
		evidence := slices.Repeat([]string{strings.Repeat("é\x00", 400)}, 200)
		r.happen(update.TrialPassed{Evidence: evidence}, update.Kept{})
		r.wait(time.Minute)
		if a.outcome != "finished" {
			t.Fatalf("the server has %q", a.outcome)
		}
		d := a.statuses[len(a.statuses)-1].Status.Details
		if len(d) != maxDetails || len([]rune(d[1])) > maxDetail || strings.Contains(d[1], "\x00") {
			t.Errorf("%d details, of %d characters", len(d), len([]rune(d[1])))
		}
	})
}

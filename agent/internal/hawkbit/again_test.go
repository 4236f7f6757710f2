package hawkbit

import (
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// An action that is offered again after it ended is answered again.
func TestOfferedAgain(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", neverStops: true}
	h := newHawk(a)
	play(t, h, func(t *testing.T, r *rig) {
		r.begun()
		r.installs()
		r.wait(time.Hour)
		h.do(func() { a.inactive, a.statuses = false, nil }) // it forgot
		r.wait(10 * time.Minute)
		r.crash()
		r.wait(time.Hour)
		if got := h.heard(a); len(got) != 1 || got[0] != "closed/success" || r.triggers != 1 {
			t.Errorf("the server heard %q, %d triggers", got, r.triggers)
		}
		if n := h.count("POST"); n > 40 {
			t.Errorf("%d answers in two hours", n)
		}
	})
}

// goosebit calls actions by their software: after an absence the same id is
// another assignment.
func TestSameIDMeantAnew(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.begun()
		r.happen(update.EffectFailed{Code: "disk_full", Text: "full"})
		r.wait(20 * time.Minute)
		h.do(func() { a.inactive, a.outcome, a.statuses = false, "", nil })
		r.begun()
		r.installs()
		r.wait(time.Minute)
		if a.outcome != "finished" || r.triggers != 2 {
			t.Errorf("the server has %q after %d triggers", a.outcome, r.triggers)
		}
	})
}

// Success is not told again for a firmware that does not run any more.
func TestSuccessOfThePastIsNotTold(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", neverStops: true}
	h := newHawk(a)
	play(t, h, func(t *testing.T, r *rig) {
		r.begun()
		r.installs()
		r.wait(time.Minute)
		r.happen(update.Fired{Code: "reboots", Text: "4 reboots"})
		r.runs("0.2.0", "ota_0", "aa")
		r.happen(update.Standing{}, update.Restored{})
		h.do(func() { a.inactive, a.statuses = false, nil })
		r.until("the second job", 20*time.Minute, func() bool { return r.triggers == 2 })
		r.happen(update.EffectFailed{Code: "failed_before", Text: "it was put back here"})
		r.wait(time.Minute)
		if got := h.heard(a); got[len(got)-1] != "closed/failure" {
			t.Errorf("the server heard %q", got)
		}
	})
}

// A download that lost the server is gone on with when it is back, and closed
// as a failure after many tries.
func TestLostServer(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		for i := range maxTries + 1 {
			r.begun()
			if a.inactive {
				t.Fatalf("closed after %d tries", i)
			}
			r.happen(update.EffectFailed{Code: "server_unreachable", Text: "gone"})
			if i%2 == 0 {
				r.crash() // the tries are counted all the same, and none twice
			}
			r.wait(time.Second)
		}
		r.wait(time.Minute)
		if a.outcome != "error" || r.triggers != maxTries+1 {
			t.Errorf("the server has %q after %d triggers", a.outcome, r.triggers)
		}
	})
}

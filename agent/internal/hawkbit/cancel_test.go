package hawkbit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

func TestCancel(t *testing.T) {
	tests := []struct {
		name     string
		to       func(r *rig)
		accepted bool
		state    update.State
	}{
		{"downloading", func(*rig) {}, true, update.Failed},
		{"waiting", func(r *rig) { r.ready() }, true, update.Failed},
		{"line taken", func(r *rig) { r.ready(); r.happen(update.Clear{}) }, true, update.Failed},
		{"writing", func(r *rig) {
			r.ready()
			r.happen(update.Clear{}, update.LineTaken{}, update.Connected{To: "ota_1"})
		}, false, update.Writing},
		{"on trial", func(r *rig) { r.ready(); r.flashes() }, false, update.Validating},
		{"rolling back", func(r *rig) {
			r.ready()
			r.flashes()
			r.happen(update.TrialFailed{Code: "silent", Text: "no sign of life"})
		}, false, update.RollingBack},
		{"lost the server", func(r *rig) { r.happen(update.EffectFailed{Code: "server_unreachable", Text: "gone"}) }, true, update.Failed},
		{"failed already", func(r *rig) {
			r.hawk.do(func() { r.hawk.down = true })
			r.happen(update.EffectFailed{Code: "disk_full", Text: "full"})
			r.wait(time.Second)
			r.hawk.do(func() { r.hawk.down = false })
		}, true, update.Failed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
				r.begun()
				r.wait(time.Second)
				tt.to(r)
				h.do(func() { a.canceling = true })
				r.until("the answer", 20*time.Minute, func() bool { return len(a.cancelTaken) > 0 || a.inactive })
				r.wait(time.Second)
				if r.state() != tt.state {
					t.Errorf("the job is in %s, want %s", r.state(), tt.state)
				}
				if _, known := r.link.ledger.find("3"); known == tt.accepted && tt.name != "failed already" {
					t.Errorf("known afterwards: %t", known)
				}
				if tt.name == "failed already" { // the end was told before the poll
					if a.outcome != "error" {
						t.Errorf("the server has %q", a.outcome)
					}
					return
				}
				s := a.cancelTaken[0].Status
				want := closed
				if !tt.accepted {
					want = rejected
				}
				if s.Execution != want || tt.accepted != (a.outcome == "canceled") || len(s.Details) == 0 || tt.accepted && s.Result.Finished != success {
					t.Errorf("answered %+v, the server has %q", s, a.outcome)
				}
				for _, f := range h.heard(a) {
					if f == "closed/failure" {
						t.Error("a cancelled action was told as a failure")
					}
				}
				r.wait(time.Hour)
				if r.triggers != 1 || len(a.cancelTaken) != 1 {
					t.Errorf("%d triggers, %d answers", r.triggers, len(a.cancelTaken))
				}
			})
		})
	}
}

// The flash may begin between the look and the deed: the engine decides.
func TestCancelLosesTheRace(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.begun()
		r.ready()
		r.lag = func() { r.flashes() }
		h.do(func() { a.canceling = true })
		r.until("the answer", 6*time.Minute, func() bool { return len(a.cancelTaken) > 0 })
		r.lag = nil
		if a.cancelTaken[0].Status.Execution != rejected || h.count("GET /cancelAction") != 1 {
			t.Errorf("answered %+v after %d questions", a.cancelTaken[0], h.count("GET /cancelAction"))
		}
		r.passes()
		r.wait(time.Second)
		if a.outcome != "finished" {
			t.Errorf("the server has %q", a.outcome)
		}
	})
}

func TestCancelOfWhatWasNeverBegun(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", canceling: true}
	h := newHawk(a)
	play(t, h, func(t *testing.T, r *rig) {
		r.until("the answer", time.Minute, func() bool { return a.outcome == "canceled" })
		if r.triggers+r.cancels != 0 {
			t.Error("the engine was bothered")
		}
	})
}

// A server that cancels what it was told is installed hears that it is.
func TestCancelOfWhatIsInstalled(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.begun()
		r.installs()
		r.wait(time.Minute)
		h.do(func() { a.inactive, a.canceling = false, true })
		r.until("the answer", 6*time.Minute, func() bool { return len(a.cancelTaken) > 0 })
		if s := a.cancelTaken[0].Status; s.Execution != rejected || !strings.Contains(s.Details[0], "installed and confirmed") {
			t.Errorf("answered %+v", s)
		}
	})
}

// A server that offers and cancels an action in one answer means the latter.
func TestCancelledAndOfferedAtOnce(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", canceling: true}
	h := newHawk(a)
	h.odd = fmt.Sprintf(`{"_links":{"cancelAction":{"href":"%[1]s/cancelAction/3"},"deploymentBase":{"href":"%[1]s/deploymentBase/3"}}}`, h.host+base)
	play(t, h, func(t *testing.T, r *rig) {
		r.wait(time.Hour)
		if a.outcome != "canceled" || r.triggers != 0 {
			t.Errorf("the server has %q after %d triggers", a.outcome, r.triggers)
		}
	})
}

// A cancelled action is soon followed by the one that took its place.
func TestReplacedByAnother(t *testing.T) {
	a, b := &assignment{id: "3", version: "0.2.1"}, &assignment{id: "4", version: "0.2.2"}
	h := newHawk(a)
	play(t, h, func(t *testing.T, r *rig) {
		r.begun()
		h.do(func() { a.canceling, h.actions = true, []*assignment{a, b} })
		r.until("the next job", 6*time.Minute, func() bool { return r.mem.Job.Offer.Release == "hawkbit:4" })
		if a.outcome != "canceled" || r.state() != update.Downloading {
			t.Errorf("the server has %q, the job is in %s", a.outcome, r.state())
		}
	})
}

// What the server does not offer any more is not installed.
func TestTakenBack(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.begun()
		r.ready()
		h.do(func() { a.inactive = true }) // force quit, without a word to the robot
		r.until("giving up", 6*time.Minute, func() bool { return r.state() == update.Failed })
		r.wait(time.Hour)
		h.do(func() { a.inactive = false }) // and offered again
		r.crash()
		r.until("the second job", 10*time.Minute, func() bool { return r.triggers == 2 })
		for _, f := range h.heard(a) {
			if strings.HasPrefix(f, "closed") {
				t.Errorf("it was told %s, though the server took it back", f)
			}
		}
	})
}

// On trial it is too late to take anything back; how it ends is told, and 410
// means that the server knows.
func TestTakenBackTooLate(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.begun()
		r.wait(time.Second)
		r.ready()
		r.flashes()
		told := h.count("POST")
		h.do(func() { a.inactive = true })
		r.wait(10 * time.Minute)
		if r.state() != update.Validating {
			t.Fatalf("it is in %s", r.state())
		}
		for i := range 10 { // it goes on for long, and nobody wants to know
			r.moves(float64(i) / 10)
			r.wait(time.Minute)
		}
		// One brought the 410 home, unless the progress was just not worth one.
		if n := h.count("POST"); n > told+1 || r.cancels != 0 {
			t.Errorf("%d more feedbacks, %d cancels", n-told, r.cancels)
		}
		told = h.count("POST")
		r.passes()
		r.wait(time.Hour)
		if n := h.count("POST"); n != told+1 {
			t.Errorf("the end was told %d times", n-told)
		}
	})
}

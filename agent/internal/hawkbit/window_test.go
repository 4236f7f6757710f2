package hawkbit

import (
	"slices"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

func TestMaintenanceWindow(t *testing.T) {
	for _, name := range []string{"window", "window, and links without ?c=", "download only"} {
		t.Run(name, func(t *testing.T) {
			only := name == "download only"
			a := &assignment{id: "3", version: "0.2.1", only: only, plain: name != "window"}
			if !only {
				a.window = windowShut
			}
			h := newHawk(a)
			play(t, h, func(t *testing.T, r *rig) {
				r.begun()
				if r.held() == "" {
					t.Fatal("nothing holds the engine back while the window is shut")
				}
				r.ready()
				r.happen(update.Blocked{Reasons: []preflight.Reason{{Code: preflight.Inhibited, Text: r.held(), Lift: "x"}}})
				r.wait(time.Second)
				if got := h.heard(a); !slices.Contains(got, "downloaded/none") {
					t.Errorf("the server heard %q", got)
				}
				if only { // with that it is done
					r.until("the end", 10*time.Minute, func() bool { return r.state() == update.Failed && r.held() == "" })
					r.wait(time.Hour)
					if a.outcome != "downloaded" || r.triggers != 1 {
						t.Errorf("the server has %q after %d triggers", a.outcome, r.triggers)
					}
					return
				}
				if got := h.heard(a); !slices.Contains(got, "scheduled/none") {
					t.Errorf("the server heard %q", got)
				}
				h.do(func() { h.down = true }) // without the server the window stays shut
				for range 30 {
					r.wait(time.Hour)
					if r.held() == "" {
						t.Fatal("the hold lapsed")
					}
				}
				if !a.plain {
					r.crash()
				}
				if r.held() == "" {
					t.Fatal("the hold did not survive a restart")
				}
				h.do(func() { h.down, a.window = false, "available" })
				r.until("the release", 20*time.Minute, func() bool { return r.held() == "" })
				r.flashes()
				r.passes()
				r.wait(time.Minute)
				if a.outcome != "finished" || r.triggers != 1 {
					t.Errorf("the server has %q after %d triggers", a.outcome, r.triggers)
				}
			})
		})
	}
}

// What the agent did before it ended is known before its engine takes the
// first step.
func TestStandsAtOnceAfterARestart(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", window: windowShut}
	play(t, newHawk(a), func(t *testing.T, r *rig) {
		r.begun()
		r.stop()
		r.start()
		if s, _ := r.link.stands("3"); s != atWork {
			t.Errorf("it stands %d", s)
		}
		r.wait(time.Second)
		if r.held() == "" {
			t.Error("nothing holds the engine back")
		}
	})
}

// To look what is offered does not shorten what holds.
func TestPlanWhileHeldBack(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", window: windowShut}
	play(t, newHawk(a), func(t *testing.T, r *rig) {
		r.begun()
		if _, _, err := r.link.Check(t.Context(), version("0.2.0")); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			r.wait(time.Second)
			if r.held() == "" {
				t.Fatal("nothing holds the engine back")
			}
		}
	})
}

// The hold is the job's: what else is asked for is not held back.
func TestHoldEndsWithTheJob(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", window: windowShut}
	play(t, newHawk(a), func(t *testing.T, r *rig) {
		r.begun()
		_ = r.Cancel(t.Context())
		r.wait(time.Second)
		if h := r.held(); h != "" {
			t.Errorf("still held back: %s", h)
		}
	})
}

func TestDownloadSkip(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", kind: skip}
	h := newHawk(a)
	play(t, h, func(t *testing.T, r *rig) {
		r.wait(time.Hour)
		if _, ok, err := r.link.Check(t.Context(), version("0.2.0")); ok || err != nil {
			t.Errorf("offered: %t, %v", ok, err)
		}
		if r.triggers != 0 || len(a.statuses) != 0 {
			t.Errorf("%d triggers, heard %q", r.triggers, h.heard(a))
		}
		h.do(func() { a.kind = attempt })
		r.begun()
	})
}

// A soft deployment that becomes a forced one is begun anew, so that the
// engine knows.
func TestSoftBecomesForced(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.begun()
		r.ready()
		h.do(func() { a.kind = forced })
		r.until("the second job", 10*time.Minute, func() bool { return r.mem.Job.Offer.Forced })
		if r.mem.Job.Request.Force {
			t.Error("the server's force became the operator's, which opens the way back to older versions")
		}
		r.installs()
		r.wait(time.Minute)
		if a.outcome != "finished" {
			t.Errorf("the server has %q", a.outcome)
		}
	})
}

func TestConsent(t *testing.T) {
	for _, auto := range []bool{true, false} {
		a := &assignment{id: "3", version: "0.2.1", confirm: true}
		h := newHawk(a)
		play(t, h, func(t *testing.T, r *rig) {
			if auto {
				r.begun()
				if !slices.Equal(h.consents, []string{"3 confirmed"}) {
					t.Errorf("consents %q", h.consents)
				}
				return
			}
			r.wait(time.Hour)
			if len(h.consents) != 0 || r.triggers != 0 {
				t.Errorf("consents %q, %d triggers", h.consents, r.triggers)
			}
			h.do(func() { a.confirm = false }) // the operator, at the server
			r.begun()
		}, func(r *rig) { r.confirm = auto })
	}
}

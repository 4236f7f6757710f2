package hawkbit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// A deployment from the assignment to its end, as the server sees it.
func TestGoodDeployment(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.begun()
		if j := r.mem.Job; j.Request.Origin != update.FromHawkbit || j.Request.Command != "hawkbit:3" || j.Offer.Release != "hawkbit:3" ||
			j.Offer.SHA256 != digestOf(h.file) || j.Offer.Size != int64(len(h.file)) || j.Offer.Version != version("0.2.1") || j.Offer.Forced {
			t.Errorf("the job is %+v", j)
		}
		r.wait(time.Second)
		r.ready()
		r.wait(time.Second)
		r.happen(lowBattery())
		r.wait(time.Second)
		r.flashes()
		r.wait(2 * time.Second)
		if slices.Contains(h.heard(a), "closed/success") {
			t.Error("success was told before the slot was confirmed")
		}
		r.passes()
		r.wait(time.Second)
		want := []string{"proceeding/none", "downloaded/none", "scheduled/none", "proceeding/none", "closed/success"}
		if got := h.heard(a); !slices.Equal(got, want) || a.outcome != "finished" {
			t.Errorf("the server heard %q (%s), want %q", got, a.outcome, want)
		}
		if d := strings.Join(a.statuses[2].Status.Details, "; "); d != "waiting until the robot may be updated; battery_low: the battery is at 40 %; waits for: charge above 50 %" {
			t.Errorf("the deferral says %s", d)
		}
		if d := strings.Join(a.statuses[4].Status.Details, "; "); d != "0.2.1 runs in ota_1 and is confirmed; healthy for 30 s" {
			t.Errorf("the success says %s", d)
		}
		// The server asks for the attributes again after an installation.
		r.until("the attributes", 6*time.Minute, func() bool { return h.attrs["firmware_version"] == "0.2.1" })
		for k, want := range map[string]string{"slot": "ota_1", "sku": "standard", "last_outcome": "confirmed", "last_action": "3", "sw_version": "0.2.1", "agent_version": "1.0"} {
			if h.attrs[k] != want {
				t.Errorf("attribute %s is %q, want %q", k, h.attrs[k], want)
			}
		}
		if h.puts[0].Mode != "merge" {
			t.Errorf("mode %q", h.puts[0].Mode)
		}
		r.wait(time.Hour)
		if r.triggers != 1 || r.state() != update.Observing {
			t.Errorf("%d triggers, now %s", r.triggers, r.state())
		}
	})
}

// How jobs end, and what the server hears of it.
func TestEndings(t *testing.T) {
	fail := func(code string) update.EffectFailed { return update.EffectFailed{Code: code, Text: "it broke"} }
	tests := []struct {
		name    string
		end     func(r *rig)
		outcome string
		details string // in the closing feedback
	}{
		{"signature", func(r *rig) { r.happen(update.Fetched{}, fail("signature")) }, "error", "the robot was not updated; signature in verifying: it broke"},
		{"no room", func(r *rig) { r.happen(fail("disk_full")) }, "error", "disk_full in downloading"},
		{"chip silent", func(r *rig) {
			r.ready()
			r.happen(update.Clear{}, update.LineTaken{}, fail("no_answer"))
		}, "error", "no_answer in connecting"},
		{"cancelled at the robot", func(r *rig) { _ = r.Cancel(r.t.Context()) }, "error", "cancelled in downloading"},
		{"fell back by itself", func(r *rig) { r.ready(); r.flashes(); r.fails() }, "error",
			"0.2.1 was rolled back: ota_0 runs what ran before; self_test_failed in validating: the self-test failed; self_test failed"},
		{"put back", func(r *rig) {
			r.ready()
			r.flashes()
			r.happen(update.TrialFailed{Code: "silent", Text: "no sign of life"})
			r.wait(time.Minute)
			if got := r.hawk.actions[0]; got.inactive {
				r.t.Error("closed while it is being put back")
			}
			r.happen(update.Restored{Evidence: []string{"ota_0 boots"}})
		}, "error", "silent in validating: no sign of life; ota_0 boots"},
		{"very image runs, valid", func(r *rig) { r.happen(update.Fetched{}, fail("already_running")) }, "finished", "it broke"},
		{"very image runs, on trial", func(r *rig) {
			w := r.board.Facts().Firmware
			w.OTAState = "pending_verify"
			r.board.Post(w)
			r.happen(update.Fetched{}, fail("already_running"))
		}, "error", "already_running in verifying"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
				r.begun()
				r.wait(time.Second)
				tt.end(r)
				r.wait(time.Second)
				details := ""
				if n := len(a.statuses); n > 0 {
					details = strings.Join(a.statuses[n-1].Status.Details, "; ")
				}
				if a.outcome != tt.outcome || !strings.Contains(details, tt.details) {
					t.Errorf("the server has %q: %s\nwant %q: %s", a.outcome, details, tt.outcome, tt.details)
				}
				for _, f := range a.statuses {
					if f.Status.Execution == closed && f.Status.Result.Finished == none {
						t.Error("closed/none counts as success")
					}
				}
				triggers := r.triggers
				r.wait(time.Hour)
				if r.triggers != triggers {
					t.Error("it was begun again")
				}
			})
		})
	}
}

// A roll-back after success was told is told by the attributes.
func TestRollbackInTheObservation(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.begun()
		r.installs()
		r.wait(10 * time.Minute)
		r.happen(update.Fired{Code: "reboots", Text: "4 reboots in 5 min"})
		r.wait(time.Minute)
		r.runs("0.2.0", "ota_0", "aa")
		r.happen(update.Standing{}, update.Restored{})
		r.wait(10 * time.Minute)
		if h.attrs["last_outcome"] != "rolled_back" || h.attrs["firmware_version"] != "0.2.0" || h.attrs["last_reason"] != "reboots: 4 reboots in 5 min" {
			t.Errorf("attributes %v", h.attrs)
		}
		if got := h.heard(a); got[len(got)-1] != "closed/success" || r.triggers != 1 {
			t.Errorf("the server heard %q, %d triggers", got, r.triggers)
		}
	})
}

// While the server is away an ending is kept; one that became untrue in the
// meantime is told as it turned out.
func TestEndWhileTheServerIsAway(t *testing.T) {
	for name, tt := range map[string]struct {
		then    func(r *rig)
		outcome string
	}{
		"confirmed": {func(*rig) {}, "finished"},
		"a trigger fired": {func(r *rig) {
			r.happen(update.Fired{Code: "reboots", Text: "4 reboots"})
			r.hawk.do(func() { r.hawk.down = false })
			r.wait(20 * time.Minute)
			if r.hawk.actions[0].inactive {
				r.t.Error("closed while it is being put back")
			}
			r.runs("0.2.0", "ota_0", "aa")
			r.happen(update.Standing{}, update.Restored{})
		}, "error"},
		"an operator rolled it back": {func(r *rig) {
			if err := r.apply(update.RollbackAsked{ID: "back", Reason: "it hums", Origin: update.FromCLI}); err != nil {
				r.t.Error(err)
			}
			r.runs("0.2.0", "ota_0", "aa")
			r.happen(update.Standing{}, update.Restored{})
		}, "error"},
		"the agent died": {func(r *rig) { r.crash() }, "finished"},
	} {
		t.Run(name, func(t *testing.T) {
			assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
				r.begun()
				r.ready()
				r.flashes()
				h.do(func() { h.down = true })
				r.passes()
				r.wait(time.Hour)
				tt.then(r)
				h.do(func() { h.down = false })
				r.wait(20 * time.Minute)
				if a.outcome != tt.outcome {
					t.Errorf("the server has %q, want %q", a.outcome, tt.outcome)
				}
			})
		})
	}
}

// The agent dies at any point, and its notes may be one step behind.
func TestCrash(t *testing.T) {
	steps := []struct {
		name string
		do   func(r *rig)
	}{
		{"downloading", func(*rig) {}},
		{"waiting", func(r *rig) { r.ready() }},
		{"trial", func(r *rig) { r.ready(); r.flashes() }},
		{"observing", func(r *rig) { r.installs() }},
		{"rolled back", func(r *rig) { r.ready(); r.flashes(); r.fails() }},
		{"failed", func(r *rig) { r.happen(update.EffectFailed{Code: "disk_full", Text: "full"}) }},
	}
	for _, s := range steps {
		for _, deaf := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, last step not noted: %t", s.name, deaf), func(t *testing.T) {
				assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
					r.begun()
					r.wait(time.Second)
					if deaf {
						r.observer = nobody{}
					}
					s.do(r)
					r.crash()
					r.wait(time.Second)
					r.finish()
					r.wait(10 * time.Minute)
					want := "finished"
					if s.name == "rolled back" || s.name == "failed" {
						want = "error"
					}
					if a.outcome != want || r.triggers != 1 {
						t.Errorf("the server has %q after %d triggers, want %q; it heard %q", a.outcome, r.triggers, want, h.heard(a))
					}
					told := h.count("POST")
					r.crash()
					r.wait(10 * time.Minute)
					if n := h.count("POST"); n != told {
						t.Errorf("after another restart %d more was told", n-told)
					}
				})
			})
		}
	}
}

// nobody hears of steps.
type nobody struct{}

func (nobody) Stepped(update.Memory, update.Memory, string) {}

// finish takes a job from where the restarted engine has it to its good end.
func (r *rig) finish() {
	switch r.state() {
	case update.Downloading:
		r.installs()
	case update.Waiting:
		r.flashes()
		r.passes()
	case update.Booting:
		r.happen(update.Up{})
		r.passes()
	default:
	}
}

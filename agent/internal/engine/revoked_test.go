package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// revoke takes the key of the offered image out of the ring.
func (r *rig) revoke() { r.keys = r.keys.Without(r.keys.IDs()...) }

// The key that signed the image is revoked after the image was verified: it is
// refused at the next step, whichever that is, and the old firmware runs on.
func TestTheKeyIsRevokedMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name  string
		at    update.State // entered when the key is revoked
		in    update.State // in which it is refused
		taken bool         // the serial line was taken by then
	}{
		{"while the robot waits", update.Waiting, update.Handover, false},
		{"before the hand-over", update.Handover, update.Handover, false},
		{"after the line was taken", update.Connecting, update.Connecting, true},
		{"while the image is written", update.Writing, update.Attesting, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				r.do(func() {
					r.battery = 0.3 // so that it waits
					r.onSave = func(s update.State) {
						if s == tt.at {
							r.revoke()
						}
					}
				})
				time.Sleep(time.Second)
				trigger(t, e)
				wait(t, e, update.Waiting)
				time.Sleep(time.Hour)
				r.do(func() { r.battery = 0.9 })
				s := wait(t, e, update.Failed, update.Observing)
				if s.Failure == nil || s.Failure.Code != "key_revoked" || s.Failure.State != tt.in ||
					!strings.Contains(s.Failure.Text, "the image was verified before and is not accepted any more") {
					t.Fatalf("%+v, %+v", s, s.Failure)
				}
				time.Sleep(5 * time.Second)
				if r.did("take") != tt.taken || r.did("switch") {
					t.Errorf("the agent did %v", r.log)
				}
				r.ends(t, 0, tt.name)
			})
		})
	}
}

// A restart does not bring a verified image through: it is proved with the keys
// of then.
func TestTheKeyIsRevokedWhileTheAgentIsDown(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.battery = 0.3 })
		time.Sleep(time.Second)
		trigger(t, e)
		wait(t, e, update.Waiting)
		r.die(string(update.Handover))
		r.do(func() { r.battery = 0.9 })
		for !r.killed() {
			time.Sleep(time.Second)
		}
		r.do(r.revoke)
		r.thaw()
		again, kill := r.engine(t.Context())
		defer kill()
		if s := wait(t, again, update.Failed, update.Observing); s.Failure == nil || s.Failure.Code != "key_revoked" {
			t.Fatalf("%+v, %+v", s, s.Failure)
		}
		time.Sleep(5 * time.Second)
		r.ends(t, 0, "after the restart")
	})
}

package engine_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// TestObserverMissesNoStep: whoever reads Status may come too late for a fast
// state; the observer sees each one, and each where the one before ended.
func TestObserverMissesNoStep(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		trigger(t, e)
		wait(t, e, update.Observing)
		r.mu.Lock()
		defer r.mu.Unlock()
		var states []update.State
		for i, s := range r.steps {
			if i > 0 && !reflect.DeepEqual(s.before, r.steps[i-1].after) {
				t.Errorf("step %d begins with %+v, the one before ended with %+v", i, s.before, r.steps[i-1].after)
			}
			if s.event == "" {
				t.Errorf("step %d names no event", i)
			}
			if s.before.Job.State != s.after.Job.State {
				states = append(states, s.after.Job.State)
			}
		}
		want := []update.State{update.Checking, update.Downloading, update.Verifying, update.Waiting, update.Handover, update.Connecting,
			update.Writing, update.Attesting, update.Booting, update.Validating, update.Confirmed, update.Observing}
		if !slices.Equal(states, want) {
			t.Errorf("got %v, want %v", states, want)
		}
	})
}

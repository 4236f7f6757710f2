package engine_test

import (
	"reflect"
	"slices"
	"sync/atomic"
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

// early notes what Status says when a step is told.
type early struct {
	status func() update.Status
	faults *[]string
}

func (o early) Stepped(before, after update.Memory, _ string) {
	if s := o.status(); before.Job.State != after.Job.State && s.State != before.Job.State {
		*o.faults = append(*o.faults, string(s.State)+" is told before the step to it")
	}
}

// TestStatusComesAfterTheStep: whoever writes the steps down has done so before
// anybody can read of one.
func TestStatusComesAfterTheStep(t *testing.T) {
	var e atomic.Pointer[engine.Engine] // nil in the step of the start
	var faults []string
	enliven(t, func(r *rig, _ <-chan struct{}) engine.Ports {
		p := plain(r)
		p.Observer = early{func() update.Status {
			if core := e.Load(); core != nil {
				return core.Status()
			}
			return update.Status{State: update.Idle}
		}, &faults}
		return p
	}, func(t *testing.T, _ *rig, running *engine.Engine) {
		e.Store(running)
		trigger(t, running)
		wait(t, running, update.Observing)
	})
	if len(faults) > 0 {
		t.Error(faults)
	}
}

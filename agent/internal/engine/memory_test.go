package engine_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// An image is held while it is written, not while an update waits for days or a
// firmware is observed.
func TestAnImageIsNotHeldForLong(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.large(); r.battery = 0.1 })
		time.Sleep(time.Second)
		before := heap()
		trigger(t, e)
		wait(t, e, update.Waiting)
		time.Sleep(time.Minute)
		if more := heap() - before; more > largeImage/2 {
			t.Errorf("%d bytes more while it waits", more)
		}
		r.do(func() { r.battery = 0.9 })
		wait(t, e, update.Writing)
		if more := heap() - before; more < largeImage/2 {
			t.Errorf("%d bytes more while it writes: what is measured?", more)
		}
		wait(t, e, update.Observing)
		if more := heap() - before; more > largeImage/2 {
			t.Errorf("%d bytes more while it is observed", more)
		}
	})
}

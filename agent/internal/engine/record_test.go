package engine_test

import (
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// The disk is full when a job ends, and stays so: its record, and those of the
// jobs that fail of it, are written once there is room.
func TestRecordsOfAFullDiskAreWrittenLater(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		first := trigger(t, e)
		wait(t, e, update.Writing)
		r.do(func() { r.noSpace = true })
		wait(t, e, update.Failed)
		time.Sleep(time.Minute)
		second := trigger(t, e)
		wait(t, e, update.Failed)
		time.Sleep(time.Hour)
		if n := len(r.records()); n != 0 {
			t.Fatalf("%d records on a full disk", n)
		}
		r.do(func() { r.noSpace = false })
		time.Sleep(2 * time.Minute)
		got := r.records()
		if len(got) != 2 || got[0].JobID != first || got[1].JobID != second || got[0].Outcome != update.Failed || len(got[0].Durations) == 0 {
			t.Errorf("history %+v", got)
		}
	})
}

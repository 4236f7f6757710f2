package engine_test

import (
	"strings"
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

// Records tell how many bytes came, and whether as a patch; the status tells of a
// patch while it comes.
func TestRecordsTellTheBytes(t *testing.T) {
	for _, patched := range []bool{false, true} {
		play(t, func(t *testing.T, r *rig, e *engine.Engine) {
			r.do(func() { r.patched, r.slow = patched, true })
			if _, err := e.Trigger(t.Context(), update.Request{Origin: update.FromCLI}); err != nil {
				t.Fatal(err)
			}
			wait(t, e, update.Downloading)
			time.Sleep(time.Second)
			s := e.Status()
			if s.Patch != patched || strings.Contains(s.Message, "downloading a patch, https://u/p") != patched {
				t.Errorf("patched %v: status %+v", patched, s)
			}
			wait(t, e, update.Observing)
			want := int64(len(r.file))
			if patched {
				want = patchBytes
			}
			got := r.records()
			if len(got) != 1 || got[0].Downloaded != want || got[0].Patched != patched {
				t.Fatalf("patched %v: history %+v", patched, got)
			}
		})
	}
}

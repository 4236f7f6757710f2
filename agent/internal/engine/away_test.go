package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// The time without firmware runs from the first way into the loader to the
// first word of the new firmware, attempts that failed included.
func TestTheTimeWithoutFirmwareIsTold(t *testing.T) {
	for _, failing := range []int{0, 1} {
		t.Run(fmt.Sprintf("%d attempts fail", failing), func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				var taken time.Time
				r.do(func() {
					r.failAt["connect"] = failing
					r.onOp = func(op string) {
						if op == "connect" && taken.IsZero() {
							taken = time.Now()
						}
					}
				})
				trigger(t, e)
				spoke := wait(t, e, update.Validating).Since
				wait(t, e, update.Observing)
				record := r.records()[0]
				want := spoke.Sub(taken).Seconds()
				if want < 3 || record.AwaySeconds != want {
					t.Errorf("away for %v s by the history, want %v, and writing alone takes 3", record.AwaySeconds, want)
				}
				said := fmt.Sprintf("the firmware was away for %.1f s, from the reset into the loader to its first word", want)
				if !slices.Contains(record.Evidence, said) {
					t.Errorf("evidence %q, want %q in it", record.Evidence, said)
				}
			})
		})
	}
}

// What needs no chip is done before the line is taken, and not kept for longer
// than it is needed.
func TestTheImageIsPreparedWhileTheFirmwareRuns(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		late := false
		r.do(func() {
			r.onOp = func(op string) {
				if op == "take" {
					r.do(func() { late = r.prepared.IsZero() })
				}
			}
		})
		trigger(t, e)
		wait(t, e, update.Observing)
		r.do(func() {
			if late {
				t.Error("nothing was prepared when the line was taken")
			}
			if !r.prepared.IsZero() {
				t.Error("what was prepared is still there when the new firmware is observed")
			}
		})
	})
}

package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
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

// An update that fails, or whose firmware is put back, tells it as well: each
// record of the time since the one before.
func TestTheTimeWithoutFirmwareIsToldOfOnesThatFail(t *testing.T) {
	for name, tt := range map[string]struct {
		next    nature
		failing int // writes
		turns   bool
		outcome update.State
		said    string
	}{
		"every attempt fails":          {good, 3, false, update.Failed, "the firmware had been away for %.1f s when the update failed"},
		"it speaks and is put back":    {hang, 0, false, update.RolledBack, "the firmware was away for %.1f s in all"},
		"it never speaks":              {silent, 0, false, update.RolledBack, "the firmware was away for %.1f s in all"},
		"its bootloader puts it back":  {crash, 0, false, update.RolledBack, "the firmware was away for %.1f s in all"},
		"it turns bad when it is kept": {good, 0, true, update.RolledBack, "the firmware was away for %.1f s in all"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig, e *engine.Engine) {
				a := absence{rig: r}
				r.do(func() { r.next, r.failAt["write"] = tt.next, tt.failing })
				go a.follow(t.Context())
				trigger(t, e)
				var before time.Duration
				if tt.turns {
					wait(t, e, update.Observing)
					before = a.so(t)
					r.do(func() { r.estop = robot.EStop{Stopped: true, State: robot.EStopStopped, Reason: "overcurrent"} })
				}
				wait(t, e, tt.outcome)
				records := r.records()
				record := records[len(records)-1]
				told := record.AwaySeconds
				if want := (a.so(t) - before).Seconds(); record.Outcome != tt.outcome || told < want-2.1 || told > want+2.1 || told <= 0 {
					t.Errorf("%s: away for %v s by the history, %v s by the robot", record.Outcome, told, want)
				}
				if said := fmt.Sprintf(tt.said, told); !slices.ContainsFunc(record.Evidence, func(s string) bool { return strings.HasPrefix(s, said) }) {
					t.Errorf("evidence %q, want %q in it", record.Evidence, said)
				}
			})
		})
	}
}

// absence is how long no firmware has spoken, by someone who only listens.
type absence struct {
	*rig
	mu   sync.Mutex
	last time.Time // it spoke
	all  time.Duration
}

// follow counts silences of more than a second, to a second.
func (a *absence) follow(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := a.board.Facts().Firmware.At
		a.mu.Lock()
		if gap := at.Sub(a.last); !a.last.IsZero() && gap > time.Second {
			a.all += gap
		}
		a.last = at
		a.mu.Unlock()
	}
}

// so is how long so far, what goes on included.
func (a *absence) so(t *testing.T) time.Duration {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if gap := time.Since(a.last); gap > time.Second {
		return a.all + gap
	}
	return a.all
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

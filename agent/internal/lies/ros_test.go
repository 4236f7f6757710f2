package lies

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// absurd is something that no robot says of itself, and any DDS participant may.
// When it was heard is the one thing that its sender has no say in.
func absurd(rng *rand.Rand, at time.Time) robot.Observation {
	numbers := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e308, math.Copysign(0, -1), 80, 1.0001, math.SmallestNonzeroFloat64}
	x := numbers[rng.IntN(len(numbers))]
	text := []string{"", "\x00", strings.Repeat("x", 512), "\x1b[31m", "NORMAL ", "normal\n", "ＮＯＲＭＡＬ"}[rng.IntN(7)]
	switch rng.IntN(8) {
	case 0:
		return robot.Battery{Fraction: x, Charging: rng.IntN(2) == 0, At: at}
	case 1:
		return robot.EStop{Stopped: rng.IntN(2) == 0, State: robot.EStopState(rng.IntN(256)), Reason: text, At: at}
	case 2:
		return robot.Odometry{Linear: x, Angular: x, Messages: math.MaxUint64, At: at}
	case 3:
		return robot.Command{Linear: x, Angular: x, At: at}
	case 4:
		return robot.Diagnostic{Name: robotID + fmt.Sprintf("/%d", rng.IntN(100_000)), Level: robot.Level(rng.IntN(256)), Message: text, At: at,
			Values: map[string]string{text: strings.Repeat("y", 512)}}
	case 5:
		return robot.Conditions{RSSI: robot.Value{Text: text, At: at}, Thermal: robot.Value{Text: text, At: at}}
	case 6:
		return robot.Firmware{SafetyState: text, Motors: text, SelfTest: text, Slot: text, OTAState: text, BootCount: rng.Uint64(), At: at}
	default:
		return robot.DTLS{Tries: rng.Uint64(), Failures: rng.Uint64(), Err: text, At: at}
	}
}

// TestHostileROSPeers: while others on the robot's network talk nonsense in its
// name, a proven update waits and does not touch the chip; triggers of theirs by the
// thousand begin one job at a time; memory stays what it was. When they fall silent,
// the update goes on by itself.
func TestHostileROSPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newSubject(t, w, settings{})
	w.server.honest("0.2.1", w.signed(testimage.Spec{Version: "0.2.1"}))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	said := make([]int, 4)
	for i := range said {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1)) //nolint:gosec // the same ones again
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				r.board.Post(absurd(rng, time.Now()))
				said[i]++
			}
		})
	}
	if got := r.check(); got != accepted {
		t.Error(got)
	}
	began := 0
	for i := range 2000 {
		_, err := r.core.Trigger(t.Context(), update.Request{Origin: update.FromROS, URL: fmt.Sprintf("https://127.0.0.1:1/%d", i)})
		if err == nil {
			began++
		}
		_ = r.core.Inhibit(t.Context(), fmt.Sprintf("peer-%d\x1b", i), "because", time.Hour)
		_, _ = r.core.Rollback(t.Context(), "because", update.FromROS)
	}
	if began != 0 {
		t.Errorf("%d jobs began beside the one that waits", began)
	}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s := r.core.Status(); s.State != update.Waiting {
			t.Fatalf("it went on amid nonsense: %+v", s)
		}
	}
	if wrong := r.untouched(); wrong != "" {
		t.Error(wrong)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
	if n := len(r.board.Facts().Diagnostics); n > robot.MaxDiagnostics {
		t.Errorf("%d names are remembered", n)
	}
	close(stop)
	wg.Wait()
	r.eventually("the update goes on", func() bool {
		now := time.Now() // what was heard once must be heard again to count
		for _, o := range []robot.Observation{robot.Odometry{At: now}, robot.Command{At: now},
			robot.Conditions{RSSI: robot.Value{Text: "-50", At: now}, Thermal: robot.Value{Text: "ok", At: now}}} {
			r.board.Post(o)
		}
		return r.taken.Load() > 0
	})
	total := 4000
	for _, n := range said {
		total += n
	}
	r.done()
	report(t, figures{Part: "lies: hostile ROS peers", Points: total, Failures: failures(t)})
}

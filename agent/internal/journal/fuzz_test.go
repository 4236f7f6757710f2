package journal

import (
	"math"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/watch"
)

// FuzzBaseline: what a file says of the robot is taken for what can have been
// counted, or for nothing.
func FuzzBaseline(f *testing.F) {
	f.Add([]byte(`{"seconds":3600,"odometry":180000,"tries":20,"failures":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := open(t, t.TempDir())
		put(t, j.baseline(), data)
		kept, err := j.Baseline()
		if err != nil {
			kept = watch.Tally{}
		}
		l := watch.NewLearner(kept)
		b := l.Baseline()
		for _, x := range []float64{b.Seconds, b.Odometry, b.Diagnostics, b.Battery, b.Used, b.Discharging, b.Tries, b.Failures} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("%s gives %+v", data, b)
			}
		}
	})
}

// FuzzSpeed: a file of the line's speed is read, or refused and zero.
func FuzzSpeed(f *testing.F) {
	f.Add([]byte(`{"baud":460800,"at":"2026-01-02T03:04:05Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := open(t, t.TempDir())
		put(t, j.speed(), data)
		if baud, at, err := j.Speed(); err != nil && (baud != 0 || !at.IsZero()) {
			t.Fatalf("refused, and %d at %v", baud, at)
		}
	})
}

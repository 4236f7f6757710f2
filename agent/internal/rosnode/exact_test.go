package rosnode

import (
	"math"
	"testing"
)

// A charge is the number that the robot meant: what is just a threshold is not
// above it.
func TestAChargeIsExact(t *testing.T) {
	for f, want := range map[float32]float64{0.6: 0.6, 0.8: 0.8, 0.55: 0.55, 0.5: 0.5, 0: 0, 1: 1, 0.50000006: 0.50000006} {
		if got := battery(f, 0, noon).Fraction; got != want {
			t.Errorf("%v became %v", want, got)
		}
	}
	for _, f := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		if got := battery(f, 0, noon).Fraction; !math.IsNaN(got) && got != float64(f) {
			t.Errorf("%v became %v", f, got)
		}
	}
}

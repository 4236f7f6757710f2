package rosnode

import (
	"math"
	"strconv"
)

// exact is the number that was meant by a float32: 0.6, not 0.6000000238. A
// charge that is just the threshold must not be above it.
func exact(f float32) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil { // it never is
		return math.NaN()
	}
	return v
}

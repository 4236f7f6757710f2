package rosnode

import (
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// Odometry comes 50 times a second, and most of it is only counted: that makes
// no garbage.
func TestCountedOdometryMakesNoGarbage(t *testing.T) {
	e, th, now := newEars(), thinner{every: time.Hour}, time.Now()
	th.pass(motion([3]float64{1, 0, 0}, [3]float64{}, now))
	made := testing.AllocsPerRun(1000, func() {
		e.hear(robot.OdomRole, now)
		th.thin(motion([3]float64{0.5, 0.1, 0}, [3]float64{}, now))
	})
	if made != 0 {
		t.Errorf("%v pieces of memory for each message", made)
	}
}

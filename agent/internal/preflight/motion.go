package preflight

import (
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// Motion is what a roll-back has to wait for before it resets the chip: motion
// that is seen. It is the gates' opposite in what is unknown: the firmware that
// runs was found bad, so to wait needs a reason. live is false where there is
// nothing to wait for: the firmware is silent, and with it the control of the
// motors, or an emergency stop is pressed. oldest is the moment of the oldest
// reading that counted.
func Motion(f robot.Facts, p Policy, now time.Time) (seen []Reason, oldest time.Time, live bool) {
	g := gates{policy: p, now: now}
	if spoken, _ := g.fresh(f.Firmware.At); !spoken {
		return nil, time.Time{}, false
	}
	if known, _ := g.fresh(f.EStop.At); known && (f.EStop.Stopped || f.EStop.State == robot.EStopStopped) {
		return nil, time.Time{}, false
	}
	oldest = f.Firmware.At
	if f.Firmware.MotorsBusy() {
		g.shut(MotorsBusy, "motors idle", "the firmware reports motors %q", f.Firmware.Motors)
	}
	if measured, _ := g.fresh(f.Odometry.At); measured {
		if f.Odometry.At.Before(oldest) {
			oldest = f.Odometry.At
		}
		if !g.still(f.Odometry) {
			g.shut(Moving, "the robot standing still", "the robot moves at %.2f m/s, %.2f rad/s", f.Odometry.Linear, f.Odometry.Angular)
		}
	}
	if asked, _ := g.fresh(f.Command.At); asked && !g.still(f.Command) {
		g.shut(Commanded, "no motion asked for", "motion is asked for (%.2f m/s, %.2f rad/s)", f.Command.Linear, f.Command.Angular)
	}
	return g.reasons, oldest, true
}

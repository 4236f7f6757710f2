package preflight

import (
	"fmt"
	"math"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

func (g *gates) battery(b robot.Battery) {
	if g.policy.Mains {
		return
	}
	ok, why := g.fresh(b.At)
	switch {
	case !ok:
		g.shut(BatteryUnknown, "a fresh reading on the battery topic", "the battery %s", why)
	case math.IsNaN(b.Fraction) || b.Fraction < 0 || b.Fraction > 1:
		g.shut(BatteryUnknown, "a battery reading between 0 and 1", "the battery reports a charge of %v", b.Fraction)
	case b.Fraction <= g.policy.MinBattery:
		g.shut(BatteryLow, fmt.Sprintf("charge above %.0f %%", g.policy.MinBattery*100),
			"the battery is at %.0f %%, and must be above %.0f %%", b.Fraction*100, g.policy.MinBattery*100)
	}
}

func (g *gates) estop(e robot.EStop) {
	ok, why := g.fresh(e.At)
	switch {
	case !ok:
		g.shut(EStopUnknown, "a fresh emergency stop state", "the emergency stop state %s", why)
	case !e.Clear():
		text := "the emergency stop is pressed"
		if !e.Stopped && e.State == robot.EStopRecovery {
			text = "the robot is recovering from an emergency stop"
		}
		if e.Reason != "" {
			text += fmt.Sprintf(" (%s)", e.Reason)
		}
		g.shut(EStopActive, "releasing the emergency stop", "%s", text)
	}
}

// motion asks whether the robot stands: by its odometry, and where it has none
// by the firmware's word on its motors. Neither is no rest. A command to move
// counts while it is fresh; when its sender dies, those two tell what became
// of the motion.
func (g *gates) motion(f robot.Facts) {
	measured, why := g.fresh(f.Odometry.At)
	spoken, _ := g.fresh(f.Firmware.At)
	switch {
	case measured && !g.still(f.Odometry):
		g.shut(Moving, "the robot standing still", "the robot moves at %.2f m/s, %.2f rad/s",
			f.Odometry.Linear, f.Odometry.Angular)
	case measured:
	case g.policy.NeedOdometry || !f.Odometry.At.IsZero():
		g.shut(MotionUnknown, "odometry arriving again", "whether the robot moves is unknown: odometry %s", why)
	case spoken && f.Firmware.Motors == "":
		g.shut(MotionUnknown, "odometry, or the firmware's word on its motors",
			"whether the robot moves is unknown: odometry %s, and the firmware says nothing of its motors", why)
	}
	if ok, _ := g.fresh(f.Command.At); ok && !g.still(f.Command) {
		g.shut(Commanded, "no motion asked for", "motion is asked for (%.2f m/s, %.2f rad/s)",
			f.Command.Linear, f.Command.Angular)
	}
}

// still is written so that NaN counts as moving.
func (g *gates) still(m robot.Motion) bool {
	return math.Abs(m.Linear) <= g.policy.MaxLinear && math.Abs(m.Angular) <= g.policy.MaxAngular
}

func (g *gates) dock(f robot.Facts) {
	if !g.policy.NeedDock {
		return
	}
	ok, why := g.within(f.Dock.At, g.policy.DockFresh)
	docked, source, lift := f.Dock.Docked, "the dock's state", "the robot being docked"
	if !g.policy.DockTopic {
		ok, why = g.fresh(f.Battery.At)
		docked, source, lift = f.Battery.Charging, "the battery, which tells whether the robot is docked,", "the battery charging, or being full on its charger"
	}
	switch {
	case !ok:
		g.shut(DockUnknown, "fresh news of the dock", "%s %s", source, why)
	case !docked:
		g.shut(Undocked, lift, "the robot is not docked")
	}
}

package preflight

import (
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Policy is what the operator asks for.
type Policy struct {
	// MinBattery is the fraction (0-1) that the charge must exceed; ignored
	// with Mains.
	MinBattery float64
	// Mains says that the robot has no battery to run down.
	Mains bool
	// Fresh is how old a reading may be.
	Fresh time.Duration
	// MaxLinear (m/s) and MaxAngular (rad/s) are what counts as standing still.
	MaxLinear, MaxAngular float64
	// NeedOdometry makes a robot that publishes no odometry wait.
	NeedOdometry bool
	// MinRSSI is what the firmware's Wi-Fi must be received with where it tells,
	// in dBm; 0: anything will do.
	MinRSSI int
	// ThermalOK are the firmware's words for "not too hot"; empty: whatever it
	// says will do.
	ThermalOK []string
	// NeedDock makes a robot wait that is not on its dock. What tells is the
	// dock's own topic, with DockTopic, or else the battery: charging or full.
	NeedDock, DockTopic bool
	// DockFresh is how old the word of the dock's topic may be.
	DockFresh time.Duration
	// Maintenance are the times at which an update may begin; empty: any.
	Maintenance []Window
	// Settle is how long every gate must have been seen open, by readings that
	// came anew; 0: one look is enough.
	Settle time.Duration
	// Companion is the version of the companion's software, against which the
	// protocol of a new firmware is held.
	Companion compat.Version
	Table     compat.Table
}

// DefaultPolicy is the mission's: battery above 50 %, Wi-Fi of -70 dBm or more
// and no thermal warning where they are told, readings of the last 5 s. All of
// it has to hold for 2 s, in which the slowest readings of the fleet's robots
// come twice.
func DefaultPolicy() Policy {
	return Policy{
		MinBattery: 0.5, Fresh: 5 * time.Second, MaxLinear: 0.01, MaxAngular: 0.02,
		MinRSSI: -70, ThermalOK: []string{"ok", "normal", "nominal"}, DockFresh: 5 * time.Second,
		Settle: 2 * time.Second, Table: compat.DefaultTable(),
	}
}

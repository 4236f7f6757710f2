package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Gates decide when the robot may be updated.
type Gates struct {
	MinBattery   float64  `yaml:"min_battery"`   // fraction that must be exceeded, 0-0.99
	Fresh        Duration `yaml:"fresh"`         // age up to which a reading counts, 500 ms - 5 min
	Settle       Duration `yaml:"settle"`        // all gates must have been open for so long, 0-1 min
	MaxLinear    float64  `yaml:"max_linear"`    // standing still, m/s, 0-1
	MaxAngular   float64  `yaml:"max_angular"`   // standing still, rad/s, 0-1
	NeedOdometry bool     `yaml:"need_odometry"` // no odometry at all means not now
	MinRSSI      int      `yaml:"min_rssi"`      // of the firmware's Wi-Fi, where told, dBm, -127 to -1; 0: any
	ThermalOK    []string `yaml:"thermal_ok"`    // the firmware's words for "not too hot", where told; empty: any
	NeedDock     bool     `yaml:"need_dock"`     // not docked means not now
	DockFresh    Duration `yaml:"dock_fresh"`    // age up to which the dock's topic counts, 500 ms - 24 h
	Maintenance  []Window `yaml:"maintenance"`   // when an update may begin; empty: at any time
}

func defaultGates() Gates {
	p := preflight.DefaultPolicy()
	return Gates{
		MinBattery: p.MinBattery, Fresh: Duration(p.Fresh), Settle: Duration(p.Settle),
		MaxLinear: p.MaxLinear, MaxAngular: p.MaxAngular, MinRSSI: p.MinRSSI, ThermalOK: p.ThermalOK, DockFresh: Duration(p.DockFresh),
	}
}

// Policy is what the robot's gates are asked by.
func (c Config) Policy() preflight.Policy {
	g := c.Gates
	p := preflight.Policy{
		MinBattery: g.MinBattery, Mains: c.Robot.MainsPowered, Fresh: g.Fresh.Std(), Settle: g.Settle.Std(),
		MaxLinear: g.MaxLinear, MaxAngular: g.MaxAngular, NeedOdometry: g.NeedOdometry,
		MinRSSI: g.MinRSSI, ThermalOK: g.ThermalOK,
		NeedDock: g.NeedDock, DockTopic: c.ROS.Topics.Dock != "", DockFresh: g.DockFresh.Std(),
		Companion: c.Robot.CompanionVersion, Table: compat.DefaultTable(),
	}
	for _, w := range g.Maintenance {
		p.Maintenance = append(p.Maintenance, w.window())
	}
	return p
}

func (v validator) gates(c Config) {
	g := c.Gates
	between(v, "gates.min_battery", g.MinBattery, 0, 0.99, " (a fraction: 0.5 is 50 %)")
	between(v, "gates.fresh", g.Fresh, Duration(500*time.Millisecond), Duration(5*time.Minute), "")
	between(v, "gates.settle", g.Settle, 0, Duration(time.Minute), "")
	between(v, "gates.max_linear", g.MaxLinear, 0, 1, " (m/s)")
	between(v, "gates.max_angular", g.MaxAngular, 0, 1, " (rad/s)")
	if g.MinRSSI != 0 {
		between(v, "gates.min_rssi", g.MinRSSI, -127, -1, " (dBm, so below 0), or 0 for any")
	}
	for _, w := range g.ThermalOK {
		if strings.TrimSpace(w) == "" || len(w) > 40 {
			v.wrong("gates.thermal_ok", "%q is no word for a thermal state: want 1 to 40 characters, such as ok", clip(w))
		}
	}
	between(v, "gates.dock_fresh", g.DockFresh, Duration(500*time.Millisecond), day, "")
	if g.NeedDock && c.Robot.MainsPowered && c.ROS.Topics.Dock == "" {
		v.wrong("gates.need_dock", "a robot on mains has no battery that could tell whether it is docked: name the dock's topic in ros.topics.dock")
	}
	for i, w := range g.Maintenance {
		v.window(fmt.Sprintf("gates.maintenance[%d]", i+1), w)
	}
}

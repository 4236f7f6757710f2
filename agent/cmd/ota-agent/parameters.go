package main

import (
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/rosnode"
	"github.com/robot-platform/robot-ota/agent/internal/schedule"
)

// Bounds of what may be changed while the agent runs; those of the
// configuration file.
const (
	maxPeriod = 30 * 24 * time.Hour
	maxCharge = 0.99
)

// parameters are the ROS node's: all may be read, three may be written. What
// is written holds until the agent is restarted.
func (a agent) parameters(core *engine.Engine, plan *schedule.Schedule) []rosnode.Parameter {
	return []rosnode.Parameter{
		rosnode.ReadOnly("robot_id", "id of this robot", a.cfg.Robot.ID),
		rosnode.ReadOnly("sku", "SKU of this robot", a.cfg.Robot.SKU),
		rosnode.ReadOnly("companion_version", "version of the companion's software", a.cfg.Robot.CompanionVersion.String()),
		rosnode.ReadOnly("server_url", "update server", a.cfg.Server.URL),
		rosnode.ReadOnly("serial_port", "serial port of the ESP32", a.cfg.Serial.Port),
		rosnode.ReadOnly("serial_baud", "bits per second while flashing", int64(a.cfg.Serial.Baud)),
		rosnode.ReadOnly("trial_window_s", "seconds for which a new firmware is on trial", a.cfg.Trial.Window.Std().Seconds()),
		seconds("check_period_s", "seconds between checks for an update; 0: none", plan.Period, plan.Set),
		{
			Name: "min_battery", Description: "charge that must be exceeded, 0-0.99", Max: maxCharge,
			Value: func() any { return core.MinBattery() },
			Set: func(v any) error {
				core.SetMinBattery(v.(float64)) //nolint:errcheck,forcetypeassert // of the type of Value, as promised
				return nil
			},
		},
		seconds("observe_for_s", "seconds for which a confirmed firmware is observed", core.ObserveFor, core.SetObserveFor),
	}
}

// seconds is a parameter for a time.
func seconds(name, description string, get func() time.Duration, set func(time.Duration)) rosnode.Parameter {
	return rosnode.Parameter{
		Name: name, Description: description, Max: maxPeriod.Seconds(),
		Value: func() any { return get().Seconds() },
		Set: func(v any) error {
			set(time.Duration(v.(float64) * float64(time.Second))) //nolint:errcheck,forcetypeassert // of the type of Value, as promised
			return nil
		},
	}
}

package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// Heard is what is heard of the robot over ROS, at a moment.
type Heard struct {
	robot.Hearing
	Firmware *control.Spoken // its own status; nil: never heard
	At       time.Time
}

// ROSWithin bounds the listening, and what a node needs to find others.
const ROSWithin = 40 * time.Second

// ROS judges what hear brings: of each topic whether it is heard, how often,
// and why not; and what the firmware says of itself.
func ROS(cfg config.Config, hear func(context.Context) (Heard, doctor.Finding)) doctor.Check {
	return doctor.Check{Name: "ros", About: "the robot's topics", Within: ROSWithin, Run: func(ctx context.Context) []doctor.Finding {
		h, instead := hear(ctx)
		if instead != (doctor.Finding{}) {
			return []doctor.Finding{instead}
		}
		if h.Others == 0 && !slices.ContainsFunc(h.Topics, func(t robot.Topic) bool { return t.Heard > 0 }) {
			return []doctor.Finding{doctor.Bad("set ROS_DOMAIN_ID, RMW_IMPLEMENTATION and ROS_AUTOMATIC_DISCOVERY_RANGE in /etc/robot-ota/ros.env as on the rest of the robot, then "+restart,
				"%s hears no other node in ROS domain %s", h.Node, h.Domain)}
		}
		j := judge{cfg: cfg, h: h}
		var findings []doctor.Finding
		for _, t := range h.Topics {
			findings = append(findings, j.topic(t))
		}
		return append(findings, j.firmware())
	}}
}

type judge struct {
	cfg config.Config
	h   Heard
}

// setting is where a topic's name comes from.
func setting(r robot.Role) string { return "ros.topics." + string(r) }

func (j judge) topic(t robot.Topic) doctor.Finding {
	mismatch := slices.IndexFunc(t.Publishers, func(p robot.Publisher) bool { return p.Mismatch != "" })
	switch {
	case t.Role == robot.BatteryRole && j.cfg.Robot.MainsPowered:
		return doctor.Skip("%s: this robot has no battery (robot.mains_powered)", t.Name)
	case t.Heard == 0 && mismatch >= 0:
		p := t.Publishers[mismatch]
		return doctor.Bad(fmt.Sprintf("let %s publish it as the agent asks for it; `ros2 topic info -v %s` shows both sides", p.Node, t.Name), "%s is not heard: %s publishes it, but %s", t.Name, p.Node, p.Mismatch)
	case t.Heard == 0:
		return j.silent(t)
	}
	return j.heard(t)
}

// silent is a topic of which nothing was ever heard.
func (j judge) silent(t robot.Topic) doctor.Finding {
	who := "nobody publishes it"
	switch {
	case t.Unknown != "":
		who = "who publishes it is not known: " + t.Unknown
	case len(t.Publishers) > 0:
		who = t.Publishers[0].Node + " has it, and has said nothing"
	}
	do := fmt.Sprintf("see that what publishes it runs (ros2 topic info -v %s; the ESP32's topics come through the micro-ROS agent), or set %s to its name", t.Name, setting(t.Role))
	switch {
	case t.Role == robot.CmdVelRole:
		return doctor.Good("%s: nobody asks for motion", t.Name)
	case t.Role == robot.DockRole && !j.cfg.Gates.NeedDock:
		return doctor.Doubt(do, "%s is not heard: %s. It is not needed (gates.need_dock)", t.Name, who)
	case t.Role == robot.OdomRole && !j.cfg.Gates.NeedOdometry:
		return doctor.Doubt(do, "%s is not heard: %s. The agent cannot see whether the robot moves", t.Name, who)
	}
	return doctor.Bad(do, "%s is not heard: %s. Without it no update begins", t.Name, who)
}

// heard is a topic that arrives, or did.
func (j judge) heard(t robot.Topic) doctor.Finding {
	age, fresh, key := j.h.At.Sub(t.At), j.cfg.Gates.Fresh.Std(), "gates.fresh"
	if t.Role == robot.DockRole {
		fresh, key = j.cfg.Gates.DockFresh.Std(), "gates.dock_fresh"
	}
	rate := fmt.Sprintf("%.1f Hz", t.Rate)
	switch {
	case t.Role == robot.CmdVelRole:
		return doctor.Good("%s is heard, last %s ago", t.Name, round(age))
	case age > fresh:
		return doctor.Bad("see what became of its publisher: ros2 topic info -v "+t.Name, "%s was last heard %s ago; a reading counts for %s (%s)", t.Name, round(age), fresh, key)
	case t.Rate > 0 && t.Rate*fresh.Seconds() < 1:
		return doctor.Doubt(fmt.Sprintf("publish it more often, or raise %s above %s", key, fresh), "%s arrives at %s only, and a reading counts for %s: it goes stale in between", t.Name, rate, fresh)
	}
	from := ""
	if len(t.Publishers) > 0 {
		from = " from " + t.Publishers[0].Node
	}
	return doctor.Good("%s arrives at %s%s", t.Name, rate, from)
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// firmware is what the firmware's own status is worth.
func (j judge) firmware() doctor.Finding {
	name, w := j.cfg.FirmwareStatus(), j.h.Firmware
	if w == nil {
		if others := j.h.Strangers; len(others) > 0 {
			return doctor.Bad(fmt.Sprintf("set robot.id to the name that this robot's firmware has, or the firmware's to %s", j.cfg.Robot.ID), "the diagnostics hold no status %s, but those of %s: a wrong robot id?", name, list(others))
		}
		return doctor.Bad("let the firmware publish it, or set ros.firmware_status to its name: ros2 topic echo /diagnostics", "the diagnostics hold no status %s: the agent does not know what runs", name)
	}
	keys := j.cfg.FirmwareKeys()
	read, err := robot.FirmwareFrom(robot.Diagnostic{Name: name, Values: w.Values, At: w.At}, keys)
	if err != nil {
		return doctor.Bad("correct what the firmware publishes, or ros.keys", "what the firmware says of itself cannot be read: %v", err)
	}
	if lacks := missing(w.Values, keys.AppSHA256, keys.Slot, keys.OTAState, keys.BootCount); len(lacks) > 0 {
		return doctor.Bad("let the firmware publish them, or name them in ros.keys as it does", "the status %s lacks %s: an update could not be confirmed", name, list(lacks))
	}
	if age, fresh := j.h.At.Sub(w.At), j.cfg.Gates.Fresh.Std(); age > fresh {
		return doctor.Bad("see that the ESP32 and the micro-ROS agent run", "the firmware last spoke %s ago", round(age))
	}
	text := fmt.Sprintf("firmware %s runs from %s (%s)", read.Version, read.Slot, read.OTAState)
	if lacks := missing(w.Values, keys.Protocol, keys.ResetReason, keys.Safety, keys.Motors, keys.SelfTest); len(lacks) > 0 {
		text += "; it does not tell " + strings.Join(lacks, ", ")
	}
	return doctor.Good("%s", text)
}

func missing(values map[string]string, keys ...string) []string {
	return slices.DeleteFunc(keys, func(k string) bool { return values[k] != "" })
}

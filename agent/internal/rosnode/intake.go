package rosnode

import (
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// Bounds on what is kept of a message. Strings are cut, lists end early.
const (
	maxStatuses = 128 // of a DiagnosticArray
	maxValues   = 64  // of a DiagnosticStatus
	maxName     = 128 // bytes of a name or key
	maxString   = 512 // bytes of any other string
	maxID       = 64  // bytes of a robot's id
)

// intake turns what the robot publishes into observations.
type intake struct {
	robotID  string
	own      string // the agent's own DiagnosticStatus
	firmware string // the firmware's own DiagnosticStatus
	system   string // another one of its
	keys     robot.Keys
}

func newIntake(c Config) intake {
	return intake{robotID: c.RobotID, own: c.ownStatus(), firmware: c.FirmwareStatus, system: c.SystemStatus, keys: c.Keys}
}

// status is a diagnostic_msgs/DiagnosticStatus.
type status struct {
	name, message string
	level         uint8
	values        map[string]string
	beside        bool // another of this robot came before it in the same message
}

// concerns says whether a DiagnosticStatus tells of this robot. Another
// robot's on a shared network must not vouch for ours, and ours must not be
// heard as an answer to itself.
func (i intake) concerns(name string) bool {
	if name == i.own {
		return false
	}
	return name == i.firmware || name == i.system || strings.HasPrefix(name, i.robotID+"/")
}

// stranger is the id of another robot that a status tells of, by the names that
// robots' statuses have; false: it tells of none.
func (i intake) stranger(name string) (id string, yes bool) {
	id, what, whole := strings.Cut(name, "/")
	if !whole || id == "" || id == i.robotID || len(id) > maxID {
		return "", false
	}
	own := strings.TrimPrefix(i.firmware, i.robotID+"/")
	return id, slices.Contains([]string{"system", "battery", "safety", own}, what)
}

// diagnostic is what one status says. The error is about a firmware status
// that says something impossible: as a diagnostic it counts all the same.
func (i intake) diagnostic(s status, now time.Time) ([]robot.Observation, error) {
	level := robot.Level(s.level)
	if level > robot.Stale {
		level = robot.Error
	}
	d := robot.Diagnostic{Name: s.name, Level: level, Message: s.message, Values: s.values, At: now, Beside: s.beside}
	out := []robot.Observation{d}
	if s.name == i.firmware {
		w, err := robot.FirmwareFrom(d, i.keys)
		if err != nil {
			return out, err
		}
		out = append(out, w) // before its conditions: with another firmware the old ones end
	}
	if s.name == i.firmware || s.name == i.system {
		if c, told := robot.ConditionsFrom(d, i.keys); told {
			out = append(out, c)
		}
	}
	return out, nil
}

// The values of sensor_msgs/BatteryState's power_supply_status that mean that
// the battery is not being drained.
const (
	powerCharging = 1
	powerFull     = 4
)

func battery(percentage float32, power uint8, now time.Time) robot.Battery {
	return robot.Battery{
		Fraction: exact(percentage),
		Charging: power == powerCharging || power == powerFull,
		At:       now,
	}
}

func estop(stopped bool, state uint8, reason string, now time.Time) robot.EStop {
	return robot.EStop{Stopped: stopped, State: robot.EStopState(state), Reason: cut(reason, maxString), At: now}
}

// motion takes a twist's two vectors. What is no number counts as moving.
func motion(linear, angular [3]float64, now time.Time) robot.Motion {
	return robot.Motion{Linear: norm(linear), Angular: norm(angular), At: now}
}

func norm(v [3]float64) float64 {
	n := math.Hypot(math.Hypot(v[0], v[1]), v[2])
	if math.IsNaN(n) {
		return math.Inf(1)
	}
	return n
}

// thinner lets few of a fast topic's messages through and hides none that
// matters: motion that grows goes through at once, the same or less motion
// once in a while.
type thinner struct {
	every time.Duration
	last  robot.Motion
	heard uint64 // since the last that went through
}

// thin says whether m goes through, and for how many messages it stands.
func (t *thinner) thin(m robot.Motion) (robot.Motion, bool) {
	t.heard++
	if !t.pass(m) {
		return m, false
	}
	m.Messages, t.heard = t.heard, 0
	return m, true
}

func (t *thinner) pass(m robot.Motion) bool {
	const noise = 0.005 // m/s or rad/s
	grows := m.Linear > t.last.Linear+noise || m.Angular > t.last.Angular+noise
	if !grows && !t.last.At.IsZero() && m.At.Sub(t.last.At) < t.every {
		return false
	}
	t.last = m
	return true
}

// cut shortens s to at most n bytes, on a boundary between runes, and makes it
// valid UTF-8.
func cut(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "�")
}

// Package preflight decides whether the robot may be updated now: facts about
// the robot go in, the reasons that stand in the way come out, and no reason
// means go.
//
// It is fail-closed: what was never heard, is out of date or makes no sense
// counts against the update. It reads no clock and does nothing; whoever asks
// passes the moment it asks for, and asks again right before the line is taken.
package preflight

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Code names a gate for machines. Codes are published and never reused.
type Code string

// The gates.
const (
	BatteryUnknown  Code = "battery_unknown"
	BatteryLow      Code = "battery_low"
	EStopUnknown    Code = "estop_unknown"
	EStopActive     Code = "estop_active"
	DiagnosticsGone Code = "diagnostics_stale"
	DiagnosticsBad  Code = "diagnostics_error"
	FirmwareUnknown Code = "firmware_unknown"
	FirmwareOnTrial Code = "firmware_on_trial"
	FirmwareUnsafe  Code = "firmware_unsafe"
	MotorsBusy      Code = "motors_busy"
	Moving          Code = "moving"
	Commanded       Code = "commanded"
	Incompatible    Code = "protocol_incompatible"
	Inhibited       Code = "inhibited"
)

// Reason is one thing that stands in the way.
type Reason struct {
	Code Code   `json:"code"`
	Text string `json:"text"`
	// Since is when the gate shut, as far as it was watched.
	Since time.Time `json:"since"`
	// Lift says what would open the gate.
	Lift string `json:"lift"`
}

// Inhibitor is an application's lease on "do not update now".
type Inhibitor struct {
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
}

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
	// Companion is the version of the companion's software, against which the
	// protocol of a new firmware is held.
	Companion compat.Version
	Table     compat.Table
}

// DefaultPolicy is the mission's: battery above 50 %, readings of the last 5 s.
func DefaultPolicy() Policy {
	return Policy{
		MinBattery: 0.5, Fresh: 5 * time.Second, MaxLinear: 0.01, MaxAngular: 0.02,
		Table: compat.DefaultTable(),
	}
}

// Candidate is the firmware that wants in. A zero Version asks only whether
// the robot could be updated at all.
type Candidate struct {
	Version  compat.Version
	Protocol compat.Protocol // as advertised with it; 0 where nothing is
}

// Check returns the reasons against an update at now, in a fixed order. Their
// Since is now, but for inhibitors; Carry keeps older ones.
func Check(f robot.Facts, held []Inhibitor, c Candidate, p Policy, now time.Time) []Reason {
	g := gates{policy: p, now: now}
	g.battery(f.Battery)
	g.estop(f.EStop)
	g.diagnostics(f)
	g.firmware(f.Firmware)
	g.motion(f)
	g.compat(c)
	g.inhibitors(held)
	return g.reasons
}

// Carry gives each reason the Since of the same one (code and text's gate) in
// before, so that "since when" survives being asked again.
func Carry(before, now []Reason) []Reason {
	out := slices.Clone(now)
	for i := range out {
		for _, b := range before {
			if b.Code == out[i].Code && b.Since.Before(out[i].Since) {
				out[i].Since = b.Since
			}
		}
	}
	return out
}

type gates struct {
	policy  Policy
	now     time.Time
	reasons []Reason
}

func (g *gates) shut(code Code, lift, format string, args ...any) {
	g.reasons = append(g.reasons, Reason{
		Code: code, Text: fmt.Sprintf(format, args...), Since: g.now, Lift: lift,
	})
}

// fresh says whether a reading taken at t still counts, and how to call it if
// not. A reading from the future (the clock jumped back) counts as none.
func (g *gates) fresh(t time.Time) (bool, string) {
	switch age := g.now.Sub(t); {
	case t.IsZero():
		return false, "was never heard"
	case age > g.policy.Fresh:
		return false, fmt.Sprintf("was last heard %s ago", age.Round(time.Second))
	case age < -g.policy.Fresh:
		return false, "was heard in what is now the future: the clock has jumped"
	}
	return true, ""
}

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

func (g *gates) diagnostics(f robot.Facts) {
	if ok, why := g.fresh(f.DiagnosticsAt()); !ok {
		g.shut(DiagnosticsGone, "diagnostics arriving again", "diagnostics as a whole: the last one %s", why)
		return
	}
	var bad []string
	for name, d := range f.Diagnostics {
		if fresh, _ := g.fresh(d.At); fresh && d.Level == robot.Error {
			bad = append(bad, fmt.Sprintf("%s: %s", name, d.Message))
		}
	}
	if len(bad) > 0 {
		slices.Sort(bad)
		g.shut(DiagnosticsBad, "no ERROR in the diagnostics", "diagnostics report ERROR: %s", strings.Join(bad, "; "))
	}
}

func (g *gates) firmware(w robot.Firmware) {
	if ok, why := g.fresh(w.At); !ok {
		g.shut(FirmwareUnknown, "the firmware's status in the diagnostics", "the firmware's own status %s", why)
		return
	}
	if w.OTAState == "new" || w.OTAState == "pending_verify" {
		g.shut(FirmwareOnTrial, "the running firmware confirming itself",
			"the running firmware %s is itself on trial (%s)", w.Version, w.OTAState)
	}
	if w.SafetyState != "" && !strings.EqualFold(w.SafetyState, "normal") {
		g.shut(FirmwareUnsafe, "safety state normal", "the firmware reports safety state %q", w.SafetyState)
	}
	if w.Motors != "" && !strings.EqualFold(w.Motors, "idle") {
		g.shut(MotorsBusy, "motors idle", "the firmware reports motors %q", w.Motors)
	}
}

func (g *gates) motion(f robot.Facts) {
	ok, why := g.fresh(f.Odometry.At)
	switch {
	case ok && !g.still(f.Odometry):
		g.shut(Moving, "the robot standing still", "the robot moves at %.2f m/s, %.2f rad/s",
			f.Odometry.Linear, f.Odometry.Angular)
	case !ok && (g.policy.NeedOdometry || !f.Odometry.At.IsZero()):
		g.shut(Moving, "odometry arriving again", "whether the robot moves is unknown: odometry %s", why)
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

func (g *gates) compat(c Candidate) {
	if c.Version.IsZero() {
		return
	}
	if err := g.policy.Table.Check(c.Version, c.Protocol, g.policy.Companion); err != nil {
		g.shut(Incompatible, "a companion software that fits", "%v", err)
	}
}

func (g *gates) inhibitors(held []Inhibitor) {
	for _, h := range held {
		if !g.now.Before(h.Until) {
			continue
		}
		g.reasons = append(g.reasons, Reason{
			Code: Inhibited, Text: fmt.Sprintf("%s holds updates back: %s", h.Owner, h.Reason), Since: h.Since,
			Lift: fmt.Sprintf("%s releasing its inhibitor, or its lease ending at %s", h.Owner, h.Until.UTC().Format(time.RFC3339)),
		})
	}
}

// Package preflight decides whether the robot may be updated now: facts about
// the robot go in, the reasons that stand in the way come out, and no reason
// means go.
//
// It is fail-closed: what was never heard, is out of date or makes no sense
// counts against the update. It reads no clock and does nothing; whoever asks
// passes the moment it asks for, and asks again right before the line is taken.
//
// Layers, one file each:
//
//	preflight.go  the question, and the order of the answers
//	reason.go     gates by name, and reasons
//	policy.go     what the operator asks for
//	body.go       battery, emergency stop, motion, dock
//	firmware.go   diagnostics, the firmware's own word, Wi-Fi, heat, protocol
//	window.go     maintenance windows
//	motion.go     what a roll-back waits for
//	vigil.go      the gates over time: one that flaps does not count as open
package preflight

import (
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Inhibitor is an application's lease on "do not update now".
type Inhibitor struct {
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
}

// Candidate is the firmware that wants in. A zero Version asks only whether
// the robot could be updated at all.
type Candidate struct {
	Version  compat.Version
	Protocol compat.Protocol // as advertised with it; 0 where nothing is
	// AnyTime: it may come in outside of the maintenance windows. It opens no
	// other gate.
	AnyTime bool
}

// Check returns the reasons against an update at now, in a fixed order. Their
// Since is now, but for inhibitors; a Vigil keeps older ones.
func Check(f robot.Facts, held []Inhibitor, c Candidate, p Policy, now time.Time) []Reason {
	return Recheck(f, held, c, p, now, now)
}

// Recheck is Check for the moment at which the line has been taken from its
// owner: the firmware is not heard any more, so a reading that was fresh when
// the gates were asked still is, but what was heard since then counts.
func Recheck(f robot.Facts, held []Inhibitor, c Candidate, p Policy, asked, now time.Time) []Reason {
	g := gates{policy: p, now: now, asked: asked}
	g.battery(f.Battery)
	g.estop(f.EStop)
	g.diagnostics(f)
	g.firmware(f.Firmware)
	g.motion(f)
	g.wifi(f.Conditions.RSSI)
	g.thermal(f.Conditions.Thermal)
	g.dock(f)
	g.maintenance(c)
	g.compat(c)
	g.inhibitors(held)
	return g.reasons
}

// Oldest is when the oldest of the readings was taken on which the gates rest:
// those that have to come again and again.
func Oldest(f robot.Facts, p Policy) time.Time {
	oldest := f.EStop.At
	for _, r := range []struct {
		at    time.Time
		asked bool
	}{
		{f.Firmware.At, true},
		{f.Battery.At, !p.Mains || p.NeedDock && !p.DockTopic},
		{f.Odometry.At, !f.Odometry.At.IsZero()},
		{f.Conditions.RSSI.At, p.MinRSSI != 0 && !f.Conditions.RSSI.At.IsZero()},
		{f.Conditions.Thermal.At, len(p.ThermalOK) > 0 && !f.Conditions.Thermal.At.IsZero()},
		{f.Dock.At, p.NeedDock && p.DockTopic && p.DockFresh <= p.Fresh}, // else it may speak on change alone
	} {
		if r.asked && r.at.Before(oldest) {
			oldest = r.at
		}
	}
	return oldest
}

type gates struct {
	policy  Policy
	now     time.Time
	asked   time.Time // the moment for which a reading must be fresh; zero: now
	reasons []Reason
}

func (g *gates) shut(code Code, lift, format string, args ...any) {
	g.reasons = append(g.reasons, Reason{
		Code: code, Text: fmt.Sprintf(format, args...), Since: g.now, Lift: lift,
	})
}

// fresh says whether a reading taken at t still counts, and how to call it if
// not. A reading from the future (the clock jumped back) counts as none.
func (g *gates) fresh(t time.Time) (bool, string) { return g.within(t, g.policy.Fresh) }

// within is fresh for a reading that may be of another age.
func (g *gates) within(t time.Time, most time.Duration) (bool, string) {
	asked := g.asked
	if asked.IsZero() {
		asked = g.now
	}
	switch {
	case t.IsZero():
		return false, "was never heard"
	case asked.Sub(t) > most:
		return false, fmt.Sprintf("was last heard %s ago", g.now.Sub(t).Round(time.Second))
	case t.Sub(g.now) > g.policy.Fresh:
		return false, "was heard in what is now the future: the clock has jumped"
	}
	return true, ""
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

package preflight

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// errorStays is how long an ERROR counts that was never taken back: who
// publishes it seldom must not open the gate between two messages, and who has
// left must not keep it shut for ever.
const errorStays = time.Minute

func (g *gates) diagnostics(f robot.Facts) {
	if ok, why := g.fresh(f.DiagnosticsAt()); !ok {
		g.shut(DiagnosticsGone, "diagnostics arriving again", "this robot's diagnostics, taken together: the latest %s", why)
		return
	}
	var stale, bad []string
	for name, d := range f.Diagnostics {
		switch said := name + ": " + d.Message; {
		case d.Level == robot.Stale && g.now.Sub(d.At) <= g.policy.Fresh:
			stale = append(stale, said)
		case d.Level == robot.Error && g.now.Sub(d.At) <= max(g.policy.Fresh, errorStays):
			bad = append(bad, said)
		}
	}
	slices.Sort(stale)
	slices.Sort(bad)
	if len(stale) > 0 {
		g.shut(DiagnosticsGone, "no STALE in the diagnostics", "diagnostics report STALE: %s", strings.Join(stale, "; "))
	}
	if len(bad) > 0 {
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
	if w.MotorsBusy() {
		g.shut(MotorsBusy, "motors idle", "the firmware reports motors %q", w.Motors)
	}
}

// wifi asks where the firmware tells; one that never did has no such gate.
func (g *gates) wifi(v robot.Value) {
	if g.policy.MinRSSI == 0 || v.At.IsZero() {
		return
	}
	ok, why := g.fresh(v.At)
	dBm, readable := parseRSSI(v.Text)
	switch {
	case !ok:
		g.shut(WiFiUnknown, "the firmware telling its Wi-Fi signal again", "the strength of the firmware's Wi-Fi signal %s", why)
	case !readable:
		g.shut(WiFiUnknown, "a Wi-Fi signal in dBm, below 0", "the firmware reports a Wi-Fi signal of %q", v.Text)
	case dBm < float64(g.policy.MinRSSI):
		g.shut(WiFiWeak, fmt.Sprintf("a Wi-Fi signal of %d dBm or more", g.policy.MinRSSI),
			"the firmware's Wi-Fi signal is %v dBm, and must be %d dBm or more", dBm, g.policy.MinRSSI)
	}
}

// parseRSSI reads "-52" or "-52 dBm". What is not below 0 is no signal: some
// drivers say 0 where there is no connection.
func parseRSSI(s string) (dBm float64, ok bool) {
	s = strings.TrimSpace(s)
	if n := len(s) - len("dbm"); n > 0 && strings.EqualFold(s[n:], "dbm") {
		s = strings.TrimSpace(s[:n])
	}
	dBm, err := strconv.ParseFloat(s, 64)
	return dBm, err == nil && dBm < 0 && !math.IsInf(dBm, 0)
}

// thermal asks where the firmware tells, as wifi does.
func (g *gates) thermal(v robot.Value) {
	if len(g.policy.ThermalOK) == 0 || v.At.IsZero() {
		return
	}
	ok, why := g.fresh(v.At)
	word := strings.TrimSpace(v.Text)
	switch {
	case !ok:
		g.shut(ThermalUnknown, "the firmware telling its thermal state again", "the firmware's thermal state %s", why)
	case word == "":
		g.shut(ThermalUnknown, "a thermal state with a word in it", "the firmware reports an empty thermal state")
	case !slices.ContainsFunc(g.policy.ThermalOK, func(fine string) bool { return strings.EqualFold(fine, word) }):
		g.shut(ThermalWarning, "thermal state "+strings.Join(g.policy.ThermalOK, ", "), "the firmware reports thermal state %q", word)
	}
}

func (g *gates) compat(c Candidate) {
	if c.Version.IsZero() {
		return
	}
	err := g.policy.Table.Check(c.Version, c.Protocol, g.policy.Companion)
	var why *compat.Incompatible
	switch {
	case errors.As(err, &why):
		g.shut(Incompatible, why.Remedy, "firmware %v and companion %v do not fit: %s", why.Firmware, why.Companion, why.Reason)
	case err != nil:
		g.shut(Incompatible, "a companion software that fits", "%v", err)
	}
}

package preflight

import (
	"slices"
	"time"
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
	MotionUnknown   Code = "motion_unknown"
	Moving          Code = "moving"
	Commanded       Code = "commanded"
	WiFiUnknown     Code = "wifi_unknown"
	WiFiWeak        Code = "wifi_weak"
	ThermalUnknown  Code = "thermal_unknown"
	ThermalWarning  Code = "thermal_warning"
	DockUnknown     Code = "dock_unknown"
	Undocked        Code = "undocked"
	OutsideWindow   Code = "outside_maintenance_window"
	Incompatible    Code = "protocol_incompatible"
	Inhibited       Code = "inhibited"
)

// Codes lists the gates in the order of their reasons.
func Codes() []Code {
	return []Code{
		BatteryUnknown, BatteryLow, EStopUnknown, EStopActive, DiagnosticsGone, DiagnosticsBad,
		FirmwareUnknown, FirmwareOnTrial, FirmwareUnsafe, MotorsBusy, MotionUnknown, Moving, Commanded,
		WiFiUnknown, WiFiWeak, ThermalUnknown, ThermalWarning, DockUnknown, Undocked,
		OutsideWindow, Incompatible, Inhibited,
	}
}

// Reason is one thing that stands in the way.
type Reason struct {
	Code Code   `json:"code"`
	Text string `json:"text"`
	// Since is when the gate shut, as far as it was watched.
	Since time.Time `json:"since"`
	// Lift says what would open the gate.
	Lift string `json:"lift"`
}

// same says whether two reasons are of one gate. There are as many inhibitors
// as owners, whom the text tells apart.
func (r Reason) same(s Reason) bool {
	return r.Code == s.Code && (r.Code != Inhibited || r.Text == s.Text)
}

// Carry gives each reason the Since of the same gate's in before, so that
// "since when" survives being asked again.
func Carry(before, now []Reason) []Reason {
	out := slices.Clone(now)
	for i := range out {
		for _, b := range before {
			if b.same(out[i]) && b.Since.Before(out[i].Since) {
				out[i].Since = b.Since
			}
		}
	}
	return out
}

package robot

import (
	"maps"
	"time"
)

// Battery is sensor_msgs/BatteryState, reduced to what decides.
type Battery struct {
	// Fraction of full charge, 0-1; NaN where the driver does not know.
	Fraction float64
	Charging bool
	At       time.Time
}

// EStopState is the state field of robot_interfaces/EmergencyStopState.
type EStopState uint8

// The states of the emergency stop.
const (
	EStopNormal   EStopState = 0
	EStopStopped  EStopState = 1
	EStopRecovery EStopState = 2
)

// EStop is robot_interfaces/EmergencyStopState.
type EStop struct {
	Stopped bool
	State   EStopState
	// Reason as published: free text, "operator…" for an operator's own stop.
	Reason string
	// Announced: an operator has said otherwise that stops are to be expected.
	Announced bool
	At        time.Time
}

// Clear says that the stop is neither pressed nor recovering.
func (e EStop) Clear() bool { return !e.Stopped && e.State == EStopNormal }

// Motion is what the robot does (odometry) or is told to do (cmd_vel).
type Motion struct {
	Linear  float64 // m/s, norm of the linear twist
	Angular float64 // rad/s, norm of the angular twist
	// Messages that this one stands for, itself included, where others were
	// passed over; 0 counts as 1.
	Messages uint64
	At       time.Time
}

// Level is diagnostic_msgs/DiagnosticStatus.level.
type Level uint8

// The levels of a DiagnosticStatus.
const (
	OK    Level = 0
	Warn  Level = 1
	Error Level = 2
	Stale Level = 3
)

func (l Level) String() string {
	switch l {
	case OK:
		return "OK"
	case Warn:
		return "WARN"
	case Error:
		return "ERROR"
	case Stale:
		return "STALE"
	}
	return "UNKNOWN"
}

// Diagnostic is one diagnostic_msgs/DiagnosticStatus.
type Diagnostic struct {
	Name    string
	Level   Level
	Message string
	Values  map[string]string
	At      time.Time
	// Beside: it came in one message with another status of this robot, which
	// counts for both.
	Beside bool
}

// MaxDiagnostics bounds how many status names are remembered: a publisher
// that invents a new name with every message must not grow the agent.
const MaxDiagnostics = 256

// Facts is everything known at one moment. The map is never changed once the
// Facts are handed out.
type Facts struct {
	Battery     Battery
	EStop       EStop
	Odometry    Motion
	Command     Motion
	Diagnostics map[string]Diagnostic
	Firmware    Firmware
	Conditions  Conditions
	Dock        Dock
	DTLS        DTLS
	Heard       Counts
}

// DTLS is how the handshakes with the firmware's DTLS server went, counted
// since the agent began to try.
type DTLS struct {
	Tries, Failures uint64
	Latency         time.Duration // of the latest that succeeded
	Err             string        // of the latest, "" where it succeeded
	At              time.Time
}

// Counts are the messages heard since the agent began to listen.
type Counts struct{ Odometry, Diagnostics, Battery uint64 }

// Observation is one thing heard: Battery, EStop, Odometry, Command,
// Diagnostic, Firmware, Conditions, Dock or DTLS.
type Observation interface{ on(f *Facts) }

// Odometry is a Motion that was measured.
type Odometry Motion

// Command is a Motion that was asked for.
type Command Motion

func (e EStop) on(f *Facts)   { f.EStop = e }
func (c Command) on(f *Facts) { f.Command = Motion(c) }
func (d DTLS) on(f *Facts)    { f.DTLS = d }

func (w Firmware) on(f *Facts) {
	if w.anew(f.Firmware) {
		f.Conditions = Conditions{}
	}
	f.Firmware = w
}

func (b Battery) on(f *Facts) {
	f.Battery = b
	f.Heard.Battery++
}

func (o Odometry) on(f *Facts) {
	f.Odometry = Motion(o)
	f.Heard.Odometry += max(1, o.Messages)
}

func (d Diagnostic) on(f *Facts) {
	if !d.Beside {
		f.Heard.Diagnostics++
	}
	if _, known := f.Diagnostics[d.Name]; !known && len(f.Diagnostics) >= MaxDiagnostics {
		return
	}
	next := maps.Clone(f.Diagnostics)
	if next == nil {
		next = make(map[string]Diagnostic, 1)
	}
	next[d.Name] = d
	f.Diagnostics = next
}

// With is the facts after o was heard. The receiver is left as it was.
func (f Facts) With(o Observation) Facts {
	o.on(&f)
	return f
}

// DiagnosticsAt is when any diagnostics were last heard; zero for never.
func (f Facts) DiagnosticsAt() time.Time {
	var last time.Time
	for _, d := range f.Diagnostics {
		if d.At.After(last) {
			last = d.At
		}
	}
	return last
}

package robot

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/sim/espsim"
)

// Config describes a robot.
type Config struct {
	// ID is the robot's id, which starts the names of its diagnostics.
	ID   string
	Chip espsim.Config
	// Battery is the charge to begin with, 0-1; 0 means DefaultBattery.
	Battery float64
	// DrainPerHour is the charge used in an hour; 0 means DefaultDrain.
	DrainPerHour float64
}

// Defaults of Config.
const (
	DefaultID      = "robot_01"
	DefaultBattery = 0.9
	DefaultDrain   = 0.1
)

// Robot is a simulated robot. Its methods are safe for concurrent use.
type Robot struct {
	id    string
	chip  *espsim.Chip
	drain float64

	mu       sync.Mutex
	battery  float64
	charging bool
	at       time.Time // when battery was right
	rate     float64   // the firmware's multiple of drain since then
	estop    EStop
	linear   float64
	angular  float64
	around   Surroundings
	unknown  bool // the battery's charge
	changed  map[chan struct{}]struct{}
}

// EStop is robot_interfaces/EmergencyStopState.
type EStop struct {
	Stopped bool   `json:"stopped"`
	State   uint8  `json:"state"` // 0 normal, 1 stopped, 2 recovery
	Reason  string `json:"reason"`
}

// Battery is sensor_msgs/BatteryState, as far as it varies.
type Battery struct {
	Fraction float64 `json:"fraction"` // 0-1
	Voltage  float64 `json:"voltage"`
	Charging bool    `json:"charging"`
	Unknown  bool    `json:"unknown"` // the charge is not known: NaN is published
}

// Twist is the odometry's velocity.
type Twist struct {
	Linear  float64 `json:"linear"`  // m/s
	Angular float64 `json:"angular"` // rad/s
}

// Levels of a DiagnosticStatus.
const (
	LevelOK    uint8 = 0
	LevelWarn  uint8 = 1
	LevelError uint8 = 2
)

// Status is one diagnostic_msgs/DiagnosticStatus.
type Status struct {
	Name    string  `json:"name"`
	Level   uint8   `json:"level"`
	Message string  `json:"message"`
	Values  []Value `json:"values"`
}

// Value is a key and value of a Status, in the order of publication.
type Value struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Sample is everything that the firmware publishes at one moment.
type Sample struct {
	// Publishing says whether anything is published at all; the rest means
	// nothing where it is not.
	Publishing  bool             `json:"publishing"`
	Battery     Battery          `json:"battery"`     // /battery_state, 1 Hz
	EStop       EStop            `json:"estop"`       // /emergency_stop_state, 1 Hz and on change
	Odometry    Twist            `json:"odometry"`    // /odom, 50 Hz
	Diagnostics []Status         `json:"diagnostics"` // /diagnostics, 1-10 Hz
	Around      Surroundings     `json:"around"`      // /docked, 1 Hz and on change; what is muted
	App         espsim.AppStatus `json:"-"`
}

// New powers a robot up. Close ends it.
func New(cfg Config) (*Robot, error) {
	if cfg.ID == "" {
		cfg.ID = DefaultID
	}
	if cfg.Battery == 0 {
		cfg.Battery = DefaultBattery
	}
	if cfg.DrainPerHour == 0 {
		cfg.DrainPerHour = DefaultDrain
	}
	chip, err := espsim.New(cfg.Chip)
	if err != nil {
		return nil, err
	}
	r := &Robot{
		id: cfg.ID, chip: chip, drain: cfg.DrainPerHour, rate: 1, at: time.Now(), around: calm(),
		changed: make(map[chan struct{}]struct{}),
	}
	if err := r.SetBattery(cfg.Battery, false); err != nil {
		chip.Close()
		return nil, err
	}
	return r, nil
}

// Close switches the robot off.
func (r *Robot) Close() { r.chip.Close() }

// ID is the robot's id.
func (r *Robot) ID() string { return r.id }

// Chip is the robot's ESP32.
func (r *Robot) Chip() *espsim.Chip { return r.chip }

// SetBattery sets the charge, 0-1.
func (r *Robot) SetBattery(fraction float64, charging bool) error {
	return r.SetCharge(Charge{Fraction: fraction, Charging: charging})
}

// SetCharge is SetBattery for a battery whose charge may be unknown.
func (r *Robot) SetCharge(c Charge) error {
	if !c.Unknown && !(c.Fraction >= 0 && c.Fraction <= 1) {
		return fmt.Errorf("battery %v: want a fraction from 0 to 1", c.Fraction)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !c.Unknown {
		r.battery = c.Fraction
	}
	r.unknown, r.charging, r.at = c.Unknown, c.Charging, time.Now()
	r.tell()
	return nil
}

// SetEStop presses or releases the emergency stop.
func (r *Robot) SetEStop(e EStop) error {
	if e.State > 2 || len(e.Reason) > 256 {
		return fmt.Errorf("estop: state %d: want 0 normal, 1 stopped or 2 recovery, and a reason of at most 256 bytes", e.State)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.estop = e
	r.tell()
	return nil
}

// SetVelocity lets the motors turn, or rest at 0, 0.
func (r *Robot) SetVelocity(linear, angular float64) error {
	if math.IsNaN(linear+angular) || math.Abs(linear) > 10 || math.Abs(angular) > 10 {
		return fmt.Errorf("velocity %v m/s, %v rad/s: want at most 10", linear, angular)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.linear, r.angular = linear, angular
	r.tell()
	return nil
}

// Changed returns a channel that receives after something was set by hand, for
// what is published on change, and the function that ends it. What the
// firmware changes by itself, Chip().Watch tells.
func (r *Robot) Changed() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed[c] = struct{}{}
	return c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.changed, c)
	}
}

// tell wakes who waits for a change. The caller holds mu.
func (r *Robot) tell() {
	for c := range r.changed {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Sample is what the firmware publishes now.
func (r *Robot) Sample() Sample {
	app := r.chip.App()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.use(time.Now(), app.Drain)
	s := Sample{
		Publishing: app.Running && app.Publishing,
		Battery:    Battery{Fraction: r.battery, Voltage: 19.8 + 5.4*r.battery, Charging: r.charging, Unknown: r.unknown},
		EStop:      r.estop,
		Odometry:   Twist{r.linear, r.angular},
		Around:     r.around,
		App:        app,
	}
	if app.EStop && !s.EStop.Stopped {
		s.EStop = EStop{Stopped: true, State: 1, Reason: "firmware: range sensor"}
	}
	if s.EStop.Stopped {
		s.Odometry = Twist{}
	}
	s.Diagnostics = s.Around.heard(r.id, r.diagnostics(s))
	return s
}

// use drains the battery for the time since it was last looked at.
func (r *Robot) use(now time.Time, rate float64) {
	hours := now.Sub(r.at).Hours()
	r.at = now
	per := -r.drain * r.rate
	if r.charging {
		per = 0.5
	}
	r.battery = min(max(r.battery+per*hours, 0), 1)
	r.rate = rate
}

// diagnostics is the robot's part of /diagnostics.
func (r *Robot) diagnostics(s Sample) []Status {
	app := s.App
	motors := app.Motors
	if s.Odometry != (Twist{}) {
		motors = "running"
	}
	safety := app.SafetyState
	if s.EStop.Stopped {
		safety = "estop"
	}
	level, message := uint8(LevelOK), "running"
	switch {
	case app.SelfTest == "failed" || app.SafetyState == "fault":
		level, message = LevelError, "self-test or safety fault"
	case app.SelfTest == "running":
		message = "self-test"
	}
	safetyLevel, safetyText := uint8(LevelOK), "normal"
	switch {
	case s.EStop.Stopped:
		safetyLevel, safetyText = LevelWarn, "emergency stop: "+s.EStop.Reason
	case safety == "fault":
		safetyLevel, safetyText = LevelError, "fault"
	}
	battery := uint8(LevelOK)
	if s.Battery.Fraction < 0.2 {
		battery = LevelWarn
	}
	firmware := []Value{
		{"firmware_version", app.Version},
		{"protocol_version", strconv.Itoa(int(app.Protocol))},
		{"app_sha256", app.SHA256},
		{"slot", app.Slot},
		{"ota_state", app.OTAState},
		{"boot_count", strconv.FormatUint(app.BootCount, 10)},
		{"reset_reason", app.ResetReason},
		{"safety_state", safety},
		{"motors", motors},
		{"self_test", app.SelfTest},
	}
	if app.SigningKey != "" {
		firmware = append(firmware, Value{"signing_key", app.SigningKey})
	}
	return []Status{
		s.Around.system(r.id),
		{r.id + "/battery", battery, "ok", []Value{
			{"percentage", fmt.Sprintf("%.4f", s.Battery.Fraction)},
			{"voltage", fmt.Sprintf("%.2f", s.Battery.Voltage)},
		}},
		{r.id + "/safety", safetyLevel, safetyText, []Value{{"safety_state", safety}}},
		{r.id + "/firmware", level, message, firmware},
	}
}

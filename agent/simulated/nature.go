package simulated

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Nature is how a firmware behaves on the robots that it does not agree with, a
// share of all. On the others, and where a field is zero, a robot is as it always
// is.
type Nature struct {
	// Harms is the share of robots that it does not agree with, 0-1; which ones
	// is drawn once.
	Harms float64
	// Errors and Warnings are added to the shares of minutes that have one, 0-1.
	Errors, Warnings float64
	// EStops and Reboots an hour.
	EStops, Reboots float64
	// Drain is how many times as fast the battery drains; 0 counts as 1.
	Drain float64
	// Odometry is the share of odometry messages that is missing, 0-1.
	Odometry float64
	// FailsTrial is the probability that its self-test fails, 0-1.
	FailsTrial float64
}

// Check says what cannot be; nil: all can.
func (n Nature) Check() error {
	for name, v := range map[string]float64{"harms": n.Harms, "errors": n.Errors, "warnings": n.Warnings, "odometry": n.Odometry, "fails_trial": n.FailsTrial} {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("%s %v: want 0 to 1", name, v)
		}
	}
	for name, v := range map[string]float64{"estops": n.EStops, "reboots": n.Reboots, "drain": n.Drain} {
		if !(v >= 0 && v <= 1000) {
			return fmt.Errorf("%s %v: want 0 to 1000", name, v)
		}
	}
	return nil
}

// against says whether it does not agree with a robot.
func (n Nature) against(robot string, v compat.Version) bool {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s", robot, v)
	return float64(mix(h.Sum64())>>11)/(1<<53) < n.Harms
}

// mix spreads a hash over all bits: the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Firmware is a version as the robots know it.
type Firmware struct {
	Image  update.Image
	Nature Nature
}

// NewFirmware is a version by the SHA-256 of its signed file and of its app image
// (lower-case hex), the size of the latter in bytes, and the id of the key that
// signed it.
func NewFirmware(v compat.Version, file, app string, size uint32, key string, n Nature) Firmware {
	return Firmware{Nature: n, Image: update.Image{Version: v, FileSHA256: file, AppSHA256: app, Size: size, Key: key}}
}

// Temper is what robots are like whatever firmware they run.
type Temper struct {
	// Warnings and Errors are shares of minutes in the fleet's middle; robots
	// differ in them by a factor of three and more.
	Warnings, Errors float64
	// Drain is the charge that goes in an hour, a fraction.
	Drain float64
	// Away is the share of time in which a robot is out of reach, Absence how
	// long it then is, on average.
	Away    float64
	Absence time.Duration
	// Handshakes are those with the firmware's DTLS server in an hour, of which
	// HandshakeFailures fail.
	Handshakes, HandshakeFailures float64
}

// DefaultTemper is a fleet in which something always is the matter.
func DefaultTemper() Temper {
	return Temper{Warnings: 0.02, Errors: 0.002, Drain: 0.08, Away: 0.03, Absence: 20 * time.Minute, Handshakes: 12, HandshakeFailures: 0.005}
}

// Config is one robot.
type Config struct {
	ID, SKU   string
	Companion compat.Version
	// Runs is the version in ota_0 at the start; it must be in Firmware.
	Runs compat.Version
	// Firmware there is, by the SHA-256 of the signed file.
	Firmware map[string]Firmware
	Temper   Temper
	// Agreeable robots are ones that every firmware agrees with, and that have no
	// faults of their own.
	Agreeable bool
	Seed      uint64
	Start     time.Time
	// CheckEvery is the time between two questions to the server, ReportEvery
	// that between two words on the robot's health.
	CheckEvery, ReportEvery time.Duration
	// ObserveFor is how long a confirmed firmware is watched.
	ObserveFor time.Duration
	Gates      preflight.Policy
	Trial      watch.TrialPolicy
	Observe    watch.ObservePolicy
}

// DefaultConfig is a robot with the agent's defaults.
func DefaultConfig() Config {
	return Config{
		Temper: DefaultTemper(), CheckEvery: 6 * time.Hour, ReportEvery: 15 * time.Minute, ObserveFor: 24 * time.Hour,
		Gates: preflight.DefaultPolicy(), Trial: watch.DefaultTrialPolicy(), Observe: watch.DefaultObservePolicy(),
	}
}

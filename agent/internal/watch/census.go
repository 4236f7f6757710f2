package watch

import (
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Counters are sums since a counting began: what the fleet holds one robot
// against others by.
type Counters struct {
	// Minutes, each by the worst level of this robot's diagnostics in it; in a
	// silent one none came.
	OK     float64 `json:"ok"`
	Warn   float64 `json:"warn"`
	Error  float64 `json:"error"`
	Silent float64 `json:"silent"`
	// Messages.
	Odometry    float64 `json:"odometry"`
	Diagnostics float64 `json:"diagnostics"`
	Battery     float64 `json:"battery"`
	// Used is the charge, a fraction, that went in the Discharging seconds.
	Used        float64 `json:"used"`
	Discharging float64 `json:"discharging"`
	// EStops are emergency stops that no operator announced, Reboots those that
	// the firmware's boot counter tells of.
	EStops  float64 `json:"estops"`
	Reboots float64 `json:"reboots"`
	// DTLS handshakes.
	Tries    float64 `json:"tries"`
	Failures float64 `json:"failures"`
}

// Census counts what happens under one firmware, in its trial, in its
// observation and ever after.
type Census struct {
	Firmware compat.Version
	Sum      Counters
	Seconds  float64 // of the counting

	last   robot.Facts
	at     time.Time // of the last look; zero: there was none to go on from
	begun  time.Time // of the minute that goes on
	heard  bool      // in it
	worst  robot.Level
	stops  stops
	down   bool // in an unexplained stop that was counted
	boots  uint64
	booted bool // boots is known
}

// NewCensus begins to count. An emergency stop that is on already is not
// blamed on the firmware.
func NewCensus(f robot.Facts) Census {
	return Census{Firmware: f.Firmware.Version, stops: stops{borne: !f.EStop.At.IsZero() && pressed(f.EStop)}}
}

// Hear takes a diagnostic of this robot into the minute that goes on.
func (c Census) Hear(level robot.Level) Census {
	if !c.heard || level > c.worst {
		c.worst = level
	}
	c.heard = true
	return c
}

// Pause ends the counting until the next look: the minute that goes on does
// not count.
func (c Census) Pause() Census {
	c.at = time.Time{}
	return c
}

// Look is the census after a look at the facts of now. After a longer time
// without one (the computer was asleep) it goes on from here.
func (c Census) Look(f robot.Facts, now time.Time) Census {
	seconds := now.Sub(c.at).Seconds()
	if c.at.IsZero() || seconds < 0 || seconds > batteryGap.Seconds() {
		c.begun, c.heard, c.at, c.last = now, false, now, f
		c.boots, c.booted = f.Firmware.BootCount, f.Firmware.Heard()
		return c
	}
	t, s := between(c.last, f, seconds), &c.Sum
	c.Seconds += seconds
	s.Odometry, s.Diagnostics, s.Battery = s.Odometry+t.Odometry, s.Diagnostics+t.Diagnostics, s.Battery+t.Battery
	s.Used, s.Discharging = s.Used+t.Used, s.Discharging+t.Discharging
	s.Tries, s.Failures = s.Tries+t.Tries, s.Failures+t.Failures
	stopped := c.stops.unexplained(f.EStop, time.Time{})
	if stopped && !c.down {
		s.EStops++
	}
	c.down = stopped
	if w := f.Firmware; w.Heard() {
		if c.booted && w.BootCount > c.boots {
			s.Reboots += float64(w.BootCount - c.boots)
		}
		c.boots, c.booted = w.BootCount, true
	}
	c.last, c.at = f, now
	if now.Sub(c.begun) >= time.Minute {
		c.minute()
		c.begun, c.heard = now, false
	}
	return c
}

// minute counts the one that has ended. A status that says of itself that it
// is stale tells as little good as an error.
func (c *Census) minute() {
	switch {
	case !c.heard:
		c.Sum.Silent++
	case c.worst == robot.OK:
		c.Sum.OK++
	case c.worst == robot.Warn:
		c.Sum.Warn++
	default:
		c.Sum.Error++
	}
}

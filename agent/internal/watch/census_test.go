package watch

import (
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// spell looks at the facts every 5 s for a time, beginning at second s, and
// hears a diagnostic of that level before each look; levels above Stale: none.
func spell(c Census, f robot.Facts, s float64, d time.Duration, level robot.Level) (Census, float64) {
	for range int(d / (5 * time.Second)) {
		s += 5
		if level <= robot.Stale {
			c = c.Hear(level)
		}
		c = c.Look(f, at(s))
	}
	return c, s
}

const none = robot.Stale + 1

func TestCensusMinutes(t *testing.T) {
	var f robot.Facts
	c := NewCensus(f).Look(f, at(0))
	s := 0.0
	for _, step := range []struct {
		d     time.Duration
		level robot.Level
	}{
		{3 * time.Minute, robot.OK}, {2 * time.Minute, robot.Warn}, {time.Minute, robot.Error},
		{time.Minute, robot.Stale}, {4 * time.Minute, none}, {59 * time.Second, robot.OK},
	} {
		c, s = spell(c, f, s, step.d, step.level)
	}
	if want := (Counters{OK: 3, Warn: 2, Error: 2, Silent: 4}); c.Sum != want || c.Seconds != s {
		t.Errorf("%+v in %v s, want %+v in %v s", c.Sum, c.Seconds, want, s)
	}
}

// One error in a minute of good words makes it a bad one, whatever comes after.
func TestCensusWorst(t *testing.T) {
	var f robot.Facts
	c := NewCensus(f).Look(f, at(0)).Hear(robot.Error)
	c, _ = spell(c, f, 0, 2*time.Minute, robot.OK)
	if c.Sum != (Counters{Error: 1, OK: 1}) {
		t.Errorf("%+v", c.Sum)
	}
}

func TestCensusEvents(t *testing.T) {
	f := robot.Facts{Firmware: robot.Firmware{BootCount: 7, At: at(0)}}
	stop := func(reason string, s float64) robot.EStop {
		return robot.EStop{Stopped: true, State: robot.EStopStopped, Reason: reason, At: at(s)}
	}
	f.EStop = stop("bumper", 0) // before anybody counted
	c, s := NewCensus(f).Look(f, at(0)), 0.0
	look := func() { c, s = spell(c, f, s, 5*time.Second, none) }
	look()
	f.EStop = robot.EStop{At: at(s)}
	look()
	f.EStop = stop("bumper", s)
	look()
	look() // still the same one
	f.EStop = robot.EStop{At: at(s)}
	look()
	f.EStop = stop("operator at the door", s)
	look()
	f.EStop = robot.EStop{At: at(s)}
	look()
	f.EStop = stop("bumper", s)
	f.Firmware.BootCount = 9
	f.DTLS = robot.DTLS{Tries: 4, Failures: 1}
	f.Heard = robot.Counts{Odometry: 250, Diagnostics: 20, Battery: 5}
	look()
	if want := (Counters{EStops: 2, Reboots: 2, Tries: 4, Failures: 1, Odometry: 250, Diagnostics: 20, Battery: 5}); c.Sum != want {
		t.Errorf("%+v, want %+v", c.Sum, want)
	}
}

// What the agent does to the robot, and what a sleeping computer missed, is not
// the firmware's.
func TestCensusPause(t *testing.T) {
	f := robot.Facts{Firmware: robot.Firmware{BootCount: 1, At: at(0)}}
	c := NewCensus(f).Look(f, at(0))
	c, s := spell(c, f, 0, 50*time.Second, robot.OK)
	c = c.Pause()
	f.Firmware.BootCount, f.Heard.Odometry = 2, 1000
	c, s = spell(c.Look(f, at(s+300)), f, s+300, 50*time.Second, robot.OK)
	c, _ = spell(c.Look(f, at(s+8*3600)), f, s+8*3600, 50*time.Second, robot.OK)
	if c.Sum != (Counters{}) || c.Seconds != 150 {
		t.Errorf("%+v in %v s, want nothing in 150 s", c.Sum, c.Seconds)
	}
}

func TestCensusDischarge(t *testing.T) {
	l := newLife()
	c := NewCensus(l.f)
	for range 361 {
		c = c.Look(l.step())
	}
	if c.Sum.Discharging < 3595 || c.Sum.Discharging > 3605 || c.Sum.Used < 0.099 || c.Sum.Used > 0.101 {
		t.Errorf("%v used in %v s of discharging", c.Sum.Used, c.Sum.Discharging)
	}
}

package daytest

import (
	"context"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

// nature is what a firmware does once it runs.
type nature int

const (
	good   nature = iota
	crash         // resets before its first word
	sick          // speaks, and gives itself up
	hang          // speaks, and never confirms itself
	silent        // runs, and says nothing
	// Those confirm themselves, and turn bad twenty minutes later.
	reboots
	mute
	stops
)

const turnsBad = 20 * time.Minute

// beat is how often the robot speaks.
const beat = 2 * time.Second

// live uses 8 % of the charge in an hour, and is charged in time.
func (b *body) live() {
	if b.charging {
		b.charge += 0.5 * beat.Hours()
	} else {
		b.charge -= 0.08 * beat.Hours()
	}
	switch {
	case b.charge < 0.6:
		b.charging = true
	case b.charge > 0.95:
		b.charging = false
	}
}

// body is the robot around the chip. The day's lock guards it.
type body struct {
	charge   float64
	charging bool
	flaps    bool // the battery is at its threshold
	moving   bool
	stopped  bool // an operator has pressed the emergency stop
	unmanned bool // the firmware has
	owner    bool // of the serial line runs
}

// speak is a robot that says how it is. Its words reach the board of the life
// that is.
func (d *day) speak(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d.mu.Lock()
		words, board := d.words(n), d.board
		d.mu.Unlock()
		for _, o := range words {
			board.Post(o)
		}
	}
}

func (d *day) words(n int) []robot.Observation {
	now, b, c := time.Now(), &d.body, &d.chip
	b.live()
	battery := robot.Battery{Fraction: b.charge, Charging: b.charging, At: now}
	if b.flaps {
		battery.Fraction = 0.495 + 0.01*float64(n%2)
	}
	motion := 0.0
	if b.moving {
		motion = 0.4
	}
	stop := robot.EStop{At: now}
	if b.stopped || b.unmanned {
		stop.Stopped, stop.State, stop.Reason = true, robot.EStopStopped, "operator"
		if b.unmanned {
			stop.Reason = "overcurrent"
		}
	}
	out := []robot.Observation{battery, stop, robot.Odometry{Linear: motion, At: now}}
	if c.runs < 0 || !b.owner {
		return out
	}
	h := &c.slots[c.runs]
	nature := d.natures[h.version]
	up := now.Sub(c.booted)
	w := robot.Firmware{Version: h.version, AppSHA256: h.sha, Slot: flashmap.Slot(c.runs).String(), BootCount: c.boots,
		SafetyState: "normal", Motors: "idle", SelfTest: "passed", At: now}
	if h.state == flashmap.PendingVerify {
		w.SelfTest = "running"
		switch {
		case nature == silent:
			return out
		case nature == crash, nature == sick && up > 6*time.Second:
			c.reset()
			return out
		case nature != hang && nature != sick && up > 8*time.Second:
			h.state, w.SelfTest = flashmap.Valid, "passed"
			c.bootable("confirming itself")
		}
	}
	if bad := d.turned(h.version, h.state, now); bad && d.turn(nature, now) {
		return out
	}
	w.OTAState = h.state.String()
	return append(out, w, robot.Diagnostic{Name: "r1/firmware", At: now})
}

// turned says whether a confirmed firmware has had its good time.
func (d *day) turned(v version, s flashmap.OTAState, now time.Time) bool {
	if n := d.natures[v]; n < reboots || s != flashmap.Valid {
		d.since = time.Time{}
		d.body.unmanned = false
		return false
	}
	if d.since.IsZero() {
		d.since = now
	}
	return now.Sub(d.since) > turnsBad
}

// turn is a firmware that has turned bad; true: it says nothing.
func (d *day) turn(n nature, now time.Time) bool {
	switch n {
	case reboots:
		if now.Sub(d.chip.booted) > 40*time.Second {
			d.chip.reset()
		}
	case stops:
		d.body.unmanned = true
	case mute:
		return true
	case good, crash, sick, hang, silent:
	}
	return false
}

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// question asks the update server for something newer than what runs.
func (e *Engine) question(ctx context.Context) (update.Offer, bool, error) {
	w := e.ports.Robot.Facts().Firmware
	if !w.Heard() {
		return update.Offer{}, false, failf("firmware_unknown",
			"the firmware has not said which version it is, so the update server cannot be asked for a newer one; name a URL, or see that its status arrives in the diagnostics")
	}
	o, found, err := e.ports.Source.Check(ctx, w.Version)
	if err == nil {
		err = e.vouched(ctx, o) // also where nothing is found: it may be held back
	}
	if err != nil {
		return update.Offer{}, false, err
	}
	return o, found, nil
}

// firstWord is how long the robot's firmware is given to speak: an agent that has
// just begun has not heard it yet, and its diagnostics come once a second or so.
const firstWord = 5 * time.Second

// hearFirst waits for the firmware's first word, for a while; it may not have come
// then.
func (e *Engine) hearFirst(ctx context.Context) error {
	bound, cancel := context.WithTimeout(ctx, firstWord)
	defer cancel()
	err := e.look(bound, func(f robot.Facts, _ time.Time) bool { return f.Firmware.Heard() })
	if ctx.Err() != nil {
		return err
	}
	return nil
}

// vouched refuses what the fleet's owner does not stand for, as far as an offer
// tells, after asking for the newest that he said.
func (e *Engine) vouched(ctx context.Context, o update.Offer) error {
	v := e.ports.Vouchers
	if v == nil {
		return nil
	}
	f := o.File()
	if f.Local { // there may be no network
		return e.stands(ctx, f, true)
	}
	if err := v.Renew(ctx); err != nil {
		return err
	}
	return v.Vouch(f)
}

// stands refuses what the fleet's owner does not stand for any more. ask: what he
// said may be asked for anew, as after days of waiting it has expired. That may
// take minutes, so it is not done once the serial line is taken: the robot stands
// still then.
func (e *Engine) stands(ctx context.Context, f update.File, ask bool) error {
	v := e.ports.Vouchers
	if v == nil {
		return nil
	}
	err := v.Vouch(f)
	if err == nil || !ask || v.Renew(ctx) != nil {
		return err
	}
	return v.Vouch(f)
}

// checked tells who plans the next question how this one went.
func (e *Engine) checked(o update.Offer, from update.Origin, err error) {
	if e.ports.Checks == nil {
		return
	}
	c := update.Check{At: time.Now(), Origin: from, Offered: o.Version}
	if err != nil {
		c.Err = err.Error()
		var wait interface{ LeaveAlone() time.Duration }
		if errors.As(err, &wait) {
			c.Wait = wait.LeaveAlone()
		}
	}
	e.ports.Checks.Checked(c)
	e.board.change(func() {}) // Status tells of it
}

// LastCheck is how the latest question to the update server went; its time is
// zero before the first.
func (e *Engine) LastCheck() update.Check {
	if e.ports.Checks == nil {
		return update.Check{}
	}
	return e.ports.Checks.Last()
}

// withChecks adds to a status when the update server was and will be asked, and
// how its release metadata stands.
func (e *Engine) withChecks(s update.Status) update.Status {
	if v := e.ports.Vouchers; v != nil {
		m := v.Metadata()
		s.Metadata = &m
	}
	if e.ports.Checks == nil {
		return s
	}
	s.NextCheck = e.ports.Checks.Next()
	if c := e.ports.Checks.Last(); !c.At.IsZero() {
		s.LastCheck = &c
	}
	return s
}

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// question asks the update server for something newer than what runs.
func (e *Engine) question(ctx context.Context) (update.Offer, bool, error) {
	w := e.ports.Robot.Facts().Firmware
	if !w.Heard() {
		return update.Offer{}, false, failf("firmware_unknown",
			"the firmware has not said which version it is, so the update server cannot be asked for a newer one; name a URL, or see that its status arrives in the diagnostics")
	}
	return e.ports.Source.Check(ctx, w.Version)
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

// withChecks adds to a status when the update server was and will be asked.
func (e *Engine) withChecks(s update.Status) update.Status {
	if e.ports.Checks == nil {
		return s
	}
	s.NextCheck = e.ports.Checks.Next()
	if c := e.ports.Checks.Last(); !c.At.IsZero() {
		s.LastCheck = &c
	}
	return s
}

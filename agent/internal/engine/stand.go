package engine

import (
	"context"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// stand waits until the robot stands, because the reset that puts the old
// firmware back stops the one that controls the motors. It waits only for motion
// that it sees: with a firmware that has fallen silent, a pressed emergency stop
// or no word on motion there is nothing to wait for. And it waits for StandWithin
// at most: the firmware was found bad, and a robot that never stands must not
// keep it for ever.
func (e *Engine) stand(ctx context.Context, m update.Memory, out emit) error {
	start := time.Now()
	limit := start.Add(min(m.Job.Since.Add(e.cfg.StandWithin).Sub(start), e.cfg.StandWithin)) // where the clock was set back
	vigil := preflight.Resume(m.Job.Reasons)
	var said []preflight.Reason
	var held time.Time
	err := e.look(ctx, func(f robot.Facts, now time.Time) bool {
		if !now.Before(limit) {
			e.log.Warn("the robot has not come to rest; its firmware is put back all the same", "job", m.Job.ID, "waited", e.cfg.StandWithin, "seen", said)
			return true
		}
		p := e.policy()
		seen, oldest, live := preflight.Motion(f, p, now)
		if !live {
			return true
		}
		var shut []preflight.Reason
		var still bool
		vigil, shut, still = vigil.Look(seen, oldest, p.Settle, now)
		for i := range shut {
			shut[i].Lift += ", or " + limit.UTC().Format(time.RFC3339) + " at the latest"
		}
		changed := !sameGates(said, shut)
		if changed || now.Sub(held) >= holdEvery {
			held = now
			e.board.hold(shut)
		}
		if changed && len(shut) > 0 {
			out(update.Blocked{Reasons: shut})
		}
		said = shut
		return still
	})
	if err != nil {
		return err
	}
	e.board.hold(nil)
	out(update.Standing{})
	return nil
}

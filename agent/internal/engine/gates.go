package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// gates asks preflight about this job now. A plan, an update that waits and the
// hand-over all ask here.
func (e *Engine) gates(j update.Job, now time.Time) []preflight.Reason {
	return e.regates(j, now, now)
}

// regates is gates once the line was taken; asked is when they were before.
func (e *Engine) regates(j update.Job, asked, now time.Time) []preflight.Reason {
	return preflight.Recheck(e.ports.Robot.Facts(), e.inhibitors.held(now), candidate(j), e.policy(), asked, now)
}

func candidate(j update.Job) preflight.Candidate {
	return preflight.Candidate{Version: target(j), Protocol: j.Offer.Protocol, AnyTime: j.Request.AnyTime || j.Offer.Forced}
}

// shut are the gates that a plan is up against, since when they are as far as
// an update that waits has seen.
func (e *Engine) shut(j update.Job, now time.Time) []preflight.Reason {
	e.board.mu.Lock()
	before := e.board.reasons
	e.board.mu.Unlock()
	return preflight.Carry(before, e.gates(j, now))
}

// holdEvery is how often the reasons of an update that waits are published
// where only their numbers have changed.
const holdEvery = 500 * time.Millisecond

// askGates asks at every news of the robot, until all gates are open and have
// been for long enough.
func (e *Engine) askGates(ctx context.Context, m update.Memory, out emit) error {
	vigil := preflight.Resume(m.Job.Reasons)
	var said []preflight.Reason
	var held time.Time
	err := e.look(ctx, func(f robot.Facts, now time.Time) bool {
		var shut []preflight.Reason
		var open bool
		p := e.policy()
		vigil, shut, open = vigil.Look(e.gates(m.Job, now), preflight.Oldest(f, p), p.Settle, now)
		changed := !sameGates(said, shut)
		if changed || now.Sub(held) >= holdEvery {
			held = now
			e.board.hold(shut)
		}
		if changed && len(shut) > 0 { // numbers that wobble are not worth a write to the disk
			out(update.Blocked{Reasons: shut})
		}
		said = shut
		return open
	})
	if err == nil {
		out(update.Clear{})
	}
	return err
}

func sameGates(a, b []preflight.Reason) bool {
	return slices.EqualFunc(a, b, func(x, y preflight.Reason) bool { return x.Code == y.Code })
}

// takeLine takes the serial line from its owner, if the gates are open at that
// moment and still when it is taken: to stop the owner may take a while, in
// which somebody may press the emergency stop or send the robot off. From then
// on nothing is known of the robot, and the chip is reset at once. What takes
// time and needs no line is done before.
func (e *Engine) takeLine(ctx context.Context, m update.Memory, out emit) error {
	if err := e.proveAgain(ctx, m); err != nil {
		return err
	}
	if err := e.ports.Chip.Prepare(e.verified); err != nil {
		return fmt.Errorf("prepare the image for writing: %w", err)
	}
	asked := time.Now()
	if shut := e.gates(m.Job, asked); len(shut) > 0 {
		out(update.Blocked{Reasons: shut})
		return nil
	}
	if err := e.ports.Line.Take(ctx); err != nil {
		return fmt.Errorf("take the serial line: %w", err)
	}
	if shut := e.regates(m.Job, asked, time.Now()); len(shut) > 0 {
		out(update.Blocked{Reasons: shut})
		return nil
	}
	out(update.LineTaken{})
	return nil
}

package main

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/robot-platform/robot-ota/agent/simulated"
	"github.com/robot-platform/robot-ota/fleet/internal/controller"
	"github.com/robot-platform/robot-ota/fleet/internal/ingest"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

const (
	// simStep is how much time passes between two looks of the server at its
	// robots.
	simStep = 15 * time.Minute
	// simAgain is after what time a command is sent again that was not answered.
	simAgain = 30 * time.Minute
	// mostCommands are sent in a step.
	mostCommands = 5_000
)

// step lets the fleet live for a while: the robots first, at once, then what
// they said arrives, and what is in the outbox is sent.
func (w *world) step(ctx context.Context, d time.Duration) error {
	w.clock.pass(d)
	now := w.clock.Now()
	said := make([][]simulated.Message, len(w.robots))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, r := range w.robots {
		g.Go(func() (err error) {
			said[i], err = r.Step(gctx, w, now)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := w.arrive(ctx, said, now); err != nil {
		return err
	}
	return w.send(ctx, now)
}

// arrive hands what robots said to the server.
func (w *world) arrive(ctx context.Context, said [][]simulated.Message, now time.Time) error {
	var batch []ingest.Message
	for i, r := range w.robots {
		for _, m := range said[i] {
			robot, kind, ok := ingest.Topic("fleet/" + r.ID() + "/" + m.Topic)
			if ok {
				batch = append(batch, ingest.Message{Robot: robot, Kind: kind, Payload: m.Payload, Received: now})
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return w.ingest.Take(ctx, batch)
}

// send takes the place of the broker: a robot that is out of reach gets its
// command when it is back.
func (w *world) send(ctx context.Context, now time.Time) error {
	commands, err := w.store.Due(ctx, now, simAgain, mostCommands)
	if err != nil || len(commands) == 0 {
		return err
	}
	var sent []string
	for _, c := range commands {
		if r, ok := w.byID[c.Robot]; ok && r.Command(ctx, "commands/"+string(c.Verb), c.Payload) {
			sent = append(sent, c.ID)
		}
	}
	if len(sent) == 0 {
		return nil
	}
	return w.store.Note(ctx, "sent", func(tx *store.Tx) error { return tx.Sent(ctx, sent...) })
}

// leaseTime is longer than a step.
const leaseTime = 12 * simStep

// decide is what a server's leader does now and then.
func (w *world) decide(ctx context.Context) error {
	lease, err := w.store.Acquire(ctx, controller.Lease, "simulation", leaseTime)
	if err != nil {
		return err
	}
	if err := w.controller.Tick(ctx, lease); err != nil {
		return err
	}
	return w.emergency.Follow(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.Fence(ctx, lease) })
}

package main

import (
	"context"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/robot-platform/robot-ota/agent/internal/census"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/dtlslink"
	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/hawkbit"
	"github.com/robot-platform/robot-ota/agent/internal/rosnode"
	"github.com/robot-platform/robot-ota/agent/internal/schedule"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// crew is the parts of the agent that run side by side.
type crew struct {
	*subject
	ros         *rosnode.Node // nil: this build has no ROS
	plan        *schedule.Schedule
	source      engine.Source
	deployments *hawkbit.Link   // nil: another kind of update server
	probe       *dtlslink.Probe // nil: the firmware's DTLS server is not looked at
	listener    net.Listener    // of the control socket
}

// run has all of them run until ctx ends or one fails, and returns when the last has ended.
func (c *crew) run(ctx context.Context, a agent) error {
	g, ctx := errgroup.WithContext(ctx)
	until := func(run func(context.Context)) { g.Go(func() error { run(ctx); return nil }) }
	if c.ros != nil {
		g.Go(func() error { return c.ros.Run(ctx) })
	}
	if c.link != nil {
		count := census.New(a.cfg.Robot.ID, a.cfg.Robot.SKU, c.board, c.core)
		until(count.Run)
		g.Go(func() error { return c.link.WithCensus(count).Run(ctx, c.core) })
	}
	if c.deployments != nil {
		g.Go(func() error { return c.deployments.Run(ctx) })
	}
	g.Go(func() error { return c.core.Run(ctx) })
	if c.probe != nil {
		until(c.probe.Run)
	}
	g.Go(func() error { return c.dog.run(ctx, c.core) })
	server := control.NewServer(c.core, c.store, a.log).WithKeys(c.ring)
	server.Examine(c.subject)
	g.Go(func() error { return server.Serve(ctx, c.listener) })
	until(func(ctx context.Context) { c.plan.Run(ctx, func(ctx context.Context) error { return c.check(ctx, a) }) })
	a.ready()
	return g.Wait()
}

// check is the scheduled one.
func (c *crew) check(ctx context.Context, a agent) error {
	_, err := c.core.Trigger(ctx, update.Request{Origin: update.FromSchedule})
	return a.refreshed(ctx, c.source, err)
}

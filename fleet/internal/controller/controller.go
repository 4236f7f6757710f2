package controller

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Recaller calls a release back, as a part of a transaction: it is served to
// nobody any more, an incident is opened, and the robots that run it are told.
type Recaller interface {
	RollbackIn(ctx context.Context, tx *store.Tx, by, release, reason string) (incident string, err error)
}

// Config of a controller.
type Config struct {
	// Now is the server's clock.
	Now func() time.Time
	// Every is how often it looks.
	Every time.Duration
}

// Controller carries rollouts out.
type Controller struct {
	store  *store.Store
	recall Recaller
	cfg    Config
	log    *slog.Logger
}

// New is a controller over a store.
func New(cfg Config, s *store.Store, recall Recaller, log *slog.Logger) *Controller {
	return &Controller{store: s, recall: recall, cfg: cfg, log: log}
}

// Lease is the name of the lease under which one controller of all leads.
const Lease = "controller"

// restful is how many times as long as a look took the controller rests at
// least: looks at a large fleet leave most of the machine to its robots.
const restful = 9

// Run looks at the rollouts as long as this process leads, until ctx ends. The
// holder is a name that no other process has, ttl how long the lease is good
// for after its leader died.
func (c *Controller) Run(ctx context.Context, holder string, ttl time.Duration) error {
	return c.store.Lead(ctx, Lease, holder, ttl, c.log, func(ctx context.Context, l store.Lease) error {
		for {
			began := time.Now()
			err := c.Tick(ctx, l)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.Is(err, store.ErrFenced):
				return err
			case err != nil:
				c.log.Warn("a rollout was not looked at", "err", err)
			}
			rest := time.NewTimer(max(c.cfg.Every, restful*time.Since(began)))
			select {
			case <-rest.C:
			case <-ctx.Done():
				rest.Stop()
				return context.Cause(ctx)
			}
		}
	})
}

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/controller"
	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// leading says how rollouts are looked after.
type leading struct{ every time.Duration }

func (o *leading) flags(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&o.every, "rollouts-every", 10*time.Second, "how often rollouts are looked at, by one of several servers; 0: not by this one")
}

func (o *leading) check() error {
	if o.every != 0 && (o.every < 100*time.Millisecond || o.every > time.Hour) {
		return fmt.Errorf("--rollouts-every %v: want 100ms to 1h, or 0", o.every)
	}
	return nil
}

// newController is one by the real clock.
func newController(s *store.Store, every time.Duration, log *slog.Logger) *controller.Controller {
	return controller.New(controller.Config{Now: time.Now, Every: every}, s, emergency.New(s, time.Now), log)
}

// lookAfterRollouts does so until ctx ends.
func (o *leading) lookAfterRollouts(ctx context.Context, s *store.Store, log *slog.Logger) {
	if o.every == 0 {
		return
	}
	host, _ := os.Hostname() // for people; the rest makes it one of its kind
	err := newController(s, o.every, log).Run(ctx, host+"/"+rand.Text(), leaseFor)
	if ctx.Err() == nil {
		log.Error("rollouts are not looked after any more", "err", err)
	}
}

// steering is the dashboard's way to give orders.
type steering struct{ *controller.Controller }

func (s steering) Steer(ctx context.Context, id string, o rollout.Order) error {
	_, err := s.Order(ctx, id, o)
	return err
}

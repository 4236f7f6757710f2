package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Incidents are followed by one of several servers, this often, and in a fleet
// so large that a look at it takes long with a share of the time at most. The
// lease ends so much later than it was renewed.
const (
	incidentLease = "incidents"
	leaseFor      = 15 * time.Second
	followEvery   = 5 * time.Second
	followShare   = 10
)

// followIncidents sees to it that robots that report a release that was called
// back are told, as long as this server leads.
func followIncidents(ctx context.Context, s *store.Store, log *slog.Logger) {
	host, _ := os.Hostname() // for people; the rest makes it one of its kind
	e := emergency.New(s, time.Now)
	err := s.Lead(ctx, incidentLease, host+"/"+rand.Text(), leaseFor, log, func(ctx context.Context, l store.Lease) error {
		fence := func(ctx context.Context, tx *store.Tx) error { return tx.Fence(ctx, l) }
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			began := time.Now()
			if err := e.Follow(ctx, fence); err != nil && ctx.Err() == nil {
				log.Warn("an incident is not followed", "err", err)
			}
			timer.Reset(max(followEvery, time.Since(began)*followShare))
		}
	})
	if ctx.Err() == nil {
		log.Error("incidents are not followed any more", "err", err)
	}
}

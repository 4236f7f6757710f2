// Package schedule asks the update server now and then, without being told.
//
// A fleet that was switched on together must not ask together: the first check
// comes at a random moment of the first minutes, and each later one is moved by
// up to a tenth of the period.
package schedule

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// first is the time after the start within which the first check comes.
const first = 2 * time.Minute

// Schedule is a period that may be changed while it runs.
type Schedule struct {
	mu      sync.Mutex
	period  time.Duration
	changed chan struct{}
}

// New makes a schedule; with a period of 0 nothing is asked.
func New(period time.Duration) *Schedule {
	return &Schedule{period: period, changed: make(chan struct{}, 1)}
}

// Period is the period now.
func (s *Schedule) Period() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.period
}

// Set changes the period; the wait that goes on begins anew.
func (s *Schedule) Set(period time.Duration) {
	s.mu.Lock()
	s.period = period
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default: // it has been told and not looked yet
	}
}

// Run calls check until ctx ends: soon after the start, and then every period,
// jittered. A check that fails is made again after the next period; what went
// wrong is logged.
func (s *Schedule) Run(ctx context.Context, check func(context.Context) error, log *slog.Logger) {
	wait := spread(min(first, s.Period()))
	for {
		due, stop := after(wait, s.Period())
		select {
		case <-ctx.Done():
			stop()
			return
		case <-s.changed:
			stop()
		case <-due:
			if err := check(ctx); err != nil && ctx.Err() == nil {
				log.Info("scheduled check did not start", "why", err)
			}
		}
		period := s.Period()
		wait = period - period/10 + spread(period/5)
	}
}

// after is never with a period of 0.
func after(wait, period time.Duration) (<-chan time.Time, func() bool) {
	if period <= 0 {
		return nil, func() bool { return true }
	}
	t := time.NewTimer(wait)
	return t.C, t.Stop
}

// spread is a random part of d.
func spread(d time.Duration) time.Duration {
	return rand.N(max(d, 1)) //nolint:gosec // no secret hangs on it
}

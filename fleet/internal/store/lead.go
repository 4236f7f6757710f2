package store

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Lead runs f whenever this process has the lease, until ctx ends. f's context
// ends when the lease is lost or cannot be renewed in time; f returns soon then.
// What f writes carries Tx.Fence: between the loss and its notice another may
// have begun. When f returns by itself with an error, the lease is given up and
// taken anew after ttl.
func (s *Store) Lead(ctx context.Context, name, holder string, ttl time.Duration, log *slog.Logger, f func(ctx context.Context, l Lease) error) error {
	for {
		l, err := s.Acquire(ctx, name, holder, ttl)
		var held *HeldError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			log.Info("this server leads", "lease", name, "epoch", l.Epoch)
			err = s.led(ctx, l, ttl, f)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			log.Warn("this server leads no more", "lease", name, "epoch", l.Epoch, "err", err)
		case !errors.As(err, &held):
			log.Warn("the lease cannot be taken", "lease", name, "err", err)
		}
		if !wait(ctx, ttl/3) {
			return context.Cause(ctx)
		}
	}
}

// led runs f as long as the lease can be renewed.
func (s *Store) led(ctx context.Context, l Lease, ttl time.Duration, f func(ctx context.Context, l Lease) error) error {
	lived, end := context.WithCancelCause(ctx)
	defer end(nil)
	done := make(chan error, 1)
	go func() { done <- f(lived, l) }()
	for failed := 0; ; {
		timer := time.NewTimer(ttl / 3)
		select {
		case err := <-done:
			timer.Stop()
			return errors.Join(err, s.release(ctx, l, ttl))
		case <-timer.C:
		}
		again, err := s.renew(lived, l, ttl)
		switch {
		case err == nil && again.Epoch == l.Epoch:
			failed = 0
			continue
		case err == nil:
			err = ErrFenced // it was lost, and taken back
		case !lost(err) && failed == 0:
			failed++ // the database is away for a moment
			continue
		}
		end(err)
		return errors.Join(err, <-done)
	}
}

// renew asks for as long as there is until the next time.
func (s *Store) renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, ttl/3)
	defer cancel()
	return s.Acquire(ctx, l.Name, l.Holder, ttl)
}

// release gives the lease up, also when ctx has ended: the next leader need not wait.
func (s *Store) release(ctx context.Context, l Lease, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ttl/3)
	defer cancel()
	return s.GiveUp(ctx, l)
}

func lost(err error) bool {
	var held *HeldError
	return errors.As(err, &held)
}

// wait for d; false: ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

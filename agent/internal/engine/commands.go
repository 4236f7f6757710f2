package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Trigger asks for an update and returns the id of its job at once.
// *update.BusyError names the job that stands in the way, and a *StormError says
// that too many were asked for.
func (e *Engine) Trigger(ctx context.Context, r update.Request) (string, error) {
	r = r.Normalized()
	if err := r.Validate(); err != nil {
		return "", err
	}
	now := time.Now()
	back, err := e.storm.admit(r.Origin, e.cfg.Burst, now)
	if err != nil {
		return "", err
	}
	id := newJobID(now)
	if err = e.ask(ctx, update.Trigger{ID: id, Request: r}); err != nil {
		back()
	}
	return id, err
}

// Cancel gives up the job that goes on, as long as it has not switched slots.
func (e *Engine) Cancel(ctx context.Context) error {
	return e.ask(ctx, update.CancelAsked{})
}

// Rollback puts the firmware before the last update back, or ends the trial
// that goes on.
func (e *Engine) Rollback(ctx context.Context, reason string, origin update.Origin) (string, error) {
	if reason = strings.TrimSpace(reason); reason == "" {
		reason = "asked for by an operator"
	}
	id := newJobID(time.Now())
	err := e.ask(ctx, update.RollbackAsked{ID: id, Reason: reason, Origin: origin})
	if err != nil {
		return "", err
	}
	return e.Status().JobID, nil
}

func (e *Engine) ask(ctx context.Context, ev update.Event) error {
	c := command{event: ev, reply: make(chan error, 1)}
	select {
	case e.commands <- c:
	case <-e.ended:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("the agent did not take the command: %w", ctx.Err())
	}
	select {
	case err := <-c.reply:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the agent took the command but did not answer in time: %w", ctx.Err())
	}
}

// newJobID is readable, sortable and hard to guess twice.
func newJobID(now time.Time) string {
	return now.UTC().Format("20060102-150405-") + strings.ToLower(rand.Text()[:6])
}

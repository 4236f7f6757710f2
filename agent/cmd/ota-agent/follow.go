package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// How long a follower waits for an agent that was restarted, and how often it
// tries.
const (
	returnTime = time.Minute
	retryEvery = 300 * time.Millisecond
)

// errSeen ends the following of a job.
var errSeen = errors.New("seen")

// follow shows a job until it has ended and turns its end into the exit code.
func (a *app) follow(ctx context.Context, cl *control.Client, f *follower) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	err := a.watch(ctx, cl, returnTime, f.see)
	switch {
	case errors.Is(err, errSeen):
	case ctx.Err() != nil:
		a.warn("Detached; the update goes on. See: ota-agent status --watch, ota-agent cancel")
		return outcome(exitDetached)
	case err != nil:
		return fmt.Errorf("job %s: %w", f.job, err)
	}
	return a.ended(ctx, cl, f)
}

// watch shows the agent's state and passes it to see until that returns an
// error. An agent that goes away is waited for as long as patience lasts.
func (a *app) watch(ctx context.Context, cl *control.Client, patience time.Duration, see func(update.Status) error) error {
	screen := a.screen()
	var lostAt time.Time
	for {
		err := cl.Watch(ctx, func(s update.Status) error {
			lostAt = time.Time{}
			if a.json {
				if err := a.showJSON(s); err != nil {
					return err
				}
			} else {
				screen.Show(s, time.Now())
			}
			return see(s)
		})
		away := errors.Is(err, control.ErrLost) || (errors.Is(err, control.ErrUnreachable) && !lostAt.IsZero())
		if !away || ctx.Err() != nil {
			return errors.Join(err, screen.End())
		}
		if lostAt.IsZero() {
			lostAt = time.Now()
			a.gone(screen)
		}
		if time.Since(lostAt) > patience {
			return errors.Join(err, screen.End())
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), screen.End())
		case <-time.After(retryEvery):
		}
	}
}

func (a *app) gone(screen interface{ Note(string) }) {
	const text = "the agent has gone away; waiting for it to come back"
	if a.json {
		a.warn(text)
		return
	}
	screen.Note(text)
}

// follower watches one job go by.
type follower struct {
	job       string
	back      bool          // rolling back is what was asked for
	seen      bool          // the job was
	confirmed bool          // it got that far
	last      update.Status // of the job
}

// see returns errSeen when the job has ended.
func (f *follower) see(s update.Status) error {
	if s.JobID != f.job {
		if f.seen {
			return errSeen // another took its place
		}
		return nil
	}
	f.seen, f.last = true, s
	switch s.State {
	case update.Confirmed:
		f.confirmed = true // but the slot is not marked yet
	case update.Observing:
		f.confirmed = true
		return errSeen
	case update.Failed, update.RolledBack, update.Idle:
		return errSeen
	case update.Checking, update.Downloading, update.Verifying, update.Waiting, update.Handover, update.Connecting,
		update.Writing, update.Attesting, update.Booting, update.Validating, update.RollingBack:
	}
	return nil
}

// ended turns the end of a job into the exit code.
func (a *app) ended(ctx context.Context, cl *control.Client, f *follower) error {
	switch f.last.State {
	case update.Failed:
		return outcome(exitFailed)
	case update.RolledBack:
		return f.rolledBack(f.last.Kind)
	case update.Observing:
		return nil
	case update.Idle:
		if f.confirmed {
			return nil
		}
	case update.Checking, update.Downloading, update.Verifying, update.Waiting, update.Handover, update.Connecting,
		update.Writing, update.Attesting, update.Booting, update.Validating, update.Confirmed, update.RollingBack:
	}
	// The end went by unseen: the history knows.
	records, err := cl.History(ctx, 20)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.JobID != f.job {
			continue
		}
		switch r.Outcome {
		case update.Failed:
			return outcome(exitFailed)
		case update.RolledBack:
			return f.rolledBack(r.Kind)
		default:
			return nil
		}
	}
	if f.last.State == update.Idle {
		return a.nothingNewer()
	}
	return fmt.Errorf("job %s was last seen %s, and the history does not hold it yet: another job took its place", f.job, f.last.State)
}

// rolledBack is a failure unless it was asked for.
func (f *follower) rolledBack(k update.Kind) error {
	if f.back || k == update.KindRollback {
		return nil
	}
	return outcome(exitRolledBack)
}

func (a *app) nothingNewer() error {
	if a.json {
		return nil
	}
	return a.say("The update server has nothing newer for this robot.")
}

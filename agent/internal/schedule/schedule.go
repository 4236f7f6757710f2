// Package schedule asks the update server now and then, without being told.
//
// A fleet that was switched on together must not ask together: the first check
// comes at a random moment of the first minutes, and each later one is moved by
// up to a tenth of the period. A check that fails is made again after a minute,
// then after two, four and so on up to the period, each later by up to half of
// that; and never before the moment that the server named (Retry-After).
//
// Layers, one file each:
//
//	wait.go      how long to wait: arithmetic
//	schedule.go  what is due when, and the loop
//	keep.go      the file that survives a restart
//
// When the next check is due is told by two clocks. The one that only runs
// forward decides while the agent lives, so that a clock that is set back does
// not put the check off. The one on the wall decides after a restart, and brings
// the check forward when it is set past it: a computer that was off for a night
// and only then learns what time it is.
package schedule

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// Config says how often, and where it is kept.
type Config struct {
	Period time.Duration // 0: nothing is asked
	// File keeps the last check and the time of the next; "": nothing does.
	File string
	// Clock is the clock on the wall; nil: this computer's.
	Clock func() time.Time
	// Disk is where File lies.
	Disk disk.Disk
}

// Schedule is when the update server is asked next. Its methods may be called
// from any goroutine.
type Schedule struct {
	disk    disk.Disk
	file    string
	clock   func() time.Time
	log     *slog.Logger
	changed chan struct{}

	mu      sync.Mutex
	period  time.Duration
	kept    kept
	due     time.Time // of the clock that only runs forward; zero: never
	alone   time.Time // of it too: before that nothing is asked
	begun   bool      // a scheduled check has begun, and how it went is not known
	counted int       // failures before it
}

// New makes a schedule that goes on with what its file holds.
func New(c Config, log *slog.Logger) *Schedule {
	s := &Schedule{disk: c.Disk, file: c.File, clock: c.Clock, log: log, period: c.Period, changed: make(chan struct{}, 1)}
	if s.clock == nil {
		s.clock = time.Now
	}
	k, err := read(s.disk, s.file)
	if err != nil {
		log.Warn("when the update server was asked last is not known", "err", err)
	}
	s.kept = k
	s.resume(time.Now())
	return s
}

// resume plans the first check after a start: soon, unless the one that was
// planned before it is still to come.
func (s *Schedule) resume(now time.Time) {
	wall := s.wall()
	left := s.kept.Next.Sub(wall)
	if s.kept.Next.IsZero() || left <= 0 {
		s.plan(now, soon(s.period))
		return
	}
	wait := min(left, longest(s.period)) // however far away a clock that was wrong has put it
	if alone := min(s.kept.Alone.Sub(wall), maxAlone); alone > 0 {
		s.alone = now.Add(alone)
		wait = max(wait, alone)
	}
	s.plan(now, wait)
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
	s.plan(time.Now(), regular(period))
	s.keep()
	s.mu.Unlock()
	s.wake()
}

func (s *Schedule) wake() {
	select {
	case s.changed <- struct{}{}:
	default: // it has been told and not looked yet
	}
}

// Next is when the update server is asked next, by the clock on the wall; zero:
// not by itself.
func (s *Schedule) Next() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept.Next
}

// Last is how the latest question went, whoever asked it; its time is zero
// before the first.
func (s *Schedule) Last() update.Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept.Last
}

// Checked hears how a question to the update server went. An answer is one,
// whoever asked; a failure puts the next check off where it was the schedule's
// own, or the server asked to be left alone.
func (s *Schedule) Checked(c update.Check) {
	now := time.Now()
	s.mu.Lock()
	s.kept.Last = brief(c)
	own := c.Origin == update.FromSchedule
	switch {
	case c.Err == "":
		s.begun, s.kept.Failures, s.kept.Alone = false, 0, time.Time{}
		s.plan(now, regular(s.period))
	case own:
		if !s.begun { // else it was counted before it began
			s.kept.Failures++
		}
		s.begun = false
		s.leaveAlone(now, c.Wait)
		s.plan(now, again(s.kept.Failures, c.Wait, s.period))
	case c.Wait > 0:
		s.leaveAlone(now, c.Wait)
		if wait := again(0, c.Wait, s.period); now.Add(wait).After(s.due) {
			s.plan(now, wait)
		}
	}
	s.keep()
	s.mu.Unlock()
	s.wake()
}

// leaveAlone notes until when the server does not want to be asked.
func (s *Schedule) leaveAlone(now time.Time, wait time.Duration) {
	s.kept.Alone = time.Time{}
	if wait = min(wait, maxAlone); wait > 0 {
		s.alone, s.kept.Alone = now.Add(wait), s.wall().Add(wait)
	}
}

// plan sets the time of the next check.
func (s *Schedule) plan(now time.Time, wait time.Duration) {
	s.due, s.kept.Next = time.Time{}, time.Time{}
	if s.period <= 0 {
		return
	}
	s.due = now.Add(wait)
	if s.due.Before(s.alone) {
		s.due = s.alone
	}
	s.kept.Next = s.wall().Add(s.due.Sub(now))
}

func (s *Schedule) wall() time.Time { return s.clock().Round(0) }

// Run calls check until ctx ends. check begins a check and returns why that was
// not possible; how the check went is told by Checked.
func (s *Schedule) Run(ctx context.Context, check func(context.Context) error) {
	for {
		wait, due := s.look()
		if due {
			s.begin()
			if err := check(ctx); err != nil && ctx.Err() == nil {
				s.log.Info("scheduled check did not start", "why", err)
				s.refused()
			}
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-s.changed:
			t.Stop()
		case <-t.C:
		}
	}
}

// look says whether the next check is due, and if not, when to look again.
func (s *Schedule) look() (wait time.Duration, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.due.IsZero() {
		return idle, false
	}
	now := time.Now()
	left := s.due.Sub(now)
	if left <= 0 {
		return 0, true
	}
	switch set := s.wall().Add(left).Sub(s.kept.Next); { // how far the clock on the wall was set since
	case set >= left && left > first: // past the check
		s.plan(now, soon(s.period))
		s.keep()
	case set.Abs() > lookEvery: // so that what is told, and kept, stays true
		s.kept.Next = s.wall().Add(left)
		s.keep()
	}
	return min(max(s.due.Sub(now), time.Millisecond), lookEvery), false
}

// begin notes that a check begins, before it does: an agent that dies of it, and
// again at each start, asks as seldom as one whose checks fail.
func (s *Schedule) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun, s.counted = true, s.kept.Failures
	s.kept.Failures++
	s.plan(time.Now(), again(s.kept.Failures, 0, s.period))
	s.keep()
}

// refused: nothing was asked, because an update goes on or is observed.
func (s *Schedule) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		return
	}
	s.begun, s.kept.Failures = false, s.counted
	s.plan(time.Now(), regular(s.period))
	s.keep()
}

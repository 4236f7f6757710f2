// Package controltest is an engine of straw: it answers as it is told and
// remembers what it was asked.
package controltest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Engine satisfies control.Engine and control.History. Its fields are set
// before it is used.
type Engine struct {
	JobID   string      // of every job
	Err     error       // answers every command, where it is set
	Planned update.Plan // answers Plan
	Past    []update.Record
	Hang    bool // Plan answers only when it is asked to end

	mu     sync.Mutex
	status update.Status
	asked  []string
	news   map[chan struct{}]struct{}
	onJob  func()
}

// OnJob calls f when a job was accepted.
func (e *Engine) OnJob(f func()) { e.onJob = f }

// Set publishes a status.
func (e *Engine) Set(s update.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = s
	for c := range e.news {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Asked is every command so far, as text.
func (e *Engine) Asked() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked)
}

// Listeners is how many subscriptions to News there are.
func (e *Engine) Listeners() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.news)
}

func (e *Engine) ask(format string, args ...any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, fmt.Sprintf(format, args...))
	return e.Err
}

func (e *Engine) job(err error) (string, error) {
	if err != nil {
		return "", err
	}
	if e.onJob != nil {
		e.onJob()
	}
	return e.JobID, nil
}

// Status is the last one set.
func (e *Engine) Status() update.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

// News wakes at every Set.
func (e *Engine) News() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.news == nil {
		e.news = make(map[chan struct{}]struct{})
	}
	e.news[c] = struct{}{}
	return c, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.news, c)
	}
}

// Trigger notes the request.
func (e *Engine) Trigger(_ context.Context, r update.Request) (string, error) {
	anyTime := ""
	if r.AnyTime {
		anyTime = " any_time=true"
	}
	return e.job(e.ask("trigger url=%s sha256=%s version=%s force=%t%s origin=%s", r.URL, r.SHA256, r.Version, r.Force, anyTime, r.Origin))
}

// Plan answers Planned.
func (e *Engine) Plan(ctx context.Context, r update.Request) (update.Plan, error) {
	err := e.ask("plan url=%s version=%s", r.URL, r.Version)
	if e.Hang {
		<-ctx.Done()
		return update.Plan{}, ctx.Err()
	}
	return e.Planned, err
}

// Rollback notes the reason.
func (e *Engine) Rollback(_ context.Context, reason string, o update.Origin) (string, error) {
	return e.job(e.ask("rollback reason=%q origin=%s", reason, o))
}

// Cancel notes that it was asked.
func (e *Engine) Cancel(context.Context) error { return e.ask("cancel") }

// Inhibit notes the lease.
func (e *Engine) Inhibit(_ context.Context, owner, reason string, lease time.Duration) error {
	return e.ask("inhibit owner=%q reason=%q lease=%s", owner, reason, lease)
}

// History is the last n of Past.
func (e *Engine) History(n int) ([]update.Record, error) {
	if n <= 0 || n > len(e.Past) {
		n = len(e.Past)
	}
	return e.Past[len(e.Past)-n:], nil
}

//go:build ros2

package rosnode

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// fakeAgent is an Agent whose one job goes where the test leads it.
type fakeAgent struct {
	mu       sync.Mutex
	status   update.Status
	news     map[chan struct{}]struct{}
	jobs     int
	requests []update.Request
	inhibits []string
	cancel   error         // what Cancel answers
	stuck    chan struct{} // while open, Plan waits for it or for its context
	deaf     bool          // Plan does not even look at its context
}

func newFakeAgent() *fakeAgent {
	return &fakeAgent{status: update.Status{State: update.Idle, Message: "nothing to do"}, news: map[chan struct{}]struct{}{}}
}

// become changes the status and wakes who waits for news.
func (a *fakeAgent) become(f func(s *update.Status)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.status)
	for c := range a.news {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (a *fakeAgent) state(s update.State) {
	a.become(func(x *update.Status) { x.State, x.Message = s, "now "+string(s) })
}

func (a *fakeAgent) Trigger(_ context.Context, r update.Request) (string, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	a.mu.Lock()
	if a.status.State.Busy() {
		defer a.mu.Unlock()
		return "", &update.BusyError{JobID: a.status.JobID, State: a.status.State}
	}
	a.jobs++
	id := fmt.Sprintf("job-%d", a.jobs)
	a.requests = append(a.requests, r)
	a.mu.Unlock()
	a.become(func(s *update.Status) {
		*s = update.Status{State: update.Downloading, JobID: id, Target: r.Version, Message: "downloading " + r.URL}
	})
	return id, nil
}

func (a *fakeAgent) Cancel(context.Context) error {
	a.mu.Lock()
	err, busy := a.cancel, a.status.State.Busy()
	a.mu.Unlock()
	switch {
	case !busy:
		return update.ErrNothingToCancel
	case err != nil:
		return err
	}
	a.become(func(s *update.Status) {
		s.State, s.Message = update.Failed, "cancelled"
		s.Failure = &update.Failure{Code: update.CodeCancelled, Text: "cancelled on request"}
	})
	return nil
}

func (a *fakeAgent) Rollback(context.Context, string, update.Origin) (string, error) {
	return "", update.ErrNothingToRollBack
}

func (a *fakeAgent) Plan(ctx context.Context, r update.Request) (update.Plan, error) {
	a.mu.Lock()
	stuck, deaf := a.stuck, a.deaf
	a.mu.Unlock()
	done := ctx.Done()
	if deaf {
		done = nil
	}
	if stuck != nil {
		select {
		case <-stuck:
		case <-done:
			return update.Plan{}, ctx.Err()
		}
	}
	return update.Plan{WouldUpdate: true, Message: "would be installed", Target: r.Version, Slot: "ota_1", Estimate: 42 * time.Second}, nil
}

func (a *fakeAgent) Inhibit(_ context.Context, owner, reason string, lease time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inhibits = append(a.inhibits, fmt.Sprintf("%s: %s for %s", owner, reason, lease))
	return nil
}

func (a *fakeAgent) Status() update.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

func (a *fakeAgent) News() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.news[c] = struct{}{}
	return c, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.news, c)
	}
}

// set changes how the agent behaves.
func (a *fakeAgent) set(f func(a *fakeAgent)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

// inhibited is what Inhibit was called with.
func (a *fakeAgent) inhibited() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inhibits
}

func (a *fakeAgent) seen() []update.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

var (
	_ Agent = (*fakeAgent)(nil)
	_ Board = (*robot.Board)(nil)
)

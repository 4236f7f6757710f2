package hawkbit

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

const (
	// first is the time after the start within which the first poll comes; it
	// waits for the firmware's first word, but not longer than settle.
	first  = 5 * time.Second
	settle = 20 * time.Second
	// again is the pause before the poll after an answer that changes what
	// there is to do.
	again = time.Second
	// Pauses after failures.
	firstWait = 5 * time.Second
	maxWait   = 10 * time.Minute
	// look is how often it is looked whether the engine can begin what it
	// could not begin at once.
	look = 2 * time.Second
)

// loop is what Run's goroutine remembers.
type loop struct {
	polled   bool // once, at least
	etag     string
	root     root
	due      time.Time // of the next poll
	quiet    time.Time // until when nothing is asked
	failures int
	teller   teller

	wanted   bool      // a deployment could not be begun yet
	why      string    // as the server was told
	told     time.Time // when
	answered string    // confirmation or cancellation that was answered last
	noted    string    // what was logged last of an action that is left alone
	read     string    // address of the deployment that was read last
	began    time.Time
}

// Run polls, acts and tells until ctx ends; it is called once, after Attach.
func (l *Link) Run(ctx context.Context) error {
	news, stop := l.engine.News()
	defer stop()
	l.loop.began = time.Now()
	l.loop.due = l.loop.began.Add(rand.N(first)) //nolint:gosec // no secret hangs on it
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-news:
		case <-l.wake:
		}
		timer.Reset(l.turn(ctx))
	}
}

// turn does what is due, and gives the time until there is more.
func (l *Link) turn(ctx context.Context) time.Duration {
	l.mu.Lock()
	l.inhibit(ctx) // renewed
	if l.unsaved {
		l.keep()
	}
	l.mu.Unlock()
	if wait := time.Until(l.loop.quiet); wait > 0 {
		return min(wait, renew)
	}
	wait, err := l.work(ctx)
	switch {
	case ctx.Err() != nil:
		return renew
	case err != nil:
		return l.failed(err)
	}
	if l.loop.wanted {
		wait = min(wait, look)
	}
	return max(0, min(wait, time.Until(l.loop.due), renew))
}

// work tells what is to be told and polls when it is time to.
func (l *Link) work(ctx context.Context) (time.Duration, error) {
	if err := l.conclude(ctx); err != nil {
		return 0, err
	}
	wait, err := l.tell(ctx)
	if err != nil {
		return 0, err
	}
	if l.loop.wanted && l.ready() {
		l.loop.due = time.Now()
	}
	if time.Now().Before(l.loop.due) {
		return wait, nil
	}
	if !l.loop.polled && !l.robot.Facts().Firmware.Heard() && time.Since(l.loop.began) < settle {
		l.loop.due = time.Now().Add(look)
		return wait, nil
	}
	l.loop.due = time.Time{}
	if err := l.poll(ctx); err != nil {
		return 0, err
	}
	l.loop.polled, l.loop.failures = true, 0
	if l.loop.due.IsZero() {
		l.loop.due = time.Now().Add(jitter(l.loop.root.sleep))
	}
	return wait, nil
}

// jitter moves a pause by up to a tenth of it, so that a fleet that was
// switched on together does not go on asking together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(max(d/5, 1)) //nolint:gosec // no secret hangs on it
}

// failed waits longer after each failure, and as long as the server asks for.
func (l *Link) failed(err error) time.Duration {
	wait := min(firstWait<<min(l.loop.failures, 10), maxWait)
	l.loop.failures++
	wait = wait/2 + rand.N(wait/2) //nolint:gosec // no secret hangs on it
	var s *httpguard.StatusError
	if errors.As(err, &s) {
		wait = min(max(wait, s.RetryAfter), maxSleep)
	}
	l.loop.quiet = time.Now().Add(wait)
	if l.loop.due.Before(l.loop.quiet) {
		l.loop.due = l.loop.quiet
	}
	attrs := []any{"err", err, "again", wait.Round(time.Second / 10)}
	if status(err) == http.StatusUnauthorized {
		attrs = append(attrs, "hint", "the server does not let this robot in: see that it is registered there as "+l.cfg.Controller+
			", and that server.token_file and server.hawkbit.auth are right")
	}
	l.log.Warn("the hawkBit server could not be asked", attrs...)
	return min(wait, renew)
}

// ready says that the engine could begin a deployment.
func (l *Link) ready() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.job.state.Busy() && l.robot.Facts().Firmware.Heard() && !l.engine.Status().Held
}

// ask reads the root document, or knows that it is the one read before.
func (l *Link) ask(ctx context.Context) (root, error) {
	doc, err := l.client.get(ctx, l.client.at(), l.loop.etag, maxRoot)
	if err != nil || doc.unchanged {
		return l.loop.root, err
	}
	r, err := l.client.parseRoot(doc.body)
	if err != nil {
		l.loop.etag = ""
		return root{}, err
	}
	l.loop.etag, l.loop.root = doc.etag, r
	return r, nil
}

// poll asks what there is to do, and does it.
func (l *Link) poll(ctx context.Context) error {
	r, err := l.ask(ctx)
	if err != nil {
		return err
	}
	l.loop.wanted = false
	if err := l.attributes(ctx, r.config); err != nil {
		return err
	}
	if r.cancel.id != "" {
		if err := l.cancel(ctx, r.cancel); err != nil {
			return err
		}
	}
	if r.deployment.id == r.cancel.id {
		r.deployment = target{}
	}
	if r.confirmation.id != "" {
		if err := l.confirm(ctx, r.confirmation); err != nil {
			return err
		}
	}
	if err := l.absent(ctx, r); err != nil {
		return err
	}
	if r.deployment.id == "" {
		return nil
	}
	return l.deploy(ctx, r.deployment)
}

// conclude tells the server of actions that have ended, until it knows.
func (l *Link) conclude(ctx context.Context) error {
	l.mu.Lock()
	untold, turning := l.ledger.untold(), l.job.state == update.RollingBack
	l.mu.Unlock()
	for _, a := range untold {
		if a.End.Success && turning {
			continue // it may be about to become untrue
		}
		err := l.feedback(ctx, relDeployment, a.ID, a.End.closing(a.ID))
		switch {
		case err == nil:
			l.log.Info("the hawkBit server knows how its deployment ended", "action", a.ID, "success", a.End.Success)
		case settled(err):
			l.log.Warn("the hawkBit server does not take how its deployment ended", "action", a.ID, "success", a.End.Success, "err", err)
		default:
			return err
		}
		l.edit(ctx, a.ID, func(now *action) {
			if now.End != nil && now.End.Success == a.End.Success {
				end := *now.End
				end.Taken = true
				now.End = &end
			}
		})
	}
	return nil
}

// tell tells the server how the action at work goes on. wait is how long there
// is nothing more to tell, unless something happens.
func (l *Link) tell(ctx context.Context) (wait time.Duration, err error) {
	for {
		s := l.engine.Status()
		l.mu.Lock()
		a, _ := l.ledger.find(l.job.action)
		l.mu.Unlock()
		if a.Job == "" || a.Job != s.JobID || a.End != nil || a.Stopped || !s.State.Busy() {
			return never, nil
		}
		t := l.loop.teller
		fb, wait, ok := t.next(a, s, time.Now())
		if !ok {
			return wait, nil
		}
		err := l.feedback(ctx, relDeployment, a.ID, fb)
		if err != nil && !settled(err) {
			return 0, err
		}
		l.loop.teller = t
		gone := status(err) == http.StatusGone || status(err) == http.StatusNotFound
		if err != nil {
			l.log.Warn("the hawkBit server does not take how its deployment goes on", "action", a.ID, "err", err)
		}
		l.edit(ctx, a.ID, func(a *action) {
			a.Told++
			a.Downloaded = a.Downloaded || fb.Status.Execution == downloaded
			if gone { // what it has instead, a poll tells
				a.Told = maxTold
			}
		})
		if gone {
			l.loop.due = time.Now()
		}
	}
}

// feedback sends one.
func (l *Link) feedback(ctx context.Context, rel, id string, fb feedback) error {
	fb.Time = time.Now().UnixMilli()
	return l.client.send(ctx, http.MethodPost, l.client.at(rel, id, "feedback"), fb)
}

// edit changes what is known of an action, where anything is.
func (l *Link) edit(ctx context.Context, id string, f func(*action)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, known := l.ledger.find(id)
	if !known {
		return
	}
	f(&a)
	l.ledger.put(a)
	l.keep()
	l.inhibit(ctx)
}

// busyWith is the action that the engine works at before it has touched the
// chip; "": none.
func (l *Link) busyWith() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.job.action == "" || !early(l.job.state) {
		return ""
	}
	return l.job.action
}

// giveUp has the engine drop the action that the server wants no more.
func (l *Link) giveUp(ctx context.Context, id, why string) error {
	if _, a := l.stands(id); a.Job != l.engine.Status().JobID {
		return nil // it has ended meanwhile
	}
	l.edit(ctx, id, func(a *action) { a.Stopped = true })
	err := l.engine.Cancel(ctx)
	if err != nil && !errors.Is(err, update.ErrNothingToCancel) {
		l.edit(ctx, id, func(a *action) { a.Stopped = false })
		return err
	}
	l.log.Info("update given up", "action", id, "why", why)
	return nil
}

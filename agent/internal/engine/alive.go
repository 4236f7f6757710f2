package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// How long an effect may go without a sign of life. Everything that an effect
// waits for has a bound of its own far below these: they catch the fault that
// nobody thought of, such as a driver that never returns. To kill an update
// that goes on would be worse than to find a dead one late.
const (
	silence         = 10 * time.Minute
	downloadSilence = 20 * time.Minute // download.patience may be 10 minutes
)

// StuckError says that an effect has shown no sign of life for too long.
type StuckError struct {
	Effect update.Effect
	For    time.Duration
}

// Error names the effect.
func (e *StuckError) Error() string {
	return fmt.Sprintf("the step %q of the update has shown no progress for %s", e.Effect, e.For.Round(time.Second))
}

// Alive says whether the engine gets on: its loop turns, which it proves by
// answering, and the effect that goes on has lately shown progress. A flash of
// an hour is alive as long as bytes move, a robot that waits for its battery as
// long as the gates are asked. Errors are *StuckError, ErrStopped, and ctx's
// for a loop that does not answer: it waits for an effect that does not end,
// or for the disk.
func (e *Engine) Alive(ctx context.Context) error {
	select {
	case e.pings <- struct{}{}:
		return e.pulse.check(time.Now())
	case <-e.ended:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("the engine does not answer: %w", ctx.Err())
	}
}

// pulse is when the effect that goes on last showed that it does.
type pulse struct {
	mu     sync.Mutex
	effect update.Effect // "": none goes on
	last   time.Time
	bound  time.Duration // on the silence after last
}

func (p *pulse) begin(eff update.Effect) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.effect = eff
	p.set(0)
}

func (p *pulse) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.effect = ""
}

// beat is a sign of life; quiet is how long there will be none by intention.
func (p *pulse) beat(quiet time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(quiet)
}

func (p *pulse) set(quiet time.Duration) {
	p.last, p.bound = time.Now(), quiet+silence
	if p.effect == update.DoDownload {
		p.bound = quiet + downloadSilence
	}
}

func (p *pulse) check(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if quiet := now.Sub(p.last); p.effect != "" && quiet > p.bound {
		return &StuckError{Effect: p.effect, For: quiet}
	}
	return nil
}

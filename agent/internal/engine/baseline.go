package engine

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
)

// Baselines makes durable what the robot is like while no update is going on.
type Baselines interface {
	// Baseline is what was kept; the zero Tally where nothing was.
	Baseline() (watch.Tally, error)
	KeepBaseline(t watch.Tally) error
}

// How often the robot is looked at to learn, and how much of what was learned
// a crash may take away. Few writes, for the sake of the flash card.
const (
	learnEvery = 5 * time.Second
	keepEvery  = 10 * time.Minute
)

// baseline is what was learned of the robot.
type baseline struct {
	mu      sync.Mutex
	learner watch.Learner
	kept    watch.Tally
	keptAt  time.Time
}

func (b *baseline) now() watch.Tally {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.learner.Baseline()
}

// recall goes on from what was kept. A robot without it is only slower to
// notice.
func (e *Engine) recall() {
	b := &e.baseline
	b.keptAt = time.Now()
	if e.ports.Baselines == nil {
		return
	}
	t, err := e.ports.Baselines.Baseline()
	if err != nil {
		e.log.Warn("the robot's baseline cannot be read and is learned anew", "err", err)
	}
	b.kept = t
	b.learner = watch.NewLearner(t)
}

// learn looks at the robot until ctx ends. What happens during an update and
// its observation is not the baseline, but what is held against it.
func (e *Engine) learn(ctx context.Context) {
	tick := time.NewTicker(learnEvery)
	defer tick.Stop()
	defer e.keep()
	b := &e.baseline
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, settled := time.Now(), e.settled()
		b.mu.Lock()
		if settled {
			b.learner = b.learner.Look(e.ports.Robot.Facts(), now)
		} else {
			b.learner = b.learner.Pause()
		}
		b.mu.Unlock()
		if !settled || now.Sub(b.keptAt) >= keepEvery {
			b.keptAt = now
			e.keep()
		}
	}
}

func (e *Engine) settled() bool {
	e.board.mu.Lock()
	defer e.board.mu.Unlock()
	m := e.board.mem
	return m.Job.State.Terminal() && !m.Held && !m.Loader
}

// keep makes durable what is new.
func (e *Engine) keep() {
	b := &e.baseline
	t := b.now()
	if e.ports.Baselines == nil || t == b.kept {
		return
	}
	if err := e.ports.Baselines.KeepBaseline(t); err != nil {
		e.log.Warn("the robot's baseline could not be kept", "err", err)
		return
	}
	b.kept = t
}

// operator is how the owner of an inhibitor begins who is there in person.
const operator = "operator"

// announced says whether an operator has announced work at the robot, by
// holding an inhibitor: emergency stops are then to be expected.
func (e *Engine) announced(now time.Time) bool {
	for _, h := range e.inhibitors.held(now) {
		if strings.HasPrefix(strings.ToLower(h.Owner), operator) {
			return true
		}
	}
	return false
}

// Announced says whether an operator has announced that emergency stops are to
// be expected.
func (e *Engine) Announced(now time.Time) bool { return e.announced(now) }

// Undisturbed says that the firmware is let run: no job is about to take it
// away or waits for its boot.
func (e *Engine) Undisturbed() bool {
	e.board.mu.Lock()
	defer e.board.mu.Unlock()
	m := e.board.mem
	switch m.Job.State {
	case update.Handover, update.Connecting, update.Writing, update.Attesting, update.Booting, update.RollingBack:
		return false
	case update.Idle, update.Checking, update.Downloading, update.Verifying, update.Waiting, update.Validating,
		update.Confirmed, update.Observing, update.Failed, update.RolledBack:
	}
	return !m.Held && !m.Loader
}

// newTrial is the trial of a job whose firmware boots at start.
func (e *Engine) newTrial(j update.Job, start time.Time) watch.Trial {
	return watch.NewTrial(e.cfg.Trial, newIdentity(j), watch.Identity(j.From), start).Against(e.baseline.now())
}

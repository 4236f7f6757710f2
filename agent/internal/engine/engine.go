// Package engine runs the update state machine: it makes each step durable,
// performs the effects that the step asks for through the ports it declares,
// and feeds what comes of them back.
//
// One goroutine, Run, owns the memory; everything else reaches it through
// channels. One effect at a time goes on in a goroutine of its own and reports
// by events; a new effect ends the one before and waits for its end, so that
// line and chip never have two users. An effect that is ended says nothing any
// more: what it meant to report is dropped.
//
// What is trusted: only image.Verify's result is ever written to the chip, and
// only the chip's own answers (MD5, OTA data, the running firmware's version
// and hash) count as success.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// Config is what the operator decides.
type Config struct {
	Chip    image.ChipID
	SKU     string
	Gates   preflight.Policy
	Trial   watch.TrialPolicy
	Observe watch.ObservePolicy
	// ObserveFor is how long a confirmed firmware is observed.
	ObserveFor time.Duration
	// StandWithin is how long a roll-back waits for a robot that moves; 0: not
	// at all.
	StandWithin time.Duration
	// Baud of the flash, for estimates.
	Baud int
	// Burst is how many jobs ROS and the broker may begin in a short time; 0: 30.
	Burst int
}

// Ports are the engine's ways to the outside.
type Ports struct {
	Source  Source
	Images  Images
	Line    Line
	Chip    Chip
	Robot   Robot
	Journal Journal
	// Baselines may be nil: then nothing is kept across restarts.
	Baselines Baselines
	// Vouchers may be nil: then signatures of images alone decide.
	Vouchers Vouchers
	// Checks may be nil: then nobody plans.
	Checks Checks
	// Observer hears of every step; nil: nobody does.
	Observer Observer
}

// Engine is the agent's heart. Its methods may be called from any goroutine.
type Engine struct {
	cfg   Config
	ports Ports
	log   *slog.Logger

	commands chan command
	events   chan report
	pings    chan struct{} // Alive asks whether the loop turns
	ended    chan struct{} // closed when Run returns
	found    string        // the job that was being observed when the agent before ended

	board      board        // what is published
	tuning     sync.RWMutex // guards what of cfg may be changed: see tune.go
	inhibitors inhibitors
	storm      storm
	baseline   baseline
	pulse      pulse // of the effect that goes on
	visits     visits

	// The rest belongs to Run's goroutine and, while it goes on, the effect.
	mem      update.Memory
	current  *running
	runs     int
	verified image.Verified
	session  Session
	trial    watch.Trial
	spent    []update.Duration
	again    *time.Timer // for what the history could not take
}

// command is an event from outside that wants an answer.
type command struct {
	event update.Event
	reply chan error
}

// report is an event of an effect.
type report struct {
	run   int
	event update.Event
}

// running is the effect that goes on.
type running struct {
	id     int
	effect update.Effect
	cancel context.CancelFunc
	done   chan struct{}
}

// New makes an engine that goes on from m, as the journal remembered it.
func New(cfg Config, ports Ports, m update.Memory, log *slog.Logger) *Engine {
	e := &Engine{
		cfg: cfg, ports: ports, log: log, mem: m,
		commands: make(chan command), events: make(chan report), pings: make(chan struct{}), ended: make(chan struct{}),
		again: stopped(),
	}
	if m.Job.State == update.Observing {
		e.found = m.Job.ID
	}
	e.board.init(m)
	return e
}

// ErrStopped answers commands when the engine is no longer running.
var ErrStopped = errors.New("the agent is stopping")

// Run does the work until ctx ends; it is called once. What goes on then is ended and taken up
// again by the next Run over the same journal.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.ended)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a panic must end the agent, not wait for what goes on
	defer e.stop()
	defer e.again.Stop()
	e.recall()
	e.settle()
	wg.Go(func() { e.learn(ctx) })
	_ = e.apply(ctx, &wg, update.Restarted{}) // where there is nothing to take up again, it does not fit
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.pings:
		case <-e.again.C:
			e.settle()
		case c := <-e.commands:
			c.reply <- e.apply(ctx, &wg, c.event)
		case r := <-e.events:
			if e.current != nil && r.run == e.current.id {
				_ = e.apply(ctx, &wg, r.event) // one that no longer fits is dropped
			}
		}
	}
}

// apply takes one step: decide, make durable, act.
func (e *Engine) apply(ctx context.Context, wg *sync.WaitGroup, ev update.Event) error {
	now := time.Now()
	next, effects, err := update.Next(e.mem, ev, now)
	if err != nil {
		var stray *update.Unexpected
		if errors.As(err, &stray) {
			e.log.Debug("event dropped", "event", fmt.Sprintf("%T", ev), "state", e.mem.Job.State)
		}
		return err
	}
	e.spend(next.Job, now)
	if err := e.ports.Journal.Save(next, e.finished(next.Job, effects, now)...); err != nil {
		next, effects = e.unsaved(next, effects, err, now)
	}
	e.step(next, ev)
	for _, eff := range effects {
		if eff == update.DoRecord {
			e.settle()
			continue
		}
		e.start(ctx, wg, eff)
	}
	return nil
}

// unsaved answers a memory that could not be made durable. Before the switch
// the job fails, chip untouched; once the chip may boot the new slot, taking
// care of it comes first.
func (e *Engine) unsaved(next update.Memory, effects []update.Effect, cause error, now time.Time) (update.Memory, []update.Effect) {
	e.log.Error("the update's state could not be saved", "state", next.Job.State, "err", cause)
	if e.mem.Job.Switched || !next.Job.State.Busy() || next.Job.State == update.RollingBack {
		return next, effects
	}
	before := next
	before.Job.Switched = false
	failed, effects, err := update.Next(before, update.EffectFailed{
		Code: "state_not_saved", Text: fmt.Sprintf("the update's state could not be saved, so it was not begun: %v", cause),
	}, now)
	if err != nil {
		return next, nil
	}
	if err := e.ports.Journal.Save(failed, e.finished(failed.Job, effects, now)...); err != nil {
		e.log.Error("nor could its failure", "err", err)
	}
	return failed, effects
}

// step takes over the new memory and tells the world.
func (e *Engine) step(next update.Memory, ev update.Event) {
	before := e.mem
	was, is := before.Job, next.Job
	e.mem = next
	if is.State != was.State {
		attrs := []any{"job", is.ID, "from", was.State, "to", is.State, "event", fmt.Sprintf("%T", ev)}
		if f := is.Failure; f != nil && is.State != update.Idle {
			attrs = append(attrs, "code", f.Code, "why", f.Text)
		}
		e.log.Info("update", attrs...)
	}
	if o := e.ports.Observer; o != nil {
		o.Stepped(before, next, fmt.Sprintf("%T", ev))
	}
	e.board.set(next)
}

// start ends the effect that goes on and begins another.
func (e *Engine) start(ctx context.Context, wg *sync.WaitGroup, eff update.Effect) {
	e.stop()
	switch eff {
	case update.DoTakeLine, update.DoConnect, update.DoWrite, update.DoAttest:
	default: // each way back to those proves the image anew; till then it need not be held
		e.verified = image.Verified{}
		if err := e.ports.Chip.Prepare(e.verified); err != nil {
			e.log.Warn("the image that was prepared could not be freed", "err", err)
		}
	}
	e.runs++
	run, cancel := context.WithCancel(ctx)
	r := &running{id: e.runs, effect: eff, cancel: cancel, done: make(chan struct{})}
	e.current = r
	// The effect works on a copy: Run's goroutine goes on to change the memory.
	m := e.mem
	e.pulse.begin(eff)
	wg.Go(func() {
		defer close(r.done)
		defer e.pulse.end()
		defer cancel()
		e.perform(run, m, eff, func(ev update.Event) {
			select {
			case e.events <- report{r.id, ev}:
			case <-run.Done():
			}
		})
	})
}

// stop ends the effect that goes on and waits until it has.
func (e *Engine) stop() {
	if e.current == nil {
		return
	}
	e.current.cancel()
	<-e.current.done
	e.current = nil
}

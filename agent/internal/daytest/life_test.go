package daytest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/schedule"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/updateserver"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// Times of the day's agent, shorter than the product's so that there is more
// of everything.
const (
	checkEvery = time.Hour
	observeFor = 2 * time.Hour
)

// life is one of the agent, from its start to its sudden end. From then on
// nothing that is left of it has an effect.
type life struct {
	day    *day
	robot  *robot.Board
	log    *journal.Journal
	core   *engine.Engine
	link   *mqttlink.Link
	plan   *schedule.Schedule
	images *fetch.Client
	ended  chan struct{} // closed at its end
	end    sync.Once
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

var errDead = errors.New("the agent is dead")

// begin starts the agent over what the one before has left.
func (d *day) begin(ctx context.Context) (*life, error) {
	l := &life{day: d, ended: make(chan struct{}), robot: robot.NewBoard()}
	store, err := journal.Open(d.dir)
	if err != nil {
		return nil, err
	}
	l.log = store
	m, err := store.Load()
	if err != nil {
		return nil, err
	}
	if !m.Held { // as the program does it: what a dead agent left stopped
		d.mu.Lock()
		d.body.owner = true
		d.mu.Unlock()
	}
	var core *engine.Engine
	images, err := fetch.New(fetch.Config{
		Dir: filepath.Join(d.dir, "images"), Keys: func() image.Keyring { return d.keys },
		OnRetry: func(err error, wait time.Duration) { core.Hitch(err, wait) },
	}, l, quiet)
	if err != nil {
		return nil, err
	}
	link, err := mqttlink.New(mqttlink.Config{
		URL: "mqtts://broker", RobotID: "r1", SKU: "standard", StateDir: d.dir, KeepAlive: time.Minute, Dial: d.fleet.dial,
	}, m, quiet)
	if err != nil {
		return nil, err
	}
	plan := schedule.New(schedule.Config{Period: checkEvery, File: filepath.Join(d.dir, "schedule.json"), Clock: d.wall}, quiet)
	core = engine.New(config(), engine.Ports{
		Source: updateserver.New(updateserver.Config{URL: d.address, RobotID: "r1", SKU: "standard"}, l),
		Images: images, Line: l, Chip: l, Robot: l.robot, Journal: l, Baselines: store,
		Checks: checks{l, plan}, Observer: steps{l, link},
	}, m, quiet)
	l.core, l.link, l.plan, l.images = core, link, plan, images
	ctx, l.cancel = context.WithCancel(ctx)
	l.wg.Go(func() { _ = core.Run(ctx) })
	l.wg.Go(func() { _ = link.Run(ctx, core) })
	l.wg.Go(func() {
		plan.Run(ctx, func(ctx context.Context) error {
			_, err := core.Trigger(ctx, update.Request{Origin: update.FromSchedule})
			return err
		})
	})
	return l, nil
}

func config() engine.Config {
	c := engine.Config{Chip: image.ESP32S3, SKU: "standard", Gates: preflight.DefaultPolicy(), Trial: watch.DefaultTrialPolicy(),
		Observe: watch.DefaultObservePolicy(), ObserveFor: observeFor, StandWithin: 10 * time.Minute, Baud: 921600}
	c.Gates.Companion = compat.Version{Minor: 2}
	return c
}

// die ends it, between two instructions.
func (l *life) die() { l.end.Do(func() { close(l.ended) }) }

func (l *life) dead() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// bury waits for what is left of it.
func (l *life) bury() {
	l.die()
	l.cancel()
	l.wg.Wait()
}

// do is an operation of the agent on the world, and one at which it may die:
// before it or right after.
func (l *life) do(ctx context.Context, name string, effect func() error) error {
	d := l.day
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.dead() {
		return errDead
	}
	d.count(name)
	fate := d.fate(name)
	d.doomed = fate == diesAfter
	if fate == diesBefore {
		l.die()
		return errDead
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := effect()
	if fate == diesAfter {
		l.die()
		return errDead
	}
	return err
}

// Take stops the owner of the serial line.
func (l *life) Take(ctx context.Context) error {
	return l.do(ctx, "take", func() error { l.day.body.owner = false; return nil })
}

// Give starts it again.
func (l *life) Give(ctx context.Context) error {
	return l.do(ctx, "give", func() error { l.day.body.owner = true; return nil })
}

// Save and Settle are the journal's, as long as the agent lives.
func (l *life) Save(m update.Memory, ended ...update.Record) error {
	return l.do(context.Background(), "save", func() error {
		err := l.log.Save(m, ended...)
		if err == nil {
			l.day.blame(ended)
		}
		return err
	})
}

// Settle writes the history. Where the agent dies after it, it has not got to
// forgetting what it owed.
func (l *life) Settle() (left int, err error) {
	memory := filepath.Join(l.day.dir, "memory.json")
	err = l.do(context.Background(), "settle", func() error {
		owing, rerr := os.ReadFile(memory)
		if left, err = l.log.Settle(); err != nil || !l.day.doomed || rerr != nil {
			return err
		}
		return os.WriteFile(memory, owing, 0o600)
	})
	return left, err
}

// checks is the schedule of an agent that lives.
type checks struct {
	*life
	*schedule.Schedule
}

func (c checks) Checked(u update.Check) {
	if !c.dead() {
		c.Schedule.Checked(u)
	}
}

// steps is the link of an agent that lives.
type steps struct {
	*life
	link *mqttlink.Link
}

func (s steps) Stepped(before, after update.Memory, event string) {
	if !s.dead() {
		s.link.Stepped(before, after, event)
	}
}

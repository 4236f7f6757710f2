package cuttest

import (
	"context"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/esp32"
	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/updateserver"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// life is one of the agent, from its start to its sudden end. From then on
// nothing that is left of it has an effect.
type life struct {
	world  *world
	log    *journal.Journal
	core   *engine.Engine
	ended  chan struct{}
	end    sync.Once
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// begin starts the agent over what is on the disk.
func (w *world) begin(ctx context.Context) (*life, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &life{world: w, ended: make(chan struct{}), cancel: cancel}
	board := robot.NewBoard()
	w.mu.Lock()
	w.board, w.agent = board, l
	w.lives++
	w.mu.Unlock()
	state := disk.On(files{w.disk, l})
	var err error
	if l.log, err = journal.OpenOn(state, stateDir); err != nil {
		return l, err
	}
	m, err := l.log.Load()
	if err != nil {
		return l, err
	}
	w.mu.Lock()
	if !m.Held { // as the program does it: what a dead agent left stopped
		w.owner = true
	}
	w.mu.Unlock()
	var core *engine.Engine
	images, err := fetch.New(fetch.Config{
		Disk: state, Dir: filepath.Join(stateDir, "images"), Keys: func() image.Keyring { return w.plant.keys },
		OnRetry: func(err error, wait time.Duration) { core.Hitch(err, wait) },
	}, l, quiet)
	if err != nil {
		return l, err
	}
	ports := engine.Ports{
		Source: updateserver.New(updateserver.Config{URL: &url.URL{Scheme: "https", Host: "updates.example"}, RobotID: "r1", SKU: "standard"}, l),
		Images: images, Line: l, Robot: board, Journal: l, Baselines: l.log,
		Chip: esp32.New(esp32.Config{Open: l.open, Pack: w.plant.packed, Chip: image.ESP32S3, Baud: 921600, NoStub: w.flow.noStub, Speeds: l.log, Log: quiet}),
	}
	var link *mqttlink.Link
	if w.flow.mqtt {
		link, err = mqttlink.New(mqttlink.Config{
			URL: "mqtts://broker", RobotID: "r1", SKU: "standard", StateDir: stateDir, Disk: state, KeepAlive: time.Minute, Dial: l.dial,
		}, m, quiet)
		if err != nil {
			return l, err
		}
		ports.Observer = steps{l, link}
	}
	core = engine.New(w.config(), ports, m, quiet)
	l.core = core
	l.wg.Go(func() { _ = core.Run(ctx) })
	l.wg.Go(func() { w.operator(ctx, l) })
	if link != nil {
		l.wg.Go(func() { _ = link.Run(ctx, core) })
	}
	return l, nil
}

func (w *world) config() engine.Config {
	c := engine.Config{Chip: image.ESP32S3, SKU: "standard", Gates: preflight.DefaultPolicy(), Trial: watch.DefaultTrialPolicy(),
		Observe: watch.DefaultObservePolicy(), ObserveFor: time.Hour, StandWithin: time.Minute, Baud: 921600}
	c.Gates.Companion = compat.Version{Minor: 2}
	c.Trial.SelfConfirm = !w.flow.agent
	return c
}

func fromOperator() update.Request { return update.Request{Origin: update.FromCLI} }

// known says whether the update that was asked for has begun.
func (l *life) known() bool {
	records, err := l.log.History(1)
	return l.core.Status().JobID != "" || err == nil && len(records) > 0
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

// bury waits for what is left of it. The kernel closes its serial port, which
// lets both lines go.
func (l *life) bury() {
	l.die()
	l.world.chip.SetLines(false, false)
	l.cancel()
	l.wg.Wait()
}

// do is an operation of the agent that counts as an event of a kind.
func (l *life) do(kind string, effect func() error) error {
	if l.dead() {
		return errDead
	}
	how := l.world.event(kind)
	switch {
	case l.dead():
		return errDead
	case how == "fail":
		return errFails
	}
	err := effect()
	if how == after {
		l.world.perish(l.world.killer())
		return errDead
	}
	return err
}

// Take stops the owner of the serial line.
func (l *life) Take(context.Context) error {
	return l.do(handover, func() error { return l.own(false) })
}

// Give starts it again.
func (l *life) Give(context.Context) error {
	return l.do(handover, func() error { return l.own(true) })
}

func (l *life) own(runs bool) error {
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	l.world.owner = runs
	return nil
}

// Save is the journal's, and the oracle hears what is durable.
func (l *life) Save(m update.Memory, ended ...update.Record) error {
	err := l.log.Save(m, ended...)
	if o := l.world.oracle; err == nil {
		o.mu.Lock()
		o.switched = m.Job.Switched
		o.switching = m.Job.Switched && m.Job.State == update.Attesting
		o.mu.Unlock()
	}
	return err
}

// Settle is the journal's.
func (l *life) Settle() (left int, err error) { return l.log.Settle() }

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

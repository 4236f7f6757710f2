package simulated

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Server is the update server.
type Server interface {
	// Check asks which release the robot should have; false: none but its own.
	Check(ctx context.Context, robot string, runs compat.Version) (Offer, bool, error)
}

// Offer is a release that the server has for a robot.
type Offer struct {
	SHA256  string
	Size    int64
	Version compat.Version
	Release string
}

// Message is one to the fleet. Topic is what follows fleet/{robot_id}/.
type Message struct {
	Topic   string
	Payload []byte
}

const (
	// coarse and fine are the steps in time: while nothing is going on, and while
	// a firmware is changed or tried. Coarse must be less than the silence of
	// diagnostics that rolls back, and than the gap that ends a counting.
	coarse = 30 * time.Second
	fine   = time.Second
)

// Robot is one of a simulated fleet.
type Robot struct {
	cfg  Config
	rng  *rand.Rand
	body *body
	now  time.Time

	facts  robot.Facts
	memory update.Memory
	deed   deed
	census count

	trial    watch.Trial
	observed watch.Observation
	learner  watch.Learner

	nextCheck, nextReport time.Time
	awayUntil             time.Time
	jobs                  uint64
	seen                  map[string]string // commands that took effect, and their jobs

	mouth mouth
}

// New is a robot that has run its firmware for a while.
func New(cfg Config) (*Robot, error) {
	var first Firmware
	for _, f := range cfg.Firmware {
		if err := f.Nature.Check(); err != nil {
			return nil, fmt.Errorf("firmware %s: %w", f.Image.Version, err)
		}
		if f.Image.Version == cfg.Runs {
			first = f
		}
	}
	if first.Image.Version.IsZero() {
		return nil, fmt.Errorf("robot %s is to run %s, and there is no such firmware", cfg.ID, cfg.Runs)
	}
	c, err := newChip(first)
	if err != nil {
		return nil, fmt.Errorf("robot %s: %w", cfg.ID, err)
	}
	cfg.Gates.Companion = cfg.Companion
	r := &Robot{cfg: cfg, rng: rand.New(rand.NewPCG(mix(cfg.Seed), cfg.Seed)), body: newBody(cfg, c), now: cfg.Start,
		memory: update.New(), seen: make(map[string]string)}
	r.nextCheck = cfg.Start.Add(r.part(cfg.CheckEvery)) // a fleet does not ask at once
	r.nextReport = cfg.Start.Add(r.part(cfg.ReportEvery))
	r.mouth = mouth{epoch: fmt.Sprintf("%016x", mix(cfg.Seed+1)), online: false}
	return r, nil
}

// part is a random part of d.
func (r *Robot) part(d time.Duration) time.Duration {
	return time.Duration(r.rng.Float64() * float64(d))
}

// ID names the robot.
func (r *Robot) ID() string { return r.cfg.ID }

// Runs is the version of the firmware that runs.
func (r *Robot) Runs() compat.Version {
	return r.body.chip.slots[max(0, r.body.chip.runs)].Image.Version
}

// State is where its update stands.
func (r *Robot) State() update.State { return r.memory.Job.State }

// Step lets the robot live until now, and gives what it has to say to the fleet.
// An error means that the robot has no firmware any more that boots: the promise
// of the product is broken.
func (r *Robot) Step(ctx context.Context, s Server, now time.Time) ([]Message, error) {
	for r.now.Before(now) {
		d := min(r.pace(), now.Sub(r.now))
		r.now = r.now.Add(d)
		if err := r.live(ctx, s, d); err != nil {
			return nil, fmt.Errorf("robot %s: %w", r.cfg.ID, err)
		}
	}
	return r.mouth.speak(r.present()), nil
}

func (r *Robot) pace() time.Duration {
	switch r.memory.Job.State {
	case update.Idle, update.Waiting, update.Observing, update.Failed, update.RolledBack:
		return coarse
	default:
		return fine
	}
}

// live is one step in time.
func (r *Robot) live(ctx context.Context, s Server, d time.Duration) error {
	if r.memory.Loader {
		r.body.burn(Nature{}, d) // the firmware is stopped: nothing is heard
	} else if err := r.hear(d); err != nil {
		return err
	}
	r.wander(d)
	if r.reachable() && !r.now.Before(r.nextCheck) {
		r.nextCheck = r.now.Add(r.cfg.CheckEvery - r.cfg.CheckEvery/20 + r.part(r.cfg.CheckEvery/10))
		r.tell(update.Trigger{ID: r.job(), Request: update.Request{Origin: update.FromSchedule}})
	}
	if err := r.work(ctx, s); err != nil {
		return err
	}
	if !r.now.Before(r.nextReport) {
		r.nextReport = r.now.Add(r.cfg.ReportEvery)
		r.mouth.add("ota/health", r.census.report(r.cfg, r.now)...)
	}
	return nil
}

// hear takes in what the robot says of itself.
func (r *Robot) hear(d time.Duration) error {
	said, err := r.body.live(r.now, d)
	if err != nil {
		return err
	}
	for _, o := range said {
		r.facts = r.facts.With(o)
		if w, ok := o.(robot.Diagnostic); ok {
			r.census.hear(w.Level)
		}
	}
	undisturbed := !r.memory.Held && !r.memory.Loader
	r.census.look(r.facts, undisturbed, r.now)
	switch s := r.memory.Job.State; {
	case s.Busy() || s == update.Observing:
		r.learner = r.learner.Pause()
	default:
		r.learner = r.learner.Look(r.facts, r.now)
	}
	return nil
}

// wander takes the robot out of reach, and back.
func (r *Robot) wander(d time.Duration) {
	t := r.cfg.Temper
	if r.reachable() && t.Away > 0 && t.Absence > 0 {
		if rate := t.Away / (1 - min(0.99, t.Away)) / t.Absence.Hours(); r.body.chance(rate, d) {
			r.awayUntil = r.now.Add(time.Duration(r.rng.ExpFloat64() * float64(t.Absence)))
		}
	}
	r.mouth.reach(r.reachable(), r.now)
}

func (r *Robot) reachable() bool { return !r.now.Before(r.awayUntil) }

func (r *Robot) job() string {
	r.jobs++
	return fmt.Sprintf("%s-%d", r.cfg.ID, r.jobs)
}

// Command is a message on fleet/{robot_id}/topic. False: the robot is out of
// reach, and is to get it later.
func (r *Robot) Command(ctx context.Context, topic string, payload []byte) bool {
	if !r.reachable() {
		return false
	}
	if e, ok := mqttlink.Commanded(ctx, told{r}, r.cfg.SKU, topic, payload, r.seen, r.now); ok {
		r.mouth.event(r.cfg.ID, e)
	}
	return true
}

// told is the robot as commands find it.
type told struct{ r *Robot }

func (t told) Status() update.Status { return t.r.status() }

func (t told) Trigger(_ context.Context, q update.Request) (string, error) {
	id := t.r.job()
	return id, t.r.step(update.Trigger{ID: id, Request: q})
}

func (t told) Rollback(_ context.Context, reason string, origin update.Origin) (string, error) {
	id := t.r.job()
	return id, t.r.step(update.RollbackAsked{ID: id, Reason: reason, Origin: origin})
}

func (t told) Cancel(context.Context) error { return t.r.step(update.CancelAsked{}) }

// tell gives the state machine an event, and drops one that does not fit.
func (r *Robot) tell(e update.Event) { _ = r.step(e) }

// step gives the state machine an event, and begins what follows from it.
func (r *Robot) step(e update.Event) error {
	m, effects, err := update.Next(r.memory, e, r.now)
	if err != nil {
		return err
	}
	if said, ok := mqttlink.Transition(r.memory.Job, m.Job, fmt.Sprintf("%T", e), r.now); ok {
		r.mouth.event(r.cfg.ID, said)
	}
	r.memory = m
	for _, effect := range effects {
		if effect != update.DoRecord {
			r.deed = deed{effect: effect, begun: r.now}
		}
	}
	return nil
}

// errServer is why a check failed.
var errServer = errors.New("the update server cannot be reached")

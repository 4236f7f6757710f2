// Package census keeps count of a robot's health for the fleet, from the
// beginning of the agent to its end, one count for each firmware.
//
// What it gives out is cumulative (watch.Health). A count that has ended,
// because another firmware runs, is given out until it was told once; so what
// happened while the fleet was out of reach is not lost with an update.
package census

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
)

// Board is where the robot is heard.
type Board interface {
	Facts() robot.Facts
	Tap(f func(robot.Observation)) (stop func())
}

// Job is what the agent itself does to the robot.
type Job interface {
	// Undisturbed: the firmware runs, and is not about to be replaced.
	Undisturbed() bool
	// Announced: an operator has said that emergency stops are to be expected.
	Announced(now time.Time) bool
}

const (
	// lookEvery is how often the robot is looked at; diagnostics are heard in
	// between.
	lookEvery = 5 * time.Second
	// maxEnded counts that have ended wait to be told; the oldest is given up.
	maxEnded = 8
)

// Census counts.
type Census struct {
	id, sku string
	board   Board
	job     Job

	mu    sync.Mutex
	epoch string
	seq   uint64
	count watch.Census
	ended []watch.Health // oldest first
}

// New is a census of a robot of which nothing was heard yet.
func New(robotID, sku string, b Board, j Job) *Census {
	return &Census{id: robotID, sku: sku, board: b, job: j, epoch: newEpoch(), count: watch.NewCensus(b.Facts())}
}

func newEpoch() string { return strings.ToLower(rand.Text()[:12]) }

// Run counts until ctx ends.
func (c *Census) Run(ctx context.Context) {
	defer c.board.Tap(c.hear)()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		c.look(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *Census) hear(o robot.Observation) {
	d, ok := o.(robot.Diagnostic)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count = c.count.Hear(d.Level)
}

func (c *Census) look(now time.Time) {
	f, undisturbed := c.board.Facts(), c.job.Undisturbed()
	f.EStop.Announced = c.job.Announced(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Firmware.Version != c.count.Firmware {
		c.anew(f, now)
	}
	if !undisturbed {
		c.count = c.count.Pause()
		return
	}
	c.count = c.count.Look(f, now)
}

// anew ends a count and begins the next.
func (c *Census) anew(f robot.Facts, now time.Time) {
	if c.count.Seconds > 0 {
		c.ended = append(c.ended, c.document(now))
		c.ended = slices.Clone(c.ended[max(0, len(c.ended)-maxEnded):])
	}
	c.epoch, c.seq, c.count = newEpoch(), 0, watch.NewCensus(f)
}

// document is the present count, as it is told now.
func (c *Census) document(now time.Time) watch.Health {
	c.seq++
	return watch.Health{
		Schema: watch.HealthSchema, RobotID: c.id, SKU: c.sku, Firmware: c.count.Firmware,
		Epoch: c.epoch, Seq: c.seq, At: now, Seconds: c.count.Seconds, Counters: c.count.Sum,
	}
}

// Health is what there is to tell: counts that have ended, and the present one.
func (c *Census) Health(now time.Time) []watch.Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(slices.Clone(c.ended), c.document(now))
}

// Told says that the fleet has it: one that has ended need not be told again.
func (c *Census) Told(h watch.Health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = slices.DeleteFunc(c.ended, func(e watch.Health) bool { return e.Epoch == h.Epoch && e.Seq <= h.Seq })
}

//go:build !clockjumps

package daytest

import "time"

// clocks says whose clocks are set: without the build tag clockjumps only those
// of packages that take one. `make soak` builds with a time package whose clock
// on the wall can be set for the whole program.
const clocks = "the schedule's clock set"

// setClock sets the clock on the wall; 0: right.
func (d *day) setClock(by time.Duration) { d.set(func() { d.wrong = by }) }

// wall is the clock on the wall.
func (d *day) wall() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Add(d.wrong)
}

// right is what the clock would say were it not set.
func (*day) right() time.Time { return time.Now() }

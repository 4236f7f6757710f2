package espsim

import (
	"context"
)

// setMode changes what the chip is doing; outside of the application its
// fields are blank.
func (c *Chip) setMode(m Mode) {
	c.update(func(s *AppStatus) { *s = AppStatus{Mode: m, Drain: 1} })
}

// update changes the state and tells who watches. Without power there is but
// one state.
func (c *Chip) update(f func(*AppStatus)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.status)
	if !c.powered {
		c.status = AppStatus{Mode: ModeOff, Drain: 1}
	}
	for w := range c.watch {
		select {
		case <-w: // older news
		default:
		}
		w <- c.status
	}
}

// App is the chip's state now.
func (c *Chip) App() AppStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Watch returns a channel that holds the latest state not read yet, the
// present one at first, and the function that ends it.
func (c *Chip) Watch() (<-chan AppStatus, func()) {
	w := make(chan AppStatus, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	w <- c.status
	c.watch[w] = struct{}{}
	return w, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watch, w)
	}
}

// WaitApp waits until ok says yes to the chip's state. States that follow each
// other closely may be passed over.
func (c *Chip) WaitApp(ctx context.Context, ok func(AppStatus) bool) (AppStatus, error) {
	states, stop := c.Watch()
	defer stop()
	for {
		select {
		case s := <-states:
			if ok(s) {
				return s, nil
			}
		case <-ctx.Done():
			return c.App(), context.Cause(ctx)
		}
	}
}

// Flash returns a copy of the whole flash.
func (c *Chip) Flash() []byte {
	p := make([]byte, c.nor.size())
	c.nor.peek(0, p)
	return p
}

// Snapshot is a copy of everything that survives a power cut.
type Snapshot struct {
	flash []byte
	spare nvsRecord
}

// Snapshot copies the flash, for Restore.
func (c *Chip) Snapshot() Snapshot {
	s := Snapshot{flash: c.Flash()}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.spare = c.spare
	return s
}

// Restore takes the power away, puts the flash back as it was and gives
// power. The counters of faults start over with it; armed faults are gone.
func (c *Chip) Restore(s Snapshot) {
	c.PowerCut()
	c.nor.mu.Lock()
	copy(c.nor.data, s.flash)
	c.nor.mu.Unlock()
	c.mu.Lock()
	c.spare = s.spare
	c.mu.Unlock()
	c.SetFaults(Faults{})
	c.PowerOn()
}

// SetFaults arms a plan of faults and sets the counters to zero.
func (c *Chip) SetFaults(f Faults) { c.faults.arm(f) }

// Counters is what happened since SetFaults.
func (c *Chip) Counters() Counters { return c.faults.counters() }

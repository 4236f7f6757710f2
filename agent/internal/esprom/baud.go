package esprom

import (
	"context"
	"fmt"
	"time"
)

// baudSettle is how long the chip and the adapter may take to change speed.
const baudSettle = 20 * time.Millisecond

// ladder lists the speeds to use, from top down.
func ladder(top int) []int {
	speeds := []int{top}
	for _, b := range []int{921600, 460800, romBaud} {
		if b < top {
			speeds = append(speeds, b)
		}
	}
	return speeds
}

// below returns the speed to fall back to from baud, or 0 from the lowest.
func below(baud int) int {
	if l := ladder(baud); len(l) > 1 {
		return l[1]
	}
	return 0
}

// setBaud changes the port's speed. A port that refuses one speed may well work
// at another.
func (c *connector) setBaud(baud int) error {
	p, ok := c.link.port.(Baud)
	if !ok || baud == c.baud {
		return nil
	}
	if err := p.SetBaud(baud); err != nil {
		return fmt.Errorf("set serial port to %d baud: %w", baud, err)
	}
	c.baud = baud
	c.link.poll = 0
	return nil
}

// changeBaud moves chip and port to another speed and proves it by a SYNC.
// After an error their speeds may differ.
func (c *connector) changeBaud(ctx context.Context, baud int) error {
	if _, ok := c.link.port.(Baud); !ok || baud == c.baud {
		return nil
	}
	old := uint32(0) // the ROM wants 0 here
	if c.stub {
		old = uint32(c.baud)
	}
	r, err := c.ask(ctx, request{op: opChangeBaud, args: words(uint32(baud), old)})
	if err != nil {
		return err
	}
	if _, err := r.result(0, c.stub); err != nil {
		return err
	}
	if err := c.setBaud(baud); err != nil {
		return err
	}
	if err := pause(ctx, baudSettle); err != nil {
		return err
	}
	if err := c.link.discard(); err != nil {
		return err
	}
	stub := c.stub
	if err := c.sync(ctx, syncsPerAttempt); err != nil {
		return err
	}
	if c.stub != stub {
		return fmt.Errorf("the chip left its loader while changing speed: %w", ErrSilent)
	}
	return nil
}

// pause waits for d or the context's end.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

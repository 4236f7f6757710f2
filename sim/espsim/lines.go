package espsim

import "time"

// lineState is the two modem lines and what the board makes of them.
type lineState struct {
	wiring   Wiring
	dtr, rts bool // asserted: pin low
	// held is EN low while the lines no longer hold it: the capacitor at EN
	// has not been charged yet.
	held       bool
	download   bool // USBSerialJTAG: the flag
	generation uint64
}

// chargeTime is how long the capacitor at EN holds the chip in reset after
// both lines are asserted, if nothing else happens. The boards' own is some
// milliseconds; this one also bridges the way over a network, where DTR and
// RTS arrive apart.
const chargeTime = 250 * time.Millisecond

// en says whether the chip is out of reset.
func (s lineState) en() bool {
	if s.wiring == USBSerialJTAG {
		return true
	}
	return !s.held && (!s.rts || s.dtr)
}

// io0 is the level of the strapping pin.
func (s lineState) io0() bool {
	if s.wiring == USBSerialJTAG {
		return !s.download
	}
	return !s.dtr || s.rts
}

// SetLines sets DTR and RTS (true is asserted, pin low). Where that resets the
// chip, it has been reset when SetLines returns.
func (c *Chip) SetLines(dtr, rts bool) {
	c.gate <- struct{}{}
	defer func() { <-c.gate }()
	c.mu.Lock()
	before := c.lines
	next := before
	next.wiring, next.dtr, next.rts = c.cfg.Wiring, dtr, rts
	next.generation++
	if next.wiring == AutoReset {
		wasLow := before.held || before.rts && !before.dtr
		next.held = wasLow && dtr && rts
	}
	c.lines = next
	c.mu.Unlock()

	if next.wiring == USBSerialJTAG {
		c.usbLines(before)
		return
	}
	switch up := next.en(); {
	case before.en() && !up:
		c.reset()
	case !before.en() && up:
		c.release(!next.io0())
	}
	if next.held {
		time.AfterFunc(chargeTime, func() { c.charged(next.generation) })
	}
}

// charged is the capacitor at EN full, if the lines are still as they were.
func (c *Chip) charged(generation uint64) {
	c.gate <- struct{}{}
	defer func() { <-c.gate }()
	c.mu.Lock()
	due := c.lines.generation == generation && c.lines.held
	if due {
		c.lines.held = false
	}
	c.mu.Unlock()
	if due {
		c.release(false)
	}
}

// usbLines is what the USB-Serial-JTAG peripheral does on a change of lines.
func (c *Chip) usbLines(before lineState) {
	c.mu.Lock()
	now := &c.lines
	var reset bool
	switch {
	case !now.dtr && !now.rts:
		now.download = false
	case now.dtr && !now.rts:
		now.download = true
	case !now.dtr && now.rts:
		reset = before.dtr || !before.rts
	}
	download := now.download
	c.mu.Unlock()
	if reset {
		c.reset()
		c.release(download)
	}
}

// reset is EN low.
func (c *Chip) reset() {
	c.endLife(errReset)
	if c.hasPower() {
		c.setMode(ModeReset)
	}
}

// release is EN rising, IO0 sampled.
func (c *Chip) release(download bool) {
	if c.hasPower() {
		c.startLife(download)
	}
}

func (c *Chip) hasPower() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.powered
}

// ResetToBootloader resets the chip with IO0 low, as a board's buttons do;
// when it returns, the loader listens.
func (c *Chip) ResetToBootloader() { c.press(true) }

// ResetToApp resets the chip with IO0 high.
func (c *Chip) ResetToApp() { c.press(false) }

func (c *Chip) press(download bool) {
	c.gate <- struct{}{}
	defer func() { <-c.gate }()
	c.reset()
	c.release(download)
}

package esp32

import "time"

// Speeds makes durable at which speed a noisy line still worked.
type Speeds interface {
	// Speed is what was kept; 0 where nothing was.
	Speed() (baud int, at time.Time, err error)
	KeepSpeed(baud int, at time.Time) error
}

// trustAgain is how long a line that was noisy is spared the full speed. A
// fall-back costs some seconds without firmware, a slower line costs them at
// each update; and cables get mended.
const trustAgain = 7 * 24 * time.Hour

// lowest is the speed that every loader begins with.
const lowest = 115200

// begin is the speed to raise the line to, of at most top, when the line was
// noisy at a time and could take kept.
func begin(top, kept int, at, now time.Time) int {
	if age := now.Sub(at); kept < lowest || kept >= top || age < 0 || age >= trustAgain {
		return top
	}
	return kept
}

// speed is the speed to raise the line to now.
func (c *Chip) speed() int {
	if c.cfg.Speeds == nil {
		return c.cfg.Baud
	}
	kept, at, err := c.cfg.Speeds.Speed()
	if err != nil {
		c.cfg.Log.Warn("the speed that the serial line can take cannot be read and is found anew", "err", err)
		return c.cfg.Baud
	}
	baud := begin(c.cfg.Baud, kept, at, time.Now())
	if baud < c.cfg.Baud {
		c.cfg.Log.Info("the serial line was noisy at a higher speed; keeping to the one that worked", "baud", baud, "since", at)
	}
	return baud
}

// learn keeps the speed that a session ended at, if noise made it go below the
// one that it began with.
func (c *Chip) learn(begun, ended int) {
	if c.cfg.Speeds == nil || ended < lowest || ended >= begun {
		return
	}
	if err := c.cfg.Speeds.KeepSpeed(ended, time.Now()); err != nil {
		c.cfg.Log.Warn("the speed that the serial line can take could not be kept", "err", err)
	}
}

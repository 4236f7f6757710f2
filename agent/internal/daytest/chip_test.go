package daytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// held is what a slot holds.
type held struct {
	version compat.Version
	sha     string // of the app image
	whole   bool   // every byte of it
	state   flashmap.OTAState
}

// chip is an ESP32 as the engine sees it. The day's lock guards it.
type chip struct {
	day    *day
	slots  [2]held
	next   int // that its bootloader chooses
	runs   int // -1: none, it is in its loader
	booted time.Time
	boots  uint64
	cut    bool // the cable
	lossy  bool // what is written does not always arrive
}

var errCable = errors.New("the port is gone")

// reset boots, as the bootloader does it: a firmware that was on trial and did
// not confirm itself is not booted a second time.
func (c *chip) reset() {
	s := &c.slots[c.next]
	switch s.state {
	case flashmap.PendingVerify:
		s.state = flashmap.Aborted
		c.next = 1 - c.next
	case flashmap.New:
		s.state = flashmap.PendingVerify
	default:
	}
	c.runs, c.booted = c.next, time.Now()
	c.boots++
	c.bootable("a reset")
	if !c.slots[c.runs].whole {
		c.day.fault("the chip boots a slot that is not whole")
	}
}

// bootable is asked after each change of the flash: whatever happens next, the
// chip has a firmware to boot, and on trial one to go back to.
func (c *chip) bootable(after string) {
	n, other := c.slots[c.next], c.slots[1-c.next]
	if !n.whole {
		c.day.fault("after %s: the slot that boots next is not whole", after)
	}
	if n.state != flashmap.Valid && !other.whole {
		c.day.fault("after %s: a firmware boots on trial, and there is none to go back to", after)
	}
}

// Prepare has nothing to do for a chip that is written in no time.
func (*life) Prepare(image.Verified) error { return nil }

// Connect brings it into its loader.
func (l *life) Connect(ctx context.Context, _ image.Verified) (engine.Session, error) {
	err := l.touch(ctx, "connect", func() { l.day.chip.runs = -1 })
	if err != nil {
		return nil, err
	}
	return session{l}, nil
}

// Reset starts its application.
func (l *life) Reset(ctx context.Context) error { return l.touch(ctx, "reset", l.day.chip.reset) }

// touch is an operation at the chip.
func (l *life) touch(ctx context.Context, name string, effect func()) error {
	return l.do(ctx, name, func() error {
		if l.day.chip.cut {
			return errCable
		}
		effect()
		return nil
	})
}

type session struct{ *life }

func (s session) Inspect(ctx context.Context) (l engine.Layout, err error) {
	err = s.touch(ctx, "inspect", func() {
		c := &s.day.chip
		l = engine.Layout{Next: flashmap.Slot(c.next), Inactive: flashmap.Slot(1 - c.next), State: c.slots[c.next].state, SlotSize: 2 << 20}
		h := c.slots[c.next]
		l.Installed = update.Installed{Slot: l.Next.String(), Version: h.version, AppSHA256: h.sha}
	})
	return l, err
}

// pieces is in how many of them an image is written.
const pieces = 8

func (s session) Write(ctx context.Context, to flashmap.Slot, v image.Verified, progress func(done, total int64)) error {
	for i := range pieces {
		err := s.touch(ctx, "write", func() {
			if int(to) == s.day.chip.next {
				s.day.fault("the slot that runs is written")
			}
			if i == 0 {
				s.day.written(v.Version())
			}
			s.day.chip.slots[to] = held{version: v.Version(), sha: fmt.Sprintf("%x", v.App().Digest), state: flashmap.Invalid,
				whole: i == pieces-1 && !(s.day.chip.lossy && s.day.rng.IntN(2) == 0)}
			s.day.chip.bootable("a piece of a write")
		})
		if err != nil {
			return err
		}
		progress(int64(v.Size())*int64(i+1)/pieces, int64(v.Size()))
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s session) Attest(ctx context.Context, to flashmap.Slot, v image.Verified) (err error) {
	terr := s.touch(ctx, "attest", func() {
		if h := s.day.chip.slots[to]; !h.whole || h.sha != fmt.Sprintf("%x", v.App().Digest) {
			err = errors.New("the slot does not hold the image")
		}
	})
	return errors.Join(terr, err)
}

func (s session) Switch(ctx context.Context, _, to flashmap.Slot) error {
	return s.touch(ctx, "switch", func() {
		s.day.chip.slots[to].state, s.day.chip.next = flashmap.New, int(to)
		s.day.chip.bootable("the switch")
	})
}

func (s session) Restore(ctx context.Context, bad, good flashmap.Slot) error {
	return s.touch(ctx, "restore", func() {
		c := &s.day.chip
		c.next, c.slots[bad].state, c.slots[good].state = int(good), flashmap.Invalid, flashmap.Valid
		c.bootable("putting the old firmware back")
	})
}

func (s session) Confirm(context.Context, flashmap.Slot) error {
	return errors.New("the firmware confirms itself")
}

func (s session) Close(ctx context.Context, run bool) error {
	if !run {
		return nil
	}
	return s.Reset(ctx)
}

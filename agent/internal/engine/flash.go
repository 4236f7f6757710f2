package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// Bounds of what is tried for ever, and of the clean-up that must happen even
// when the agent is told to stop.
const (
	retryFirst = 500 * time.Millisecond
	retryMost  = 30 * time.Second
	tidyTime   = 10 * time.Second
	// reconnectPause before the second attempt at the chip, twice that before
	// the third.
	reconnectPause = time.Second
)

// connect brings the chip into its loader and reads what it holds. Everything
// that telemetry said is checked against the chip itself.
func (e *Engine) connect(ctx context.Context, m update.Memory, out emit) error {
	e.hangUp(ctx, false)
	if again := m.Job.Attempts - 1; again > 0 { // an adapter that fell off the bus takes a moment to come back
		if err := pause(ctx, time.Duration(again)*reconnectPause); err != nil {
			return err
		}
	}
	if err := e.proveAgain(ctx, m); err != nil {
		return err
	}
	s, err := e.ports.Chip.Connect(ctx, e.verified)
	if err != nil {
		return err
	}
	e.session = s
	l, err := s.Inspect(ctx)
	if err != nil {
		return fmt.Errorf("read the chip's slots: %w", err)
	}
	from, err := e.fits(m, l)
	if err != nil {
		return err
	}
	out(update.Connected{From: from, To: l.Inactive.String()})
	return nil
}

// proveAgain verifies the job's stored image anew, with the keys that are in
// force now: hours may have passed since it was verified first, and its key may
// have been revoked meanwhile. It must be the image that the journal knows.
func (e *Engine) proveAgain(ctx context.Context, m update.Memory) error {
	v, err := e.prove(ctx, m)
	if err != nil {
		return fmt.Errorf("the image was verified before and is not accepted any more: %w", err)
	}
	if got := digest(v); got != m.Job.Image.AppSHA256 {
		return failf("image_changed", "the stored file holds image %s, not %s, which was verified first", got, m.Job.Image.AppSHA256)
	}
	return nil
}

// fits holds the job against what the chip says of itself.
func (e *Engine) fits(m update.Memory, l Layout) (update.Installed, error) {
	from := l.Installed
	said := e.ports.Robot.Facts().Firmware
	img := m.Job.Image
	switch {
	case l.Next == l.Inactive:
		return from, failf("no_second_slot", "the chip has no slot besides %s that could take an update", l.Next)
	case l.State == flashmap.New || l.State == flashmap.PendingVerify:
		return from, failf("firmware_on_trial", "the firmware in %s is itself on trial (%s): wait until it has confirmed itself", l.Next, l.State)
	case said.Heard() && (from.Version != said.Version || (said.AppSHA256 != "" && said.AppSHA256 != from.AppSHA256)):
		return from, failf("slot_mismatch", "the chip would boot %s (image %.12s) from %s, but %s (image %.12s) says it is running: somebody changed the slots since it booted",
			from.Version, from.AppSHA256, l.Next, said.Version, said.AppSHA256)
	case img.Size > l.SlotSize:
		return from, failf("too_large", "the image has %d bytes, %s only %d", img.Size, l.Inactive, l.SlotSize)
	case img.Version.Compare(from.Version) < 0 && !m.Job.Request.Force:
		return from, failf("downgrade", "%s is older than %s on the chip; force it to go back", img.Version, from.Version)
	}
	return from, nil
}

func (e *Engine) write(ctx context.Context, m update.Memory, out emit) error {
	to, err := flashmap.ParseSlot(m.Job.To)
	if err != nil {
		return err
	}
	if err := e.session.Write(ctx, to, e.verified, e.transfer); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	out(update.Written{})
	return nil
}

func (e *Engine) attest(ctx context.Context, m update.Memory, out emit) error {
	to, err := flashmap.ParseSlot(m.Job.To)
	if err != nil {
		return err
	}
	if err := e.session.Attest(ctx, to, e.verified); err != nil {
		return fmt.Errorf("attest %s: %w", to, err)
	}
	if err := e.proveAgain(ctx, m); err != nil { // the last moment at which a revocation costs nothing
		return err
	}
	out(update.Attested{})
	return nil
}

func (e *Engine) switchSlot(ctx context.Context, m update.Memory, out emit) error {
	from, to, err := ends(m.Job)
	if err != nil {
		return err
	}
	// An erase and a write that take milliseconds: stopping in between would
	// only leave more to mend.
	tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	if err := e.session.Switch(tidy, from, to); err != nil {
		return fmt.Errorf("switch from %s to %s: %w", from, to, err)
	}
	out(update.Switched{})
	return nil
}

func ends(j update.Job) (from, to flashmap.Slot, err error) {
	if from, err = flashmap.ParseSlot(j.From.Slot); err != nil {
		return 0, 0, err
	}
	to, err = flashmap.ParseSlot(j.To)
	return from, to, err
}

// hangUp closes the session that is open, if one is.
func (e *Engine) hangUp(ctx context.Context, run bool) {
	if e.session == nil {
		return
	}
	tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	if err := e.session.Close(tidy, run); err != nil {
		e.log.Warn("the session with the chip did not close well", "err", err)
	}
	e.session = nil
}

// release brings the chip out of its loader and gives the line back, and does
// not give up: a robot whose cable comes back must run again by itself.
func (e *Engine) release(ctx context.Context, m update.Memory, out emit) error {
	err := e.persist(ctx, "putting the chip back", func(ctx context.Context) error {
		if m.Loader {
			if err := e.leave(ctx); err != nil {
				return err
			}
		}
		return e.ports.Line.Give(ctx)
	})
	if err != nil {
		return err
	}
	out(update.Released{})
	return nil
}

// leave resets the chip into its application, through the open session or
// without one.
func (e *Engine) leave(ctx context.Context) error {
	if s := e.session; s != nil {
		e.session = nil
		if err := s.Close(ctx, true); err == nil {
			return nil
		}
	}
	return e.ports.Chip.Reset(ctx)
}

// restore puts the old slot back and boots it, and does not give up.
func (e *Engine) restore(ctx context.Context, m update.Memory, out emit) error {
	good, bad, err := ends(m.Job)
	if err != nil {
		return err
	}
	var booted time.Time
	err = e.persist(ctx, "putting the old firmware back", func(ctx context.Context) (err error) {
		if err := e.ports.Line.Take(ctx); err != nil {
			return fmt.Errorf("take the serial line: %w", err)
		}
		e.hangUp(ctx, false)
		if e.session, err = e.ports.Chip.Connect(ctx, image.Verified{}); err != nil {
			e.session = nil
			return err
		}
		if err := e.session.Restore(ctx, bad, good); err != nil {
			return fmt.Errorf("restore %s: %w", good, err)
		}
		if err := e.leave(ctx); err != nil {
			return err
		}
		booted = time.Now()
		return e.ports.Line.Give(ctx)
	})
	if err != nil {
		return err
	}
	heard, said := e.hearOld(ctx, m, booted)
	out(update.Restored{Heard: heard, Evidence: []string{said}})
	return nil
}

// confirm marks the new slot valid where the firmware does not do it itself.
func (e *Engine) confirm(ctx context.Context, m update.Memory, out emit) error {
	if e.cfg.Trial.SelfConfirm {
		out(update.Kept{})
		return nil
	}
	_, to, err := ends(m.Job)
	if err != nil {
		return err
	}
	if err := e.ports.Line.Take(ctx); err != nil {
		return fmt.Errorf("take the serial line: %w", err)
	}
	if e.session, err = e.ports.Chip.Connect(ctx, image.Verified{}); err != nil {
		e.session = nil
		return err
	}
	if err := e.session.Confirm(ctx, to); err != nil {
		return fmt.Errorf("confirm %s: %w", to, err)
	}
	if err := errors.Join(e.leave(ctx), e.ports.Line.Give(ctx)); err != nil {
		return err
	}
	out(update.Kept{})
	return nil
}

// persist tries f until it works or ctx ends, ever more slowly, and says what
// it is up against.
func (e *Engine) persist(ctx context.Context, what string, f func(context.Context) error) error {
	wait := retryFirst
	for {
		e.pulse.beat(0)
		err := f(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		e.log.Warn(what+" did not work yet", "err", err, "again_in", wait)
		e.board.say(err.Error())
		if ended := pause(ctx, wait); ended != nil {
			return fmt.Errorf("%w (%w)", err, ended)
		}
		wait = min(2*wait, retryMost)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package esprom

import (
	"context"
	"errors"
	"fmt"
)

const (
	// resetAttempts is how often a chip that was lost in mid-work is reset: a
	// cable that is out should be reported within seconds.
	resetAttempts = 2
	// opTries bounds how often one operation is begun again.
	opTries = 4
)

// noise keeps score of faults against good blocks, to tell a line that cannot
// take its speed from one that was hit once. A fault that cost a time-out
// weighs as much as the blocks that could have gone over the line meanwhile.
type noise int

const (
	noiseResend  noise = 1
	noiseTimeout noise = 8
	noiseTooMuch noise = 16
)

func (n *noise) good()       { *n = max(0, *n-1) }
func (n *noise) bad(w noise) { *n += w }

// isNoise: the fault may be the line's, not a refusal of the chip's.
func isNoise(err error) bool {
	var ce *CommandError
	if !errors.As(err, &ce) {
		return true
	}
	return ce.garbled()
}

// recover brings the chip back to where flash commands can go on, after an
// exchange that failed with cause. It resyncs; if that does not help, it resets
// the chip and sets it up again. When faults get frequent it lowers the speed.
// An error means that the chip is gone.
func (s *Session) recover(ctx context.Context, cause error) error {
	if isNoise(cause) {
		s.noise.bad(noiseTimeout)
	}
	s.log.Warn("serial exchange failed; recovering", "error", cause, "baud", s.c.baud)
	lower := s.noise >= noiseTooMuch && s.lowerTop()
	err := s.c.resync(ctx)
	if err == nil && lower {
		err = s.c.changeBaud(ctx, s.top)
	}
	if err == nil {
		s.info.Baud = s.c.baud
		return nil
	}
	if fatal(err) {
		return err
	}
	if errors.Is(err, ErrNoise) && !lower {
		s.lowerTop()
	}
	s.log.Warn("the bootloader is lost; resetting the chip", "error", err)
	if err := s.establish(ctx, resetAttempts); err != nil {
		return fmt.Errorf("%w; lost after: %w", err, cause)
	}
	return nil
}

// lowerTop gives up on the highest trusted speed; false when none is below.
func (s *Session) lowerTop() bool {
	next := below(s.top)
	if _, ok := s.c.link.port.(Baud); !ok || next == 0 {
		return false
	}
	s.log.Warn("the line is noisy; going on at a lower speed", "from", s.top, "to", next)
	s.top, s.noise = next, 0
	return true
}

// retry runs op, which may be run again, until it succeeds, the chip is gone,
// or it has failed opTries times.
func (s *Session) retry(ctx context.Context, op func() error) error {
	for n := 1; ; n++ {
		err := op()
		if err == nil || fatal(err) || n == opTries {
			return err
		}
		if err := s.recover(ctx, err); err != nil {
			return err
		}
	}
}

// MD5 asks the chip for the MD5 of n bytes of its flash from off.
func (s *Session) MD5(ctx context.Context, off, n uint32) (sum [16]byte, err error) {
	if err := s.checkRange(off, n); err != nil {
		return sum, err
	}
	err = s.retry(ctx, func() error {
		var err error
		sum, err = s.hash(ctx, off, n)
		return err
	})
	return sum, err
}

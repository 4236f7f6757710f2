package esprom

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"slices"
)

const (
	// blockTries bounds how often one block is sent in place.
	blockTries = 3
	// writeStuck bounds the recoveries in a row between which no block was
	// taken, writeFaults those of one Write in all.
	writeStuck  = 6
	writeFaults = 60
	// writeRounds bounds how often the whole is found different after all of
	// it was written.
	writeRounds = 3
)

// Write makes the flash from off hold data, and proves it by the chip's MD5.
// off must be a multiple of 4096; a last sector that data fills in part is
// erased in full, its rest reads 0xFF. Parts that are right already are left
// alone. progress, if not nil, hears how many bytes of data are in place; it
// must not block.
//
// It gives what the chip answered, when all was written, as the MD5 of the
// range; where the length of data is no multiple of 4, of the range with FF up
// to the next.
//
// After any error but ErrDead the content of the range is undefined, and a
// further Write may be tried.
func (s *Session) Write(ctx context.Context, off uint32, data []byte, progress func(done, total int)) (sum [md5Size]byte, err error) {
	if off%sectorSize != 0 {
		return sum, fmt.Errorf("%w: offset %#x is not a multiple of %d", ErrRange, off, sectorSize)
	}
	if uint64(len(data)) > uint64(s.info.FlashSize) {
		return sum, fmt.Errorf("%w: %d bytes in a flash of %d", ErrRange, len(data), s.info.FlashSize)
	}
	if err := s.checkRange(off, uint32(len(data))); err != nil {
		return sum, err
	}
	if pad := -len(data) & 3; pad > 0 {
		// Flash is written in words; the rest of the sector reads FF anyway.
		data = append(slices.Clip(data), 0xFF, 0xFF, 0xFF)[:len(data)+pad]
	}
	w := &writer{s: s, plan: newPlan(off, data), total: len(data), progress: progress}
	if err := w.run(ctx); err != nil {
		return sum, fmt.Errorf("write flash at %#x: %w", off, err)
	}
	return w.proof, nil
}

// writer is one Write under way.
type writer struct {
	s        *Session
	plan     *plan
	total    int
	progress func(done, total int)
	shown    int  // the furthest progress told
	surveyed bool // the plan's states mean something
	blocks   int  // taken by the chip so far
	rounds   int  // times the whole was compared and differed
	// proof is the chip's MD5 of the whole, once that is what it should be.
	proof [md5Size]byte
}

// run repeats passes until one ends with the proof.
func (w *writer) run(ctx context.Context) error {
	faults, stuck, before := 0, 0, 0
	for {
		err := w.pass(ctx)
		if err == nil || fatal(err) || errors.Is(err, ErrMismatch) {
			return err
		}
		if errors.Is(err, errDiffers) {
			continue
		}
		if stuck++; w.blocks > before {
			stuck = 0
		}
		before = w.blocks
		if faults++; faults > writeFaults || stuck > writeStuck {
			if isNoise(err) && !errors.Is(err, ErrNoise) {
				err = fmt.Errorf("%w: %w", ErrNoise, err)
			}
			return fmt.Errorf("giving up after %d recoveries, the last at %d baud: %w", faults-1, w.s.c.baud, err)
		}
		if err := w.s.recover(ctx, err); err != nil {
			return err
		}
	}
}

// pass writes what is known or found to be wrong, and compares the whole.
func (w *writer) pass(ctx context.Context) error {
	if !w.surveyed {
		all, err := w.s.survey(ctx, w.plan)
		if err != nil {
			return err
		}
		w.surveyed = true
		if all {
			equal, err := w.whole(ctx)
			if err != nil || equal {
				return err
			}
		}
	}
	if err := w.s.resolve(ctx, w.plan); err != nil {
		return err
	}
	w.tell(w.plan.done())
	for {
		from, to, found := w.plan.next()
		if !found {
			break
		}
		if err := w.writeRun(ctx, from, to); err != nil {
			return err
		}
		w.plan.mark(from, to, correct)
	}
	return w.prove(ctx)
}

// errDiffers: all is written, yet the whole is not right. The next pass finds
// out where.
var errDiffers = errors.New("flash differs")

// prove compares the whole.
func (w *writer) prove(ctx context.Context) error {
	equal, err := w.whole(ctx)
	if err != nil || equal {
		return err
	}
	w.plan.mark(0, w.total, unsure)
	if w.rounds++; w.rounds > writeRounds {
		return fmt.Errorf("%w, %d times over; the flash chip may be worn out or write-protected", ErrMismatch, writeRounds)
	}
	w.s.log.Warn("the whole differs from what was written; comparing its parts", "round", w.rounds)
	return errDiffers
}

// whole asks the chip for the MD5 of all of it, and tells whether that is right.
func (w *writer) whole(ctx context.Context) (bool, error) {
	sum, err := w.s.hash(ctx, w.plan.off, uint32(w.total))
	if err != nil || sum != md5.Sum(w.plan.data) {
		return false, err
	}
	w.proof = sum
	w.tell(w.total)
	return true, nil
}

// writeRun writes data[from:to], which are whole sectors.
func (w *writer) writeRun(ctx context.Context, from, to int) error {
	if w.s.c.stub {
		return w.deflated(ctx, from, to)
	}
	for a := from; a < to; {
		b := min(to, w.plan.blockEnd(a))
		if err := w.raw(ctx, a, b); err != nil {
			return err
		}
		w.plan.mark(a, b, correct)
		a = b
	}
	return nil
}

// tell reports progress, which never goes back.
func (w *writer) tell(done int) {
	if w.progress != nil && (done > w.shown || w.shown == 0) {
		w.shown = done
		w.progress(done, w.total)
	}
}

// deflated writes through the stub.
//
// The stub answers a block before it writes it, so while it erases and writes
// the next block is on the line. One block may be under way at a time: it has
// two buffers, one of which holds the block that it is busy with.
func (w *writer) deflated(ctx context.Context, from, to int) error {
	st, err := w.s.ahead.of(w.plan.data[from:to])
	if err != nil {
		return err
	}
	if err := w.s.deflBegin(ctx, w.plan.off+uint32(from), st); err != nil {
		return err
	}
	taken, busy := 0, 0 // inflated bytes: of blocks answered; of the last of them
	for seq, b := range st.blocks {
		if err := w.s.deflBlock(ctx, uint32(seq), b.data, busy); err != nil {
			// What was taken may be right; the chip's MD5 will tell.
			w.plan.mark(from, from+taken, unsure)
			return lateError(err, w.plan.off+uint32(from+max(0, taken-busy)))
		}
		w.blocks++
		busy, taken = b.end-taken, b.end
		w.tell(w.plan.done() + taken)
	}
	if err := w.s.deflEnd(ctx, busy); err != nil {
		w.plan.mark(from, to, unsure)
		return lateError(err, w.plan.off+uint32(from+max(0, taken-busy)))
	}
	return nil
}

// deflBlock sends one block. One that the stub found garbled is sent again; one
// that was not answered must not be, for it would be inflated twice.
func (s *Session) deflBlock(ctx context.Context, seq uint32, data []byte, busy int) error {
	timeout := s.c.wireTime(len(data)) + sized(blockTimeout, erasePerMB, busy)
	for n := 1; ; n++ {
		p, err := s.c.link.request(ctx, block(opDeflData, seq, data), timeout)
		if err != nil {
			return err
		}
		if _, err = p.result(0, true); err == nil {
			s.noise.good()
			return nil
		}
		if !p.garbled(true) || n == blockTries {
			return err
		}
		s.noise.bad(noiseResend)
		s.log.Debug("block arrived garbled; sending it again", "seq", seq)
	}
}

// lateError attributes a failure that the stub reports with a later command.
func lateError(err error, at uint32) error {
	var ce *CommandError
	if errors.As(err, &ce) && (ce.Code == stubSPI || ce.Code == stubInflate) {
		return fmt.Errorf("data written from %#x on: %w", at, err)
	}
	return err
}

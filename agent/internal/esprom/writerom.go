package esprom

import (
	"bytes"
	"context"
	"errors"
)

// romBlock is the size of the ROM's blocks.
const romBlock = 0x400

// raw writes data[from:to] through the ROM, which erases first and answers each
// block after it is written.
func (w *writer) raw(ctx context.Context, from, to int) error {
	if err := w.s.flashBegin(ctx, w.plan.off+uint32(from), to-from, romBlock); err != nil {
		return err
	}
	base := w.plan.done()
	seq := uint32(0)
	for at := from; at < to; at += romBlock {
		data := w.plan.data[at:min(at+romBlock, to)]
		if len(data) < romBlock {
			data = append(bytes.Clone(data), bytes.Repeat([]byte{0xFF}, romBlock-len(data))...)
		}
		next, err := w.s.romBlock(ctx, seq, data)
		if err != nil {
			return err
		}
		seq = next
		w.blocks++
		w.tell(base + min(at+romBlock, to) - from)
	}
	return nil
}

// romBlock sends one block and returns the number of the next.
//
// The ROM counts a block before it looks at the checksum, so one that was
// garbled is sent again under the next number. One that was cut short is refused
// as "invalid" before it is counted, and sent again as it was. One whose reply
// was lost is too; "out of sequence", which is the same code, then means that it
// had been taken. Should it have been taken garbled, the MD5 at the end finds
// out.
func (s *Session) romBlock(ctx context.Context, seq uint32, data []byte) (uint32, error) {
	timeout := s.c.wireTime(len(data)) + blockTimeout
	lost, cut := false, false
	for n := 1; ; n++ {
		p, err := s.c.link.request(ctx, block(opFlashData, seq, data), timeout)
		if err == nil {
			_, err = p.result(0, false)
		}
		var ce *CommandError
		switch {
		case err == nil:
			s.noise.good()
			return seq + 1, nil
		case fatal(err) || n == blockTries:
			return 0, err
		case errors.Is(err, ErrSilent) || errors.Is(err, ErrNoise):
			lost = true
			s.noise.bad(noiseTimeout)
			if err := s.c.endFrame(ctx); err != nil {
				return 0, err
			}
		case errors.As(err, &ce) && ce.Code == romChecksum:
			seq++
			s.noise.bad(noiseResend)
		case errors.As(err, &ce) && ce.Code == romFormat && lost:
			return seq + 1, nil
		case errors.As(err, &ce) && ce.Code == romFormat && !cut:
			cut = true
			s.noise.bad(noiseResend)
		default:
			return 0, err
		}
		s.log.Debug("block not taken; sending it again", "seq", seq, "error", err)
	}
}

// endFrame ends a frame that the ROM may still be waiting in, and drops the
// answer.
func (c *connector) endFrame(ctx context.Context) error {
	if err := c.link.send([]byte{slipEnd}); err != nil {
		return err
	}
	return c.link.quiet(ctx)
}

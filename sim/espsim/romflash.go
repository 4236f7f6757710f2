package espsim

import (
	"bytes"
	"context"
	"errors"
)

// romFlash is a write to flash through the ROM, between BEGIN and END.
type romFlash struct {
	active  bool
	deflate bool
	seq     uint32 // expected next
	blocks  uint32
	addr    uint32
	window  window
}

// flashBegin takes size, blocks, block size and address, and on later chips
// whether to encrypt. It erases before it answers.
func (r *rom) flashBegin(ctx context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 4*r.c.model.beginWords {
		return nil, romFormat, nil
	}
	size, blocks, addr := q.word(0), q.word(1), q.word(3)
	size = (size + sectorSize - 1) &^ (sectorSize - 1)
	if addr%sectorSize != 0 || !r.inside(addr, size) {
		return nil, romFailed, nil
	}
	r.flash.window.stop()
	r.flash = romFlash{active: true, deflate: q.op == opDeflBegin, blocks: blocks, addr: addr}
	return nil, romCode(r.c.nor.eraseRange(ctx, addr, size)), fatal(ctx)
}

// romCode is the error code of a flash operation.
func romCode(err error) byte {
	if errors.Is(err, errSPI) {
		return romFailed
	}
	return 0
}

// fatal is why the chip cannot go on, nil where it can.
func fatal(ctx context.Context) error { return context.Cause(ctx) }

// block checks a data packet: length, sequence number, checksum, in the
// order in which the ROM does. The number counts as used before the checksum
// is looked at: a packet with a wrong checksum is sent again as the next.
func (r *rom) block(q request, deflate bool) ([]byte, byte) {
	if len(q.data) < dataHeaderLen {
		return nil, romFormat
	}
	p := q.data[dataHeaderLen:]
	if uint64(q.word(0)) != uint64(len(p)) || !r.flash.active || r.flash.deflate != deflate {
		return nil, romFormat
	}
	if !deflate && len(p)%4 != 0 {
		return nil, romFormat
	}
	if q.word(1) != r.flash.seq {
		return nil, romFormat
	}
	r.flash.seq++
	if checksum(p) != q.sum {
		return nil, romChecksum
	}
	return p, 0
}

func (r *rom) flashData(ctx context.Context, q request) ([]byte, byte, error) {
	p, code := r.block(q, false)
	if code != 0 {
		return nil, code, nil
	}
	if !r.inside(r.flash.addr, uint32(len(p))) {
		return nil, romFailed, nil
	}
	code, err := r.program(ctx, p)
	return nil, code, err
}

// program writes and reads back.
func (r *rom) program(ctx context.Context, p []byte) (byte, error) {
	if err := r.c.nor.program(ctx, r.flash.addr, p); err != nil {
		return romCode(err), fatal(ctx)
	}
	back := make([]byte, len(p))
	r.c.nor.peek(r.flash.addr, back)
	r.flash.addr += uint32(len(p))
	if !bytes.Equal(back, p) {
		return romReadback, nil
	}
	return 0, nil
}

// deflData inflates. The ROM writes whole windows only, so the last one goes
// past the end of the image, over whatever lies there.
func (r *rom) deflData(ctx context.Context, q request) ([]byte, byte, error) {
	p, code := r.block(q, true)
	if code != 0 {
		return nil, code, nil
	}
	w := &r.flash.window
	for {
		full, err := w.inflate(&p)
		if err != nil {
			return nil, romInflate, nil
		}
		if !full {
			return nil, 0, nil
		}
		if !r.inside(r.flash.addr, windowSize) {
			return nil, romFailed, nil
		}
		// Past the image the flash may not be blank: no readback here.
		if err := r.c.nor.program(ctx, r.flash.addr, w.buf[:]); err != nil {
			return nil, romCode(err), fatal(ctx)
		}
		r.flash.addr += windowSize
		if w.next(); w.done {
			return nil, 0, nil
		}
	}
}

// flashEnd takes 0 to reset, 1 to stay. The reset does not sample the straps:
// it lands in the loader again.
func (r *rom) flashEnd(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 4 {
		return nil, romFormat, nil
	}
	r.flash.window.stop()
	r.flash = romFlash{}
	return nil, 0, nil
}

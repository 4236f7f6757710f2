package espsim

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
)

// stubFlash is a write to flash through the stub, between BEGIN and END. Its
// counters are as wide as the stub's and wrap as they do.
type stubFlash struct {
	active  bool
	left    uint32 // bytes to come
	addr    uint32
	packed  uint32 // upper bound of the compressed bytes to come
	eraseAt uint32 // next sector to erase
	toErase uint32
	dirty   bool // a sector was not blank: erase without looking from here on
	window  window
}

// flashOp serves the operations on flash.
func (s *stub) flashOp(ctx context.Context, q request) (uint16, error) {
	switch q.op {
	case opFlashBegin, opDeflBegin:
		return s.begin(ctx, q)
	case opFlashData:
		return s.data(q), nil
	case opDeflData:
		return s.deflData(q), nil
	case opFlashEnd, opDeflEnd:
		return s.end(), nil
	case opEraseFlash:
		return s.erased(ctx, s.c.nor.eraseRange(ctx, 0, s.c.nor.size()))
	case opEraseRegion:
		addr, n := q.word(0), q.word(1)
		if addr%sectorSize != 0 || n%sectorSize != 0 {
			return stubLength, nil
		}
		return s.erased(ctx, s.c.nor.eraseRange(ctx, addr, n))
	case opReadFlash:
		s.post = func(ctx context.Context) (uint16, error) { return s.readFlash(ctx, q) }
		return stubOK, nil
	}
	return stubUnknown, nil
}

// erased is the status of a flash operation.
func (s *stub) erased(ctx context.Context, err error) (uint16, error) {
	if errors.Is(err, errSPI) {
		return stubSPI, fatal(ctx)
	}
	return stubOK, err
}

// begin takes size, blocks, block size and address, and may take whether to
// encrypt. It starts the first erase and does not wait for it.
func (s *stub) begin(ctx context.Context, q request) (uint16, error) {
	if len(q.data) != 16 && len(q.data) != 20 {
		return stubLength, nil
	}
	s.flash.window.stop()
	size, addr := q.word(0), q.word(3)
	start := addr &^ (sectorSize - 1)
	end := (addr + size + sectorSize - 1) &^ (sectorSize - 1)
	s.flash = stubFlash{
		active: true, left: size, addr: addr, packed: q.word(1) * q.word(2),
		eraseAt: start, toErase: end - start,
	}
	return s.erased(ctx, s.eraseNext(ctx))
}

// eraseNext starts the next erase that is due, unless the part is busy: the
// stub asks for its state and does not wait. Sectors are passed over as long
// as all were blank.
func (s *stub) eraseNext(ctx context.Context) error {
	f := &s.flash
	if f.toErase == 0 || s.c.nor.busy() {
		return nil
	}
	if !f.dirty {
		var sector [sectorSize]byte
		if err := s.c.nor.read(ctx, f.eraseAt, sector[:]); err != nil {
			return err
		}
		if blank(sector[:]) {
			f.eraseAt += sectorSize
			f.toErase -= min(f.toErase, sectorSize)
			return nil
		}
		f.dirty = true
	}
	step := eraseStep(f.eraseAt, f.toErase)
	if err := s.c.nor.erase(ctx, f.eraseAt, step, true); err != nil {
		return err
	}
	f.eraseAt += step
	f.toErase -= min(f.toErase, step)
	return nil
}

func blank(p []byte) bool {
	for _, b := range p {
		if b != 0xFF {
			return false
		}
	}
	return true
}

// write erases as far as needed and programs.
func (s *stub) write(ctx context.Context, p []byte) (uint16, error) {
	f := &s.flash
	for f.eraseAt < f.addr+uint32(len(p)) {
		if f.toErase == 0 {
			// More data than BEGIN announced: the stub waits for ever for an
			// erase that nobody starts. Only a reset helps.
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}
		if err := s.c.nor.ready(ctx); err != nil {
			return 0, err
		}
		if code, err := s.erased(ctx, s.eraseNext(ctx)); code != stubOK || err != nil {
			return code, err
		}
	}
	if code, err := s.erased(ctx, s.c.nor.program(ctx, f.addr, p)); code != stubOK || err != nil {
		return code, err
	}
	f.left -= uint32(len(p))
	f.addr += uint32(len(p))
	return stubOK, nil
}

func (s *stub) data(q request) uint16 {
	if len(q.data) < dataHeaderLen {
		return stubTooLittle
	}
	if !s.flash.active {
		return stubNotInFlash
	}
	p := q.data[dataHeaderLen:]
	if uint64(q.word(0)) != uint64(len(p)) {
		return stubTooMuch
	}
	if checksum(p) != q.sum {
		return stubChecksum
	}
	p = append([]byte(nil), p...)
	s.post = func(ctx context.Context) (uint16, error) {
		return s.write(ctx, p[:min(uint32(len(p)), s.flash.left)])
	}
	return stubOK
}

func (s *stub) deflData(q request) uint16 {
	if len(q.data) < dataHeaderLen {
		return stubLength
	}
	if !s.flash.active {
		return stubNotInFlash
	}
	p := q.data[dataHeaderLen:]
	n, seq := q.word(0), q.word(1)
	// The stub trusts the length in the packet; more than came is a checksum
	// over foreign memory.
	if uint64(n) > uint64(len(p)) || checksum(p[:n]) != q.sum {
		return stubChecksum
	}
	p = append([]byte(nil), p[:n]...)
	s.post = func(ctx context.Context) (uint16, error) { return s.inflate(ctx, p, seq) }
	return stubOK
}

// inflate takes a packet. Sequence number 0 starts the stream over; of the
// others the stub takes no notice. Each round, which ends with a full window or
// with the input, begins with an erase where one can be begun.
func (s *stub) inflate(ctx context.Context, p []byte, seq uint32) (uint16, error) {
	f := &s.flash
	if seq == 0 {
		f.window.stop()
		f.window = window{}
	}
	for !f.window.done && len(p)+len(f.window.input) > 0 {
		if code, err := s.erased(ctx, s.eraseNext(ctx)); code != stubOK || err != nil {
			return code, err
		}
		full, err := f.window.inflate(&p)
		if err != nil {
			return stubInflate, nil
		}
		if !full {
			if f.window.last { // an empty last window
				f.window.next()
			}
			return stubOK, nil
		}
		if code, err := s.write(ctx, f.window.buf[:f.window.n]); code != stubOK || err != nil {
			return code, err
		}
		f.window.next()
	}
	return stubOK, nil
}

func (s *stub) end() uint16 {
	if !s.flash.active {
		return stubNotInFlash
	}
	if s.flash.left != 0 {
		return stubLength
	}
	s.flash.window.stop()
	s.flash = stubFlash{}
	return stubOK // the flag that asks for a reset is read and nothing comes of it
}

// readFlash takes address, size, packet size and packets in flight, and takes
// the last for 1. The host acknowledges each packet with the count of bytes
// it has, and an MD5 ends the stream.
func (s *stub) readFlash(ctx context.Context, q request) (uint16, error) {
	addr, left, packet := q.word(0), q.word(1), q.word(2)
	if packet > sectorSize || packet == 0 {
		return stubLength, nil
	}
	size, acked := left, uint32(0)
	h := md5.New()
	buf := make([]byte, packet)
	for left > 0 || acked < size {
		if left > 0 {
			p := buf[:min(left, packet)]
			if code, err := s.erased(ctx, s.c.nor.read(ctx, addr, p)); code != stubOK || err != nil {
				return code, err
			}
			h.Write(p)
			if err := s.send(ctx, p); err != nil {
				return 0, err
			}
			addr += uint32(len(p))
			left -= uint32(len(p))
		}
		ack, err := s.next(ctx)
		if err != nil {
			return 0, err
		}
		if len(ack) != 4 {
			break
		}
		acked = binary.LittleEndian.Uint32(ack)
	}
	return stubOK, s.send(ctx, h.Sum(nil))
}

package esprom

import (
	"context"
	"crypto/md5"
	"fmt"
	"time"
)

const (
	// readPacket is the largest packet of READ_FLASH.
	readPacket = 0x1000
	// readChunk bounds what is read again after a fault.
	readChunk = 64 << 10
	// readAhead is how many packets the stub may send before it waits for an
	// acknowledgement. Stubs of today take it for 1.
	readAhead = 64
	// slowRead is how much the ROM returns at once.
	slowRead = 64
)

// Read returns n bytes of flash from off. What was read is compared with the
// chip's MD5 of the range, which is asked for by itself: no loader notices that
// the address of a request was garbled on the line, and the stub proves what it
// has read from there.
func (s *Session) Read(ctx context.Context, off, n uint32) ([]byte, error) {
	if err := s.checkRange(off, n); err != nil {
		return nil, err
	}
	out := make([]byte, 0, n)
	for uint32(len(out)) < n {
		at := off + uint32(len(out))
		size := min(n-uint32(len(out)), readChunk)
		err := s.retry(ctx, func() error {
			read := s.readStub
			if !s.c.stub {
				read = s.readROM
			}
			b, err := read(ctx, at, size)
			if err != nil {
				return err
			}
			sum, err := s.hash(ctx, at, size)
			if err != nil {
				return err
			}
			if sum != md5.Sum(b) {
				return fmt.Errorf("data read do not match the chip's MD5: %w", ErrNoise)
			}
			out = append(out, b...)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read flash at %#x: %w", at, err)
		}
	}
	return out, nil
}

// readStub reads through the stub: it sends packets, waits for the count of
// bytes that have come so far after each, and ends with the MD5 of all.
func (s *Session) readStub(ctx context.Context, off, n uint32) ([]byte, error) {
	args := words(off, n, readPacket, readAhead)
	p, err := s.c.link.request(ctx, request{op: opReadFlash, args: args}, replyTimeout)
	if err != nil {
		return nil, err
	}
	if _, err := p.result(0, true); err != nil {
		return nil, err
	}
	out := make([]byte, 0, n)
	for len(out) < int(n) {
		want := min(int(n)-len(out), readPacket)
		f, err := s.packet(ctx, want)
		if err != nil {
			return nil, err
		}
		out = append(out, f...)
		s.c.link.wbuf = appendFrame(s.c.link.wbuf[:0], words(uint32(len(out))))
		if err := s.c.link.send(s.c.link.wbuf); err != nil {
			return nil, err
		}
	}
	sum, err := s.packet(ctx, md5Size)
	if err != nil {
		return nil, err
	}
	if [md5Size]byte(sum) != md5.Sum(out) {
		return nil, fmt.Errorf("%s: data do not match their MD5: %w", opName(opReadFlash), ErrNoise)
	}
	return out, nil
}

// packet returns the next frame, which must be of size bytes.
func (s *Session) packet(ctx context.Context, size int) ([]byte, error) {
	timeout := blockTimeout + s.c.wireTime(size)
	f, err := s.c.link.frame(ctx, time.Now().Add(timeout))
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, &timeoutError{op: opReadFlash, after: timeout, noise: len(s.c.link.dec.buf) > 0}
	}
	if len(f) != size {
		return nil, fmt.Errorf("%s: packet of %d bytes where %d were due: %w", opName(opReadFlash), len(f), size, ErrNoise)
	}
	return f, nil
}

// readROM reads 64 bytes at a time. The ROM's replies carry no checksum.
func (s *Session) readROM(ctx context.Context, off, n uint32) ([]byte, error) {
	out := make([]byte, 0, n)
	for uint32(len(out)) < n {
		size := min(n-uint32(len(out)), slowRead)
		r := request{op: opReadFlashSlow, args: words(off+uint32(len(out)), size)}
		p, err := s.c.askFor(ctx, r, askTimeout)
		if err != nil {
			return nil, err
		}
		b, err := p.result(slowRead, false)
		if err != nil {
			return nil, err
		}
		out = append(out, b[:size]...)
	}
	return out, nil
}

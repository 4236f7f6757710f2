package esprom

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"
)

// Flash commands take time by their size; these are esptool's bounds.
const (
	erasePerMB = 40 * time.Second // erasing, or erasing and writing
	md5PerMB   = 8 * time.Second
	// blockTimeout is the least to wait for a block's reply.
	blockTimeout = 2 * time.Second
)

func perMB(d time.Duration, n int) time.Duration {
	return time.Duration(int64(d) * int64(n) >> 20)
}

// sized waits for n bytes at d a megabyte, least at least.
func sized(least, d time.Duration, n int) time.Duration { return max(least, perMB(d, n)) }

const md5Size = 16

// hash asks the chip for the MD5 of a range of its flash, once.
func (s *Session) hash(ctx context.Context, off, n uint32) ([md5Size]byte, error) {
	start := time.Now()
	if err := s.c.link.discard(); err != nil {
		return [md5Size]byte{}, err
	}
	r := request{op: opFlashMD5, args: words(off, n, 0, 0)}
	p, err := s.c.link.request(ctx, r, s.md5.timeout(int(n)))
	if err != nil {
		return [md5Size]byte{}, err
	}
	sum, err := parseMD5(p, s.c.stub)
	if err == nil {
		s.md5.learn(int(n), time.Since(start))
	}
	return sum, err
}

// parseMD5 reads the reply to SPI_FLASH_MD5: 16 bytes from the stub, 32 hex
// letters from the ROM.
func parseMD5(p reply, stub bool) (sum [md5Size]byte, err error) {
	want := 2 * md5Size
	if stub {
		want = md5Size
	}
	b, err := p.result(want, stub)
	if err != nil {
		return sum, err
	}
	if stub {
		return [md5Size]byte(b), nil
	}
	if _, err := hex.Decode(sum[:], b); err != nil {
		return sum, fmt.Errorf("%s: %w", opName(opFlashMD5), errBadReply)
	}
	return sum, nil
}

// md5Rate learns how long the chip takes to hash, so that a dead line during a
// long hash is not waited for as long as the slowest chip might take.
type md5Rate struct{ slowest time.Duration } // per MB

// learn takes note of ranges that are long enough to tell.
func (r *md5Rate) learn(n int, took time.Duration) {
	if n >= 4<<10 {
		r.slowest = max(r.slowest, took*(1<<20)/time.Duration(n))
	}
}

func (r *md5Rate) timeout(n int) time.Duration {
	rate := md5PerMB
	if r.slowest > 0 {
		rate = min(rate, 4*r.slowest)
	}
	return sized(replyTimeout, rate, n)
}

// flashBegin announces a raw transfer; the ROM erases the range before it
// answers.
func (s *Session) flashBegin(ctx context.Context, off uint32, n, blockSize int) error {
	blocks := (n + blockSize - 1) / blockSize
	erase := (n + sectorSize - 1) &^ (sectorSize - 1)
	args := words(uint32(erase), uint32(blocks), uint32(blockSize), off)
	if s.chip.begin5 || s.c.stub {
		args = append(args, words(0)...) // not encrypted
	}
	p, err := s.c.link.request(ctx, request{op: opFlashBegin, args: args}, sized(replyTimeout, erasePerMB, erase))
	if err != nil {
		return err
	}
	_, err = p.result(0, s.c.stub)
	return err
}

// deflBegin announces a deflated transfer to the stub, which takes the exact
// inflated size and erases as it goes.
func (s *Session) deflBegin(ctx context.Context, off uint32, st *stream) error {
	args := words(uint32(st.size), uint32(len(st.blocks)), stubBlock, off, 0)
	p, err := s.c.link.request(ctx, request{op: opDeflBegin, args: args}, replyTimeout)
	if err != nil {
		return err
	}
	_, err = p.result(0, true)
	return err
}

// deflEnd is the barrier after the last block: the stub answers it when that
// block is written, with the failure if there was one. 1 means: stay.
func (s *Session) deflEnd(ctx context.Context, pending int) error {
	timeout := sized(replyTimeout, erasePerMB, pending)
	p, err := s.c.link.request(ctx, request{op: opDeflEnd, args: words(1)}, timeout)
	if err != nil {
		return err
	}
	_, err = p.result(0, true)
	return err
}

package esp32

import (
	"context"
	"crypto/md5"
	"encoding/binary"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// Helds makes durable what a place in the flash of a chip was proved to hold, so
// that the next write there need not ask the chip for it.
type Helds interface {
	// Held is what was kept; nil where nothing was.
	Held(mac [6]byte, off uint32) ([]byte, error)
	KeepHeld(mac [6]byte, off uint32, what []byte) error
}

// wrote is what a session put into a slot.
type wrote struct {
	off  uint32
	held esprom.Held
}

// Write tells the loader what the slot held when it was last written, and takes
// note of what it holds then.
func (s *session) Write(ctx context.Context, to flashmap.Slot, v image.Verified, progress func(done, total int64)) error {
	off, ok := s.place(ctx, to)
	if ok {
		s.loader.Expect(off, s.chip.expected(s.loader.Info().MAC, off))
	}
	if err := s.Device.Write(ctx, to, v, progress); err != nil {
		return err
	}
	if ok && s.chip.cfg.Helds != nil {
		s.wrote = &wrote{off, esprom.HeldOf(v.Bytes())}
	}
	return nil
}

// place is where a slot begins.
func (s *session) place(ctx context.Context, slot flashmap.Slot) (uint32, bool) {
	if s.chip.cfg.Helds == nil {
		return 0, false
	}
	p, ok, err := s.Partition(ctx, slot)
	return p.Offset, ok && err == nil
}

// expected is what a place probably holds.
func (c *Chip) expected(mac [6]byte, off uint32) esprom.Held {
	b, err := c.cfg.Helds.Held(mac, off)
	if err != nil {
		c.cfg.Log.Warn("what the slot holds was noted and cannot be read; the chip is asked", "err", err)
	}
	return unpackHeld(b)
}

// remember keeps what was written. It is done when the chip runs again.
func (s *session) remember() {
	if s.wrote == nil {
		return
	}
	if err := s.chip.cfg.Helds.KeepHeld(s.loader.Info().MAC, s.wrote.off, packHeld(s.wrote.held)); err != nil {
		s.chip.cfg.Log.Warn("what the slot holds could not be noted", "err", err)
	}
}

// HeldBy is what is kept of a place to which data was written.
func HeldBy(data []byte) []byte { return packHeld(esprom.HeldOf(data)) }

// packHeld writes the size as 4 bytes, little-endian, and the MD5s.
func packHeld(h esprom.Held) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(h.Size))
	for _, sum := range h.Sums {
		b = append(b, sum[:]...)
	}
	return b
}

// unpackHeld reads what packHeld wrote; anything else is nothing.
func unpackHeld(b []byte) esprom.Held {
	const sector = 4096
	if len(b) < 4 {
		return esprom.Held{}
	}
	h := esprom.Held{Size: int(binary.LittleEndian.Uint32(b))}
	b = b[4:]
	if h.Size > image.MaxImageSize || len(b) != (h.Size+sector-1)/sector*md5.Size {
		return esprom.Held{}
	}
	for ; len(b) > 0; b = b[md5.Size:] {
		h.Sums = append(h.Sums, [md5.Size]byte(b))
	}
	return h
}

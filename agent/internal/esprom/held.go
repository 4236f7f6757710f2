package esprom

import (
	"context"
	"crypto/md5"
)

// Held is what a range of flash was proved to hold when it was last written:
// the MD5 of each sector of 4096 bytes, of the last as far as it was filled.
// The zero value says nothing.
type Held struct {
	Size int // bytes
	Sums [][md5Size]byte
}

// HeldOf is what a range holds after data were written there.
func HeldOf(data []byte) Held {
	h := Held{Size: len(data)}
	for from := 0; from < len(data); from += sectorSize {
		h.Sums = append(h.Sums, md5.Sum(data[from:min(from+sectorSize, len(data))]))
	}
	return h
}

// Expect tells that the flash from off on probably holds h, which spares a
// Write from there most of its questions. Write looks whether it may be so, and
// proves the result as ever: what is wrong here costs time and nothing else.
func (s *Session) Expect(off uint32, h Held) {
	s.held, s.heldAt = h, off
}

// known marks the sectors of p by what was expected, if the chip agrees in a few
// places; it tells whether it did.
func (s *Session) known(ctx context.Context, p *plan) (bool, error) {
	h := s.held
	if s.heldAt != p.off || h.Size == 0 || len(h.Sums) != (h.Size+sectorSize-1)/sectorSize {
		return false, nil
	}
	s.held = Held{} // it holds until the first write
	for from := range sampled(min(h.Size, len(p.data))) {
		sum, err := s.hash(ctx, p.off+uint32(from), uint32(min(sectorSize, h.Size-from)))
		if err != nil || sum != h.Sums[from/sectorSize] {
			return false, err
		}
	}
	for k := range p.state {
		from, to := p.span(k)
		switch {
		case min(h.Size-from, sectorSize) != to-from:
			p.state[k] = unsure // beyond what is known, or where it ends
		case h.Sums[k] == md5.Sum(p.data[from:to]):
			p.state[k] = correct
		}
	}
	p.coarsen(s.worth())
	return true, nil
}

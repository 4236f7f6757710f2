package esprom

import (
	"context"
	"crypto/md5"
	"iter"
)

// region is what is compared, skipped or written as one: the block that flash
// chips erase fastest.
const region = blockErase

// regionState is what is known of a region's content.
type regionState uint8

const (
	wrong   regionState = iota // must be written
	unsure                     // to be compared
	correct                    // is what it should be
)

// plan is what Write knows of each region of its range.
type plan struct {
	off   uint32
	data  []byte
	state []regionState
}

func newPlan(off uint32, data []byte) *plan {
	p := &plan{off: off, data: data}
	p.state = make([]regionState, p.index(len(data)-1)-p.index(0)+1)
	return p
}

// index is the number, from the start of the flash, of the region that byte i
// of the data lies in.
func (p *plan) index(i int) int { return int((uint64(p.off) + uint64(i)) / region) }

// span returns the bytes of data that lie in region k of the plan.
func (p *plan) span(k int) (from, to int) {
	base := (p.index(0)+k)*region - int(p.off)
	return max(0, base), min(len(p.data), base+region)
}

// done is how many bytes are in place.
func (p *plan) done() int {
	n := 0
	for k, st := range p.state {
		if st == correct {
			from, to := p.span(k)
			n += to - from
		}
	}
	return n
}

// next returns the first run of wrong regions, as bytes of data.
func (p *plan) next() (from, to int, found bool) {
	for k, st := range p.state {
		a, b := p.span(k)
		switch {
		case st == wrong && !found:
			from, to, found = a, b, true
		case st == wrong:
			to = b
		case found:
			return from, to, true
		}
	}
	return from, to, found
}

// mark sets the regions that lie wholly within data[from:to].
func (p *plan) mark(from, to int, st regionState) {
	for k := range p.state {
		if a, b := p.span(k); a >= from && b <= to {
			p.state[k] = st
		}
	}
}

// samples is how many places are compared to learn whether what lies in the
// flash has anything in common with the data.
const samples = 8

// survey finds out what of the flash may be right already.
//
// Hashing everything costs the chip up to half a second, for nothing if the
// slot holds an unrelated image, as it does at nearly every first write. So
// first a few sectors are compared. If none is right, all is written; if all
// are, the whole is compared at once; else each region is. It tells whether
// the whole was found right.
func (s *Session) survey(ctx context.Context, p *plan) (bool, error) {
	same, asked := 0, 0
	for from := range sampled(len(p.data)) {
		equal, err := s.equal(ctx, p, from, min(from+sectorSize, len(p.data)))
		if err != nil {
			return false, err
		}
		asked++
		if equal {
			same++
		}
	}
	if same == 0 {
		return false, nil
	}
	p.mark(0, len(p.data), unsure)
	if same < asked {
		return false, nil
	}
	return s.equal(ctx, p, 0, len(p.data))
}

// sampled yields the starts of the sectors to compare in n bytes.
func sampled(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		next := 0
		for i := range samples {
			from := n / samples * i &^ (sectorSize - 1)
			if from < next {
				continue
			}
			if !yield(from) {
				return
			}
			next = from + sectorSize
		}
	}
}

// resolve compares the regions that are unsure.
func (s *Session) resolve(ctx context.Context, p *plan) error {
	for k, st := range p.state {
		if st != unsure {
			continue
		}
		from, to := p.span(k)
		equal, err := s.equal(ctx, p, from, to)
		if err != nil {
			return err
		}
		p.state[k] = wrong
		if equal {
			p.state[k] = correct
		}
	}
	return nil
}

func (s *Session) equal(ctx context.Context, p *plan, from, to int) (bool, error) {
	sum, err := s.hash(ctx, p.off+uint32(from), uint32(to-from))
	if err != nil {
		return false, err
	}
	return sum == md5.Sum(p.data[from:to]), nil
}

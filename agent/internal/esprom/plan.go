package esprom

import (
	"context"
	"crypto/md5"
	"iter"
	"slices"
	"time"
)

// sectorState is what is known of a sector's content.
type sectorState uint8

const (
	wrong   sectorState = iota // must be written
	unsure                     // to be compared
	correct                    // is what it should be
)

// plan is what Write knows of each sector of its range, which begins at one.
type plan struct {
	off   uint32
	data  []byte
	state []sectorState
}

func newPlan(off uint32, data []byte) *plan {
	return &plan{off: off, data: data, state: make([]sectorState, (len(data)+sectorSize-1)/sectorSize)}
}

// span returns the bytes of data that lie in sector k of the plan.
func (p *plan) span(k int) (from, to int) {
	return k * sectorSize, min(len(p.data), (k+1)*sectorSize)
}

// blockEnd is where the block that byte i of the data lies in ends, or the data.
func (p *plan) blockEnd(i int) int {
	left := blockErase - (int64(p.off)+int64(i))%blockErase
	return int(min(int64(i)+left, int64(len(p.data))))
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

// next returns the first run of wrong sectors, as bytes of data.
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

// mark sets the sectors that lie wholly within data[from:to].
func (p *plan) mark(from, to int, st sectorState) {
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
// are, which it tells, the whole may be compared at once; else each part is.
// Where it is known what the flash held, only whether that may be so is asked.
func (s *Session) survey(ctx context.Context, p *plan) (bool, error) {
	if known, err := s.known(ctx, p); known || err != nil {
		return known && p.done() == len(p.data), err
	}
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
	return same == asked, nil
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

// resolve compares the sectors that are unsure, those of one block at once.
func (s *Session) resolve(ctx context.Context, p *plan) error {
	for k := 0; k < len(p.state); k++ {
		if p.state[k] != unsure {
			continue
		}
		from, to := p.span(k)
		for end := p.blockEnd(from); to < end && p.state[k+1] == unsure; {
			k++
			_, to = p.span(k)
		}
		equal, err := s.equal(ctx, p, from, to)
		switch {
		case err != nil:
			return err
		case equal:
			p.mark(from, to, correct)
		default:
			if err := s.narrow(ctx, p, from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// What a common flash part takes to erase.
const (
	sectorErase = 45 * time.Millisecond
	block64     = 150 * time.Millisecond
)

// worth is up to how many sectors of a block it is faster to write alone than
// to write all of it: each costs an erase of its own, or more time than that on
// the line, where code deflates to 0.6 of its size.
func (s *Session) worth() int {
	onLine := s.c.wireTime(sectorSize * 6 / 10)
	all := max(blockErase/sectorSize*onLine, block64) + sectorErase
	return int(all / max(onLine, sectorErase))
}

// narrow finds out which sectors of data[from:to], which lies in one block and
// differs, are wrong. A new version or date makes one so, code that moved all:
// if none of the first, the middle and the last is right, no more are compared.
func (s *Session) narrow(ctx context.Context, p *plan, from, to int) error {
	first, n, right := from/sectorSize, (to-from+sectorSize-1)/sectorSize, 0
	p.mark(from, to, wrong)
	if n == 1 {
		return nil
	}
	compare := func(i int) error {
		a, b := p.span(first + i)
		equal, err := s.equal(ctx, p, a, b)
		if err == nil && equal {
			p.mark(a, b, correct)
			right++
		}
		return err
	}
	probes := slices.Compact([]int{0, n / 2, n - 1})
	for _, i := range probes {
		if err := compare(i); err != nil {
			return err
		}
	}
	if right == 0 {
		return nil
	}
	for i := range n {
		if slices.Contains(probes, i) {
			continue
		}
		if err := compare(i); err != nil {
			return err
		}
	}
	if n-right > s.worth() {
		p.mark(from, to, wrong)
	}
	return nil
}

// coarsen marks whole blocks wrong of which more sectors are so than it is worth
// to write one by one.
func (p *plan) coarsen(worth int) {
	for from := 0; from < len(p.data); {
		to, n := p.blockEnd(from), 0
		for k := from / sectorSize; k*sectorSize < to; k++ {
			if p.state[k] == wrong {
				n++
			}
		}
		if n > worth {
			p.mark(from, to, wrong)
		}
		from = to
	}
}

func (s *Session) equal(ctx context.Context, p *plan, from, to int) (bool, error) {
	sum, err := s.hash(ctx, p.off+uint32(from), uint32(to-from))
	if err != nil {
		return false, err
	}
	return sum == md5.Sum(p.data[from:to]), nil
}

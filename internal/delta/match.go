package delta

import (
	"context"
	"encoding/binary"
)

// A step of the way from the base to the result: copy so many bytes of the
// base, which then are corrected byte by byte, take so many literal ones, and
// go on at another place of the base.
type step struct {
	copied, literal uint32
	seek            int64 // from the end of what was copied to the next copy
}

const (
	seed     = 8  // bytes that have to agree for a place of the base to be looked at
	tries    = 48 // places of the base that are looked at for a place of the result
	better   = 8  // bytes by which another place has to be better than going on
	maxMatch = 1 << 16
)

// index finds places of the base by the bytes there.
type index struct {
	base  []byte
	shift uint
	head  []int32 // by hash: the last place that has it; -1: none
	next  []int32 // by place: the one before it with the same hash
}

func newIndex(base []byte) *index {
	bits := uint(12)
	for 1<<bits < len(base) && bits < 22 {
		bits++
	}
	x := &index{base: base, shift: 64 - bits, head: make([]int32, 1<<bits), next: make([]int32, len(base))}
	for i := range x.head {
		x.head[i] = -1
	}
	for i := 0; i+seed <= len(base); i++ {
		h := x.hash(base[i:])
		x.next[i], x.head[h] = x.head[h], int32(i)
	}
	return x
}

func (x *index) hash(b []byte) uint64 {
	return binary.LittleEndian.Uint64(b) * 0x9E3779B97F4A7C15 >> x.shift
}

// longest finds the place of the base that begins as b does for longest, and
// for how long; near is the place that is tried first.
func (x *index) longest(b []byte, near int) (at, n int) {
	if near >= 0 && near < len(x.base) {
		at, n = near, same(x.base[near:], b)
	}
	if len(b) < seed {
		return at, n
	}
	p := x.head[x.hash(b)]
	for range tries {
		if p < 0 || n >= maxMatch {
			break
		}
		if m := same(x.base[p:], b); m > n {
			at, n = int(p), m
		}
		p = x.next[p]
	}
	return at, n
}

// same is how many bytes a and b begin with alike, maxMatch at most.
func same(a, b []byte) int {
	most := min(len(a), len(b), maxMatch)
	n := 0
	for n+8 <= most {
		if binary.LittleEndian.Uint64(a[n:]) != binary.LittleEndian.Uint64(b[n:]) {
			break
		}
		n += 8
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}

// plan finds the steps from base to result, after C. Percival, "Naive
// differences of executable code" (2003): a copy goes on over bytes that differ
// as long as at least every second one agrees, because code that moved differs
// in addresses only; and begins anew where another place of the base agrees for
// better bytes more.
func plan(ctx context.Context, base, result []byte) ([]step, error) {
	x := newIndex(base)
	var steps []step
	var (
		begin, from = 0, 0 // of what is not planned yet, in result and base
		offset      = 0    // from result to base of the copy that goes on
	)
	for at := 0; begin < len(result); {
		next, found, n, err := x.turn(ctx, result, at, offset)
		if err != nil {
			return nil, err
		}
		ahead := stretch(base[from:], result[begin:next])
		back := 0
		if next < len(result) {
			back = stretchBack(base[:found], result[begin:next])
		}
		if over := begin + ahead - (next - back); over > 0 {
			keep := divide(base[from+ahead-over:], base[found-back:], result[next-back:], over)
			ahead += keep - over
			back -= keep
		}
		s := step{copied: uint32(ahead), literal: uint32(next - back - begin - ahead)}
		s.seek = int64(found-back) - int64(from+ahead)
		if next == len(result) {
			s.seek = 0
			return append(steps, s), nil
		}
		steps = append(steps, s)
		begin, from, offset = next-back, found-back, found-next
		at = next + n
	}
	return steps, nil
}

// turn looks from a place of the result on for the next one where another place
// of the base is better than going on with the same offset. next is the end of
// the result where there is none.
func (x *index) turn(ctx context.Context, result []byte, at, offset int) (next, found, n int, err error) {
	agrees := func(i int) bool {
		p := i + offset
		return p >= 0 && p < len(x.base) && x.base[p] == result[i]
	}
	scored, score := at, 0 // bytes of result[at:scored] that agree with the offset
	for ; at < len(result); at++ {
		if ctx.Err() != nil {
			return 0, 0, 0, context.Cause(ctx)
		}
		found, n = x.longest(result[at:], at+offset)
		scored = max(scored, at)
		for ; scored < at+n; scored++ {
			if agrees(scored) {
				score++
			}
		}
		switch {
		case n > 0 && n == score: // the same place
			at += n - 1
			scored, score = at+1, 0
			continue
		case n > score+better:
			return at, found, n, nil
		}
		if scored > at && agrees(at) {
			score--
		}
	}
	return len(result), 0, 0, nil
}

// stretch is how far base and result, read on from a place, go together.
func stretch(base, result []byte) int {
	best, length, agree := 0, 0, 0
	for i := 0; i < len(result) && i < len(base); i++ {
		if base[i] == result[i] {
			agree++
		}
		if score := 2*agree - (i + 1); score > best {
			best, length = score, i+1
		}
	}
	return length
}

// stretchBack is stretch backwards from the end.
func stretchBack(base, result []byte) int {
	best, length, agree := 0, 0, 0
	for i := 1; i <= len(result) && i <= len(base); i++ {
		if base[len(base)-i] == result[len(result)-i] {
			agree++
		}
		if score := 2*agree - i; score > best {
			best, length = score, i
		}
	}
	return length
}

// divide says how many of n bytes that two copies both reach belong to the first:
// as many as do not speak against it, so that a copy does not begin further back
// each time where everything looks alike.
func divide(first, second, result []byte, n int) int {
	best, length, score := 0, 0, 0
	for i := range n {
		if first[i] == result[i] {
			score++
		}
		if second[i] == result[i] {
			score--
		}
		if score >= best {
			best, length = score, i+1
		}
	}
	return length
}

package deflate

import (
	"encoding/binary"
	"math/bits"
)

const (
	minMatch   = 3
	maxMatch   = 258
	windowSize = 32 << 10
	windowMask = windowSize - 1

	hashBits = 16
	// chainDepth bounds how many earlier places are looked at for a position.
	chainDepth = 128
	// niceLength is a match so long that no better one is looked for.
	niceLength = 96
	// farShort is how far a match of 3 bytes may reach back: one from farther
	// costs more than three literals.
	farShort = 4096
)

// match is a copy of length bytes from dist bytes back.
type match struct {
	length uint16
	dist   uint16 // 32768 does not fit, and is not used
}

// matchList holds the matches of each position of a portion: of each length
// that can be had, the nearest.
type matchList struct {
	first []int32 // index into all, by position; one more at the end
	all   []match
}

func (l *matchList) at(i int) []match { return l.all[l.first[i]:l.first[i+1]] }

// finder finds matches by hash chains over the window.
type finder struct {
	data []byte
	head [1 << hashBits]int32 // last position with that hash of 4 bytes, plus 1
	prev [windowSize]int32    // the one before, by position in the window
	near [1 << hashBits]int32 // last position with that hash of 3 bytes, plus 1
}

func newFinder(data []byte) *finder { return &finder{data: data} }

const hashPrime = 0x9E3779B1

func hash4(v uint32) uint32 { return v * hashPrime >> (32 - hashBits) }
func hash3(v uint32) uint32 { return (v << 8) * hashPrime >> (32 - hashBits) }

// find lists the matches of data[from:to]. Portions must come in order.
func (f *finder) find(l *matchList, from, to int) {
	l.first, l.all = append(l.first[:0], 0), l.all[:0]
	var run match // a long match that goes on over the next positions
	for i := from; i < to; i++ {
		room := min(maxMatch, to-i)
		switch {
		case run.length > minMatch:
			run.length--
			l.all = append(l.all, run)
			f.insert(i)
		case room >= minMatch && len(f.data)-i >= 4:
			before := len(l.all)
			f.search(l, i, room)
			run = match{}
			if n := len(l.all); n > before && l.all[n-1].length >= niceLength {
				run = l.all[n-1]
			}
		}
		l.first = append(l.first, int32(len(l.all)))
	}
}

// insert makes position i known.
func (f *finder) insert(i int) {
	if len(f.data)-i < 4 {
		return
	}
	v := binary.LittleEndian.Uint32(f.data[i:])
	h := hash4(v)
	f.prev[i&windowMask] = f.head[h]
	f.head[h] = int32(i + 1)
	f.near[hash3(v)] = int32(i + 1)
}

// search appends the matches of position i, ever longer ones from ever farther
// back, and makes i known.
func (f *finder) search(l *matchList, i, room int) {
	v := binary.LittleEndian.Uint32(f.data[i:])
	best := minMatch - 1
	if at := int(f.near[hash3(v)]) - 1; at >= 0 && i-at <= farShort {
		if n := f.common(at, i, room); n >= minMatch {
			l.all = append(l.all, match{uint16(n), uint16(i - at)})
			best = n
		}
	}
	h := hash4(v)
	at := int(f.head[h]) - 1
	for depth := 0; at >= 0 && i-at < windowSize && depth < chainDepth && best < min(room, niceLength); depth++ {
		if f.data[at+best] == f.data[i+best] {
			if n := f.common(at, i, room); n > best {
				l.all = append(l.all, match{uint16(n), uint16(i - at)})
				best = n
			}
		}
		next := int(f.prev[at&windowMask]) - 1
		if next >= at {
			break // overwritten: it lies before the window
		}
		at = next
	}
	f.prev[i&windowMask] = f.head[h]
	f.head[h] = int32(i + 1)
	f.near[hash3(v)] = int32(i + 1)
}

// common is how many bytes at a and b are equal, at most room.
func (f *finder) common(a, b, room int) int {
	n := 0
	for n+8 <= room {
		x := binary.LittleEndian.Uint64(f.data[a+n:]) ^ binary.LittleEndian.Uint64(f.data[b+n:])
		if x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
		n += 8
	}
	for n < room && f.data[a+n] == f.data[b+n] {
		n++
	}
	return n
}

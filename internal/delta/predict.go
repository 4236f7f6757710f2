package delta

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// segment is a part of an image that lies in the chip's address space.
type segment struct{ offset, addr, size uint32 }

// kinds of references that a patch works out anew.
type kinds uint8

const (
	// pointers are words that hold the address of something in the image.
	pointers kinds = 1 << iota
	// xtensa is code that calls (CALL0, CALL4, CALL8, CALL12) and loads
	// literals (L32R), both relative to itself: Xtensa Instruction Set
	// Architecture, 8.
	xtensa

	allKinds = pointers | xtensa
)

// chunk is how many bytes are worked out at a time: a reference that lies in
// two chunks, or in two copies, is left as it is.
const chunk = 32 << 10

// reliable is how long a copy has to be for the addresses in it to be trusted
// to have moved with it, in bytes: a few bytes agree by chance.
const reliable = 100

// A predictor knows what a piece of the base looks like where it is copied to.
type predictor struct {
	script
	old   []byte
	moved []move // by from
	// Where references begin, a bit for each byte of the base: what lies in
	// memory grows with the image by a quarter of it.
	words, code bitmap
}

// move is a long copy.
type move struct{ from, size, to uint32 }

type bitmap []uint64

func (b bitmap) set(i uint32)      { b[i>>6] |= 1 << (i & 63) }
func (b bitmap) get(i uint32) bool { return b[i>>6]>>(i&63)&1 != 0 }

func newPredictor(base []byte, s script) *predictor {
	p := &predictor{script: s, old: base}
	if s.kinds == 0 {
		return p
	}
	var from, to int64
	for _, x := range s.steps {
		if x.copied >= reliable {
			p.moved = append(p.moved, move{uint32(from), x.copied, uint32(to)})
		}
		from += int64(x.copied) + x.seek
		to += int64(x.copied) + int64(x.literal)
	}
	slices.SortStableFunc(p.moved, func(a, b move) int { return cmp.Compare(a.from, b.from) })
	p.words, p.code = make(bitmap, len(base)/64+1), make(bitmap, len(base)/64+1)
	for _, g := range s.base {
		if s.kinds&pointers != 0 {
			p.findWords(g)
		}
		if s.kinds&xtensa != 0 && executable(g.addr) {
			p.findCode(g)
		}
	}
	return p
}

// executable tells the addresses of instructions: RAM and flash of ESP32,
// ESP32-S2 and ESP32-S3.
func executable(addr uint32) bool { return addr >= 0x40000000 && addr < 0x44000000 }

// findWords marks the aligned words of a segment that hold addresses.
func (p *predictor) findWords(g segment) {
	for i := -g.addr & 3; i+4 <= g.size; i += 4 {
		at := g.offset + i
		if _, ok := place(p.base, binary.LittleEndian.Uint32(p.old[at:])); ok {
			p.words.set(at)
		}
	}
}

// findCode marks the instructions of a segment that refer to others. It reads on
// from each ENTRY, with which functions begin.
func (p *predictor) findCode(g segment) {
	end := g.offset + g.size
	for at, inside := g.offset, false; at+4 <= end; {
		addr := g.addr + at - g.offset
		if p.entry(at, addr) {
			inside = true
		}
		if !inside {
			at++
			continue
		}
		if target, ok := reference(word(p.old[at:]), addr); ok && p.plausible(word(p.old[at:]), target) {
			p.code.set(at)
		}
		next := at + length(p.old[at])
		for i := at + 1; i < next && i+4 <= end; i++ { // out of step: there is a function
			if p.entry(i, g.addr+i-g.offset) {
				next = i
			}
		}
		at = next
	}
}

// entry says whether "entry a1, n" may stand there.
func (p *predictor) entry(at, addr uint32) bool {
	return addr&3 == 0 && p.old[at] == 0x36 && p.old[at+1]&0x0f == 1
}

// length of an instruction by its first byte.
func length(first byte) uint32 {
	if op := first & 0x0f; op >= 8 && op < 14 {
		return 2
	}
	return 3
}

func word(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// Operation codes: the lowest four bits.
const (
	opL32R = 1
	opCall = 5
)

// reference is the address that the instruction w at addr refers to.
func reference(w, addr uint32) (uint32, bool) {
	switch w & 0x0f {
	case opCall: // 18 bits signed, in words, from the next word
		return addr&^3 + 4 + uint32(int32(w<<8)>>14)<<2, true
	case opL32R: // 16 bits, all above them 1, in words
		return (addr+3)&^3 + (0xFFFC0000 | w>>8<<2), true
	}
	return 0, false
}

// refer makes the instruction w at addr refer to target.
func refer(w, addr, target uint32) uint32 {
	if w&0x0f == opCall {
		return w&0x3f | (target-4-addr&^3)>>2&0x3ffff<<6
	}
	return w&0xff | (target-(addr+3)&^3)>>2&0xffff<<8
}

// plausible: the target lies in the image, and that of a windowed call begins
// with ENTRY.
func (p *predictor) plausible(w, target uint32) bool {
	at, ok := place(p.base, target)
	windowed := w&0x0f == opCall && w>>4&3 != 0
	return ok && (!windowed || p.old[at] == 0x36)
}

// place is where in the image an address lies.
func place(in []segment, addr uint32) (uint32, bool) {
	for _, g := range in {
		if addr >= g.addr && addr-g.addr < g.size {
			return g.offset + addr - g.addr, true
		}
	}
	return 0, false
}

// address is at which address a place of the image lies.
func address(in []segment, at uint32) (uint32, bool) {
	for _, g := range in {
		if at >= g.offset && at-g.offset < g.size {
			return g.addr + at - g.offset, true
		}
	}
	return 0, false
}

// follow gives the address in the result of what has addr in the base: it moved
// with the copy that it lies in, or else with the one before it.
func (p *predictor) follow(addr uint32) (uint32, bool) {
	const overlapping = 8 // copies that begin before it are looked at
	at, ok := place(p.base, addr)
	if !ok {
		return 0, false
	}
	i, exact := slices.BinarySearchFunc(p.moved, at, func(m move, at uint32) int { return cmp.Compare(m.from, at) })
	for exact && i+1 < len(p.moved) && p.moved[i+1].from == at {
		i++
	}
	if !exact {
		i--
	}
	if i < 0 {
		return 0, false
	}
	m := p.moved[i]
	for j := i; j >= 0 && j > i-overlapping; j-- {
		if at-p.moved[j].from < p.moved[j].size {
			m = p.moved[j]
			break
		}
	}
	return address(p.result, at-m.from+m.to)
}

// fill writes into b, a chunk, what base[from:] looks like at place to of the
// result.
func (p *predictor) fill(b []byte, from, to uint32) {
	copy(b, p.old[from:])
	if p.kinds == 0 {
		return
	}
	for i := uint32(0); i+4 <= uint32(len(b)); i++ {
		at := from + i
		switch {
		case p.words[at>>6]|p.code[at>>6] == 0: // none in these 64
			i += 63 - at&63
		case p.words.get(at):
			if target, ok := p.follow(binary.LittleEndian.Uint32(p.old[at:])); ok {
				binary.LittleEndian.PutUint32(b[i:], target)
			}
		case p.code.get(at):
			p.fillCode(b[i:], at, to+i)
		}
	}
}

// fillCode writes an instruction.
func (p *predictor) fillCode(b []byte, from, to uint32) {
	addr, ok := address(p.base, from)
	if !ok {
		return
	}
	w := word(p.old[from:])
	target, ok := reference(w, addr)
	if !ok {
		return
	}
	target, ok = p.follow(target)
	if !ok {
		return
	}
	if addr, ok = address(p.result, to); ok {
		w = refer(w, addr, target)
		b[0], b[1], b[2] = byte(w), byte(w>>8), byte(w>>16)
	}
}

package deflate

import (
	"encoding/binary"
	"hash/adler32"
)

// pieceSize bounds the memory: what is known of one piece takes about 20 times
// its size.
const pieceSize = 128 << 10

// maxStored is the most bytes in a block that is not packed.
const maxStored = 65535

// Zlib packs data as a zlib stream (RFC 1950).
func Zlib(data []byte) []byte {
	// 32 KiB window, packed with care; a multiple of 31.
	w := &writer{out: []byte{0x78, 0xDA}}
	f := &finder{data: data, left: effort * len(data)}
	most := min(pieceSize, len(data)) + 1
	p := &piece{t: newSymbols(), cost: make([]float32, most), by: make([]match, most)}
	for from := 0; from == 0 || from < len(data); from += pieceSize {
		to := min(from+pieceSize, len(data))
		p.look(f, from, to)
		w.piece(p, to == len(data))
	}
	w.flush()
	return binary.BigEndian.AppendUint32(w.out, adler32.Checksum(data))
}

// look finds the matches of data[from:to].
func (p *piece) look(f *finder, from, to int) {
	p.data = f.data[from:to]
	p.matches, p.first = p.matches[:0], p.first[:0]
	for i := from; i < to; i++ {
		p.first = append(p.first, int32(len(p.matches)))
		p.matches = f.find(i, to, p.matches)
	}
	p.first = append(p.first, int32(len(p.matches)))
}

// writer writes bits, the lowest first.
type writer struct {
	out  []byte
	hold uint64
	n    uint
}

func (w *writer) bits(v uint32, n uint) {
	w.hold |= uint64(v) << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.hold))
		w.hold >>= 8
	}
}

// flush fills up the last byte.
func (w *writer) flush() {
	if w.n > 0 {
		w.bits(0, 8-w.n)
	}
}

// piece writes a piece as blocks, the last of which may be the stream's.
func (w *writer) piece(p *piece, last bool) {
	if len(p.data) == 0 {
		w.stored(nil, last)
		return
	}
	blocks := p.split(p.start())
	for i, b := range blocks {
		end := last && i == len(blocks)-1
		steps, t := p.improve(b)
		if data := p.data[b.from:b.to]; t.bits/8 > len(data)+5*(len(data)/maxStored+1) {
			w.stored(data, end)
		} else {
			w.packed(p, b.from, steps, t, end)
		}
	}
}

// start parses the piece by its own costs, which it does not know at first.
func (p *piece) start() []match {
	var flat counts
	for i := range flat.lit {
		flat.lit[i] = 1
	}
	for i := range flat.dist {
		flat.dist[i] = 1
	}
	steps := p.parse(0, len(p.data), flat.entropy(p.t), nil)
	return p.parse(0, len(p.data), p.count(0, steps).entropy(p.t), steps[:0])
}

// header begins a block of a kind.
func (w *writer) header(kind uint32, last bool) {
	final := uint32(0)
	if last {
		final = 1
	}
	w.bits(final, 1)
	w.bits(kind, 2)
}

// stored writes data as it is.
func (w *writer) stored(data []byte, last bool) {
	for {
		n := min(len(data), maxStored)
		w.header(0, last && n == len(data))
		w.flush()
		w.out = binary.LittleEndian.AppendUint16(w.out, uint16(n))
		w.out = binary.LittleEndian.AppendUint16(w.out, ^uint16(n))
		w.out = append(w.out, data[:n]...)
		if data = data[n:]; len(data) == 0 {
			return
		}
	}
}

// packed writes steps from place at on with the codes of t.
func (w *writer) packed(p *piece, at int, steps []match, t *table, last bool) {
	w.header(2, last)
	w.table(t)
	lit, dist := codes(t.lit), codes(t.dist)
	for _, m := range steps {
		if m.length == 1 {
			b := p.data[at]
			w.bits(uint32(lit[b]), uint(t.lit[b]))
			at++
			continue
		}
		s := int(p.t.length[m.length])
		base, extra := lengthBase(s)
		s += endOfBlock + 1
		w.bits(uint32(lit[s]), uint(t.lit[s]))
		w.bits(uint32(int(m.length)-base), uint(extra))
		d := p.t.dist[m.dist]
		base, extra = distBase(int(d))
		w.bits(uint32(dist[d]), uint(t.dist[d]))
		w.bits(uint32(int(m.dist)-base), uint(extra))
		at += int(m.length)
	}
	w.bits(uint32(lit[endOfBlock]), uint(t.lit[endOfBlock]))
}

// table writes the codes of a block.
func (w *writer) table(t *table) {
	w.bits(uint32(len(t.lit)-257), 5)
	w.bits(uint32(len(t.dist)-1), 5)
	n := t.ccCount()
	w.bits(uint32(n-4), 4)
	order := codeOrder()
	for _, s := range order[:n] {
		w.bits(uint32(t.cc[s]), 3)
	}
	cc := codes(t.cc)
	for _, r := range t.run {
		w.bits(uint32(cc[r.symbol]), uint(t.cc[r.symbol]))
		w.bits(uint32(r.extra), uint(r.bits))
	}
}

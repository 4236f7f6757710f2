// Package deflate packs data into zlib streams as small as the format lets them
// be at a bearable price, smaller than zlib's best level.
//
// It is made for data that are packed once and then go over a slow line: each
// percent off the stream is a percent off the time on the line. It packs some
// megabytes a second and holds about 30 bytes of memory a byte of input, of
// which it looks at half a megabyte at a time.
//
// # How
//
//	match.go    what can be copied from where, for every position
//	parse.go    of all ways to spell the data, the cheapest under a price list
//	split.go    where to change over to other Huffman codes
//	huffman.go  the best codes of limited length for given counts
//	block.go    the bits of a block (RFC 1951)
//
// The price of a symbol is known only when all symbols are; so the data are
// spelled, counted, and spelled again at the prices that the counts give.
package deflate

import (
	"encoding/binary"
	"hash/adler32"
)

const (
	// portion is how much is looked at at a time. Matches reach back beyond it.
	portion = 512 << 10
	// passes is how often a block is spelled at the prices of the time before.
	passes = 3
)

// zlib's header (RFC 1950): deflate with a 32 KiB window, best compression, and
// the check bits that make it divisible by 31.
const zlibHeader = 0x78DA

// Zlib packs data into a zlib stream. It is a pure function.
func Zlib(data []byte) []byte {
	w := &bitWriter{buf: make([]byte, 0, len(data)/2+64)}
	w.buf = binary.BigEndian.AppendUint16(w.buf, zlibHeader)
	e := &encoder{data: data, w: w, finder: newFinder(data)}
	for at := 0; ; {
		end := min(at+portion, len(data))
		e.portion(at, end, end == len(data))
		if at = end; at == len(data) {
			break
		}
	}
	w.flush()
	return binary.BigEndian.AppendUint32(w.buf, adler32.Checksum(data))
}

// encoder holds what is reused from portion to portion.
type encoder struct {
	data    []byte
	w       *bitWriter
	finder  *finder
	matches matchList
	parser  parser
	prices  *prices // of the block before, to begin the next portion with
}

// portion packs data[from:to].
func (e *encoder) portion(from, to int, last bool) {
	e.finder.find(&e.matches, from, to)
	if e.prices == nil {
		e.prices = guess(e.data[from:to])
	}
	steps := e.parser.parse(e.data, &e.matches, from, from, to, e.prices)
	blocks := split(e.data, steps, from, to)
	for i, b := range blocks {
		e.block(b, from, last && i == len(blocks)-1)
	}
}

// block spells one block until its prices settle, and writes it.
func (e *encoder) block(b span, base int, last bool) {
	c := b.counts
	var steps []step
	for range passes {
		e.prices = priced(&c)
		steps = e.parser.parse(e.data, &e.matches, base, b.from, b.to, e.prices)
		c = counts{}
		c.add(e.data, steps, b.from)
	}
	writeBlock(e.w, e.data, steps, b.from, b.to, &c, last)
}

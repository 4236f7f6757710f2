package deflate

import "encoding/binary"

// Alphabets (RFC 1951, 3.2.5 to 3.2.7).
const (
	endOfBlock    = 256
	firstLength   = 257
	litLenSymbols = 286
	distSymbols   = 30
	codeSymbols   = 19
	maxCodeBits   = 15
	maxCodeCode   = 7 // bits of a code for code lengths
	maxStored     = 0xFFFF
)

// Block types.
const (
	typeStored  = 0
	typeDynamic = 2
)

var (
	lengthBase = [...]uint16{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31,
		35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	}
	lengthExtra = [...]uint8{
		0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2,
		3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
	}
	distBase = [...]uint16{
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193,
		257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
	}
	distExtra = [...]uint8{
		0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6,
		7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
	}
	// codeOrder is the order in which the lengths of the code-length codes come.
	codeOrder = [codeSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

	lengthSymbols = symbolTable(lengthBase[:], maxMatch)
	distSymbols8  = symbolTable(distBase[:16], 256) // near ones; far ones by their upper bits
)

// symbolTable gives, for each value up to most, the last base not above it.
func symbolTable(base []uint16, most int) []uint8 {
	t := make([]uint8, most+1)
	for v, s := 0, 0; v <= most; v++ {
		for s+1 < len(base) && int(base[s+1]) <= v {
			s++
		}
		t[v] = uint8(s)
	}
	return t
}

func lengthSymbol(n int) int { return firstLength + int(lengthSymbols[n]) }

// distSymbol: from 257 on, bases repeat those from 3 on times 128.
func distSymbol(d int) int {
	if d <= 256 {
		return int(distSymbols8[d])
	}
	return int(distSymbols8[(d-1)>>7+1]) + 14
}

// bitWriter packs bits, the lowest first.
type bitWriter struct {
	buf []byte
	acc uint64
	n   uint
}

func (w *bitWriter) bits(v uint32, n uint) {
	w.acc |= uint64(v) << w.n
	if w.n += n; w.n >= 32 {
		w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(w.acc))
		w.acc >>= 32
		w.n -= 32
	}
}

// flush fills up the last byte.
func (w *bitWriter) flush() {
	for w.n > 0 {
		w.buf = append(w.buf, byte(w.acc))
		w.acc >>= 8
		w.n -= min(w.n, 8)
	}
}

// codes are a block's Huffman codes and the header that spells them.
type codes struct {
	litLen, dist []uint8
	header       []rleSymbol
	headerCode   []uint8
	litLenUsed   int
	distUsed     int
}

// rleSymbol is a symbol of the code-length alphabet with its extra bits.
type rleSymbol struct{ symbol, extra, extraBits uint8 }

func makeCodes(n *counts) *codes {
	litLen := n.litLen
	litLen[endOfBlock] = 1
	c := &codes{litLen: codeLengths(litLen[:], maxCodeBits), dist: codeLengths(n.dist[:], maxCodeBits)}
	c.litLenUsed = max(firstLength, used(c.litLen))
	c.distUsed = max(1, used(c.dist))
	all := append(append([]uint8{}, c.litLen[:c.litLenUsed]...), c.dist[:c.distUsed]...)
	c.header = runLength(all)
	var hn [codeSymbols]uint32
	for _, s := range c.header {
		hn[s.symbol]++
	}
	c.headerCode = codeLengths(hn[:], maxCodeCode)
	return c
}

// used is the number of symbols up to the last that occurs.
func used(lengths []uint8) int {
	n := len(lengths)
	for n > 0 && lengths[n-1] == 0 {
		n--
	}
	return n
}

// runLength spells code lengths in the code-length alphabet (RFC 1951, 3.2.7).
func runLength(lengths []uint8) []rleSymbol {
	var out []rleSymbol
	for i := 0; i < len(lengths); {
		v := lengths[i]
		run := 1
		for i+run < len(lengths) && lengths[i+run] == v {
			run++
		}
		i += run
		if v != 0 {
			out = append(out, rleSymbol{symbol: v})
			run--
		}
		for run > 0 {
			var n int
			switch {
			case v == 0 && run >= 11:
				n = min(run, 138)
				out = append(out, rleSymbol{18, uint8(n - 11), 7})
			case v == 0 && run >= 3:
				n = run
				out = append(out, rleSymbol{17, uint8(n - 3), 3})
			case v != 0 && run >= 3:
				n = min(run, 6)
				out = append(out, rleSymbol{16, uint8(n - 3), 2})
			default:
				n = 1
				out = append(out, rleSymbol{symbol: v})
			}
			run -= n
		}
	}
	return out
}

// headerCodes is how many lengths of code-length codes the header gives.
func (c *codes) headerCodes() int {
	n := codeSymbols
	for n > 4 && c.headerCode[codeOrder[n-1]] == 0 {
		n--
	}
	return n
}

// headerBits is the size of the block's header.
func (c *codes) headerBits() int {
	n := 3 + 5 + 5 + 4 + 3*c.headerCodes()
	for _, s := range c.header {
		n += int(c.headerCode[s.symbol]) + int(s.extraBits)
	}
	return n
}

// bodyBits is the size of symbols that are counted by n.
func (c *codes) bodyBits(n *counts) int {
	sum := int(c.litLen[endOfBlock])
	for s, k := range n.litLen {
		sum += int(k) * int(c.litLen[s])
		if s >= firstLength {
			sum += int(k) * int(lengthExtra[s-firstLength])
		}
	}
	for s, k := range n.dist {
		sum += int(k) * (int(c.dist[s]) + int(distExtra[s]))
	}
	return sum
}

// dynamicBits is what a block with these counts takes with codes of its own.
func dynamicBits(n *counts) int {
	c := makeCodes(n)
	return c.headerBits() + c.bodyBits(n)
}

// storedBits is what n bytes take as they are, in as many blocks as needed.
func storedBits(n int) int { return (n/maxStored+1)*(3+7+32) + 8*n }

// writeBlock writes data[from:to], spelled by steps, as they are smallest.
func writeBlock(w *bitWriter, data []byte, steps []step, from, to int, n *counts, last bool) {
	c := makeCodes(n)
	if c.headerBits()+c.bodyBits(n) < storedBits(to-from) {
		c.write(w, data, steps, from, last)
		return
	}
	for {
		end := min(from+maxStored, to)
		w.bits(flag(last && end == to)|typeStored<<1, 3)
		w.flush()
		w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(end-from))
		w.buf = binary.LittleEndian.AppendUint16(w.buf, ^uint16(end-from))
		w.buf = append(w.buf, data[from:end]...)
		if from = end; from == to {
			return
		}
	}
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// write writes a block with codes of its own.
func (c *codes) write(w *bitWriter, data []byte, steps []step, at int, last bool) {
	w.bits(flag(last)|typeDynamic<<1, 3)
	w.bits(uint32(c.litLenUsed-firstLength), 5)
	w.bits(uint32(c.distUsed-1), 5)
	w.bits(uint32(c.headerCodes()-4), 4)
	for _, s := range codeOrder[:c.headerCodes()] {
		w.bits(uint32(c.headerCode[s]), 3)
	}
	code := canonical(c.headerCode)
	for _, s := range c.header {
		w.bits(uint32(code[s.symbol]), uint(c.headerCode[s.symbol]))
		w.bits(uint32(s.extra), uint(s.extraBits))
	}
	lit, dist := canonical(c.litLen), canonical(c.dist)
	for _, s := range steps {
		if s.length == 1 {
			b := data[at]
			w.bits(uint32(lit[b]), uint(c.litLen[b]))
			at++
			continue
		}
		n, d := int(s.length), int(s.dist)
		ls, ds := lengthSymbol(n), distSymbol(d)
		w.bits(uint32(lit[ls]), uint(c.litLen[ls]))
		w.bits(uint32(n-int(lengthBase[ls-firstLength])), uint(lengthExtra[ls-firstLength]))
		w.bits(uint32(dist[ds]), uint(c.dist[ds]))
		w.bits(uint32(d-int(distBase[ds])), uint(distExtra[ds]))
		at += n
	}
	w.bits(uint32(lit[endOfBlock]), uint(c.litLen[endOfBlock]))
}

package deflate

import (
	"cmp"
	"math/bits"
	"slices"
)

// Sizes of the alphabets.
const (
	literals   = 286 // 256 bytes, end of block, lengths
	endOfBlock = 256
	distances  = 30
	codeCodes  = 19
	longest    = 15 // bits of a code
	longestCC  = 7  // of one that codes the lengths of the others
)

// lengthBase and distBase are the first lengths and distances of each symbol,
// RFC 1951 section 3.2.5.
func lengthBase(s int) (base, extra int) {
	switch {
	case s < 8:
		return minMatch + s, 0
	case s == 28:
		return maxMatch, 0
	}
	extra = (s - 4) / 4
	return minMatch + (4+s%4)<<extra, extra
}

func distBase(s int) (base, extra int) {
	if s < 4 {
		return 1 + s, 0
	}
	extra = (s - 2) / 2
	return 1 + (2+s%2)<<extra, extra
}

// symbols finds the symbol of a length or a distance.
type symbols struct {
	length [maxMatch + 1]uint8
	dist   [window + 1]uint8
}

func newSymbols() *symbols {
	t := new(symbols)
	for s := range literals - endOfBlock - 1 {
		base, extra := lengthBase(s)
		for l := base; l < base+1<<extra && l <= maxMatch; l++ {
			t.length[l] = uint8(s)
		}
	}
	for s := range distances {
		base, extra := distBase(s)
		for d := base; d < base+1<<extra; d++ {
			t.dist[d] = uint8(s)
		}
	}
	return t
}

// counts is how often each symbol comes in a block.
type counts struct {
	lit  [literals]int
	dist [distances]int
}

func (c *counts) add(o *counts) {
	for i, n := range o.lit {
		c.lit[i] += n
	}
	for i, n := range o.dist {
		c.dist[i] += n
	}
}

// lengths are the lengths of Huffman codes, in bits, of symbols that come count
// times; 0 for those that never do. None is longer than most.
func lengths(count []int, most int) []uint8 {
	type node struct {
		weight      int
		left, right int // -1 for a leaf
		symbol      int
	}
	out := make([]uint8, len(count))
	nodes := make([]node, 0, 2*len(count))
	for s, n := range count {
		if n > 0 {
			nodes = append(nodes, node{n, -1, -1, s})
		}
	}
	leaves := len(nodes)
	if leaves < 2 {
		for _, n := range nodes {
			out[n.symbol] = 1
		}
		return out
	}
	slices.SortStableFunc(nodes, func(a, b node) int { return cmp.Compare(a.weight, b.weight) })
	// Both queues, of leaves and of joined nodes, are sorted.
	leaf, joined := 0, leaves
	next := func() int {
		if leaf < leaves && (joined == len(nodes) || nodes[leaf].weight <= nodes[joined].weight) {
			leaf++
			return leaf - 1
		}
		joined++
		return joined - 1
	}
	for len(nodes) < 2*leaves-1 {
		a := next()
		b := next()
		nodes = append(nodes, node{nodes[a].weight + nodes[b].weight, a, b, -1})
	}
	depth := make([]int, len(nodes))
	var many [64]int // codes of each length, of most and more together
	for i := len(nodes) - 1; i >= 0; i-- {
		if n := nodes[i]; n.left >= 0 {
			depth[n.left], depth[n.right] = depth[i]+1, depth[i]+1
		} else {
			many[min(depth[i], most)]++
		}
	}
	shorten(many[:most+1])
	// The rarest symbols get the longest codes.
	i := 0
	for l := most; l > 0; l-- {
		for range many[l] {
			out[nodes[i].symbol] = uint8(l)
			i++
		}
	}
	return out
}

// shorten mends numbers of codes by length, of which those that were too long
// count as of the longest, until they can be told from each other.
func shorten(many []int) {
	most := len(many) - 1
	total := 0
	for l := 1; l <= most; l++ {
		total += many[l] << (most - l)
	}
	for ; total > 1<<most; total-- {
		many[most]--
		for l := most - 1; l > 0; l-- {
			if many[l] > 0 {
				many[l]--
				many[l+1] += 2
				break
			}
		}
	}
}

// codes are the codes to lengths, with the first bit lowest.
func codes(lengths []uint8) []uint16 {
	var many, next [longest + 2]int
	for _, l := range lengths {
		many[l]++
	}
	many[0] = 0
	for l := 1; l <= longest; l++ {
		next[l+1] = (next[l] + many[l]) << 1
	}
	out := make([]uint16, len(lengths))
	for s, l := range lengths {
		if l > 0 {
			out[s] = bits.Reverse16(uint16(next[l])) >> (16 - l)
			next[l]++
		}
	}
	return out
}

// table is the codes of a block, and how they are written at its beginning.
type table struct {
	lit, dist, cc []uint8 // lengths
	run           []runSymbol
	bits          int // of all of it: header, codes, end of the block
}

// runSymbol writes down lengths of codes: one, or a run of them.
type runSymbol struct{ symbol, extra, bits uint8 }

// codeOrder is the order in which the lengths of the codes of lengths stand.
func codeOrder() [codeCodes]uint8 {
	return [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
}

// newTable makes the codes for counts, in which the end of the block is counted.
func newTable(c *counts) *table {
	t := &table{lit: lengths(c.lit[:], longest), dist: lengths(c.dist[:], longest)}
	if !slices.ContainsFunc(t.dist, func(l uint8) bool { return l > 0 }) {
		t.dist[0] = 1 // some readers want one
	}
	t.lit, t.dist = cut(t.lit, 257), cut(t.dist, 1)
	t.run = runs(slices.Concat(t.lit, t.dist))
	var cc [codeCodes]int
	for _, r := range t.run {
		cc[r.symbol]++
	}
	t.cc = lengths(cc[:], longestCC)
	t.bits = 3 + 5 + 5 + 4 + 3*t.ccCount()
	for _, r := range t.run {
		t.bits += int(t.cc[r.symbol]) + int(r.bits)
	}
	for s, l := range t.lit {
		extra := 0
		if s > endOfBlock {
			_, extra = lengthBase(s - endOfBlock - 1)
		}
		t.bits += c.lit[s] * (int(l) + extra)
	}
	for s, l := range t.dist {
		_, extra := distBase(s)
		t.bits += c.dist[s] * (int(l) + extra)
	}
	return t
}

// cut leaves out what is 0 at the end, but for the first least.
func cut(l []uint8, least int) []uint8 {
	n := len(l)
	for n > least && l[n-1] == 0 {
		n--
	}
	return l[:n]
}

// ccCount is how many lengths of codes of lengths are written.
func (t *table) ccCount() int {
	order := codeOrder()
	n := codeCodes
	for n > 4 && t.cc[order[n-1]] == 0 {
		n--
	}
	return n
}

// runs writes lengths of codes as runs, section 3.2.7.
func runs(l []uint8) []runSymbol {
	var out []runSymbol
	for i := 0; i < len(l); {
		n := 1
		for i+n < len(l) && l[i+n] == l[i] {
			n++
		}
		v := l[i]
		i += n
		if v != 0 {
			out = append(out, runSymbol{symbol: v})
			n--
		}
		for n > 0 {
			switch {
			case v == 0 && n >= 11:
				k := min(n, 138)
				out = append(out, runSymbol{18, uint8(k - 11), 7})
				n -= k
			case v == 0 && n >= 3:
				out = append(out, runSymbol{17, uint8(n - 3), 3})
				n = 0
			case v != 0 && n >= 3:
				k := min(n, 6)
				out = append(out, runSymbol{16, uint8(k - 3), 2})
				n -= k
			default:
				out = append(out, runSymbol{symbol: v})
				n--
			}
		}
	}
	return out
}

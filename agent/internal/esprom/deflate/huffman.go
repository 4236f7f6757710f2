package deflate

import (
	"math/bits"
	"slices"
)

// codeLengths gives the lengths of the best prefix code for counts n in which
// no code is longer than limit bits, by package-merge (Larmore and Hirschberg,
// 1990). Symbols that do not occur get 0; a single one gets 1.
func codeLengths(n []uint32, limit int) []uint8 {
	lengths := make([]uint8, len(n))
	leaves := make([]leaf, 0, len(n))
	for s, k := range n {
		if k > 0 {
			leaves = append(leaves, leaf{uint64(k), s})
		}
	}
	if len(leaves) <= 2 {
		for _, l := range leaves {
			lengths[l.symbol] = 1
		}
		return lengths
	}
	slices.SortFunc(leaves, func(a, b leaf) int {
		if a.weight != b.weight {
			return int(min(1, a.weight-b.weight)) * sign(a.weight > b.weight)
		}
		return a.symbol - b.symbol
	})
	for _, taken := range packages(leaves, limit) {
		for _, l := range leaves[:taken] {
			lengths[l.symbol]++
		}
	}
	return lengths
}

type leaf struct {
	weight uint64
	symbol int
}

func sign(up bool) int {
	if up {
		return 1
	}
	return -1
}

// packages runs package-merge over leaves sorted by weight and gives, for each
// level, how many of the lightest leaves the solution takes there.
func packages(leaves []leaf, limit int) []int {
	type row struct {
		weights []uint64
		isLeaf  []bool
	}
	rows := make([]row, limit)
	var pairs []uint64
	for level := range rows {
		r := row{make([]uint64, 0, 2*len(leaves)), make([]bool, 0, 2*len(leaves))}
		i, j := 0, 0
		for i < len(leaves) || j < len(pairs) {
			if j == len(pairs) || i < len(leaves) && leaves[i].weight <= pairs[j] {
				r.weights, r.isLeaf = append(r.weights, leaves[i].weight), append(r.isLeaf, true)
				i++
			} else {
				r.weights, r.isLeaf = append(r.weights, pairs[j]), append(r.isLeaf, false)
				j++
			}
		}
		rows[level] = r
		pairs = pairs[:0:0]
		for k := 0; k+1 < len(r.weights); k += 2 {
			pairs = append(pairs, r.weights[k]+r.weights[k+1])
		}
	}
	taken := make([]int, limit)
	want := 2*len(leaves) - 2
	for level := limit - 1; level >= 0; level-- {
		for _, isLeaf := range rows[level].isLeaf[:want] {
			if isLeaf {
				taken[level]++
			}
		}
		want = 2 * (want - taken[level])
	}
	return taken
}

// canonical gives the codes that go with lengths (RFC 1951, 3.2.2), their bits
// reversed as the stream wants them.
func canonical(lengths []uint8) []uint16 {
	var number [maxCodeBits + 1]int
	for _, l := range lengths {
		number[l]++
	}
	number[0] = 0
	var next [maxCodeBits + 1]uint16
	code := uint16(0)
	for l := 1; l <= maxCodeBits; l++ {
		code = (code + uint16(number[l-1])) << 1
		next[l] = code
	}
	codes := make([]uint16, len(lengths))
	for s, l := range lengths {
		if l > 0 {
			codes[s] = bits.Reverse16(next[l]) >> (16 - l)
			next[l]++
		}
	}
	return codes
}

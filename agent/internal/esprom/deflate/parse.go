package deflate

import "math"

// costs is what each choice takes, in bits.
type costs struct {
	lit    [256]float32
	length [maxMatch + 1]float32
	dist   [distances]float32
}

// entropy gives each symbol the bits that it would take in an ideal code.
func (c *counts) entropy(t *symbols) *costs {
	var k costs
	lit, dist := ideal(c.lit[:]), ideal(c.dist[:])
	copy(k.lit[:], lit)
	for l := minMatch; l <= maxMatch; l++ {
		s := int(t.length[l])
		_, extra := lengthBase(s)
		k.length[l] = lit[endOfBlock+1+s] + float32(extra)
	}
	for s := range distances {
		_, extra := distBase(s)
		k.dist[s] = dist[s] + float32(extra)
	}
	return &k
}

// ideal is -log2 of each symbol's share; one that does not come costs as if it
// came once.
func ideal(count []int) []float32 {
	total := 0
	for _, n := range count {
		total += n
	}
	all := math.Log2(float64(max(total, 1)))
	out := make([]float32, len(count))
	for s, n := range count {
		out[s] = float32(all - math.Log2(float64(max(n, 1))))
	}
	return out
}

// piece is a part of the data with the matches of each of its places.
type piece struct {
	data    []byte // from its beginning to its end
	matches []match
	first   []int32 // of each place in matches, and the end
	t       *symbols
	cost    []float32 // for parse, of each place
	by      []match   // how the place is reached; length 1 is a byte
}

// matchesAt gives those of place i.
func (p *piece) matchesAt(i int) []match { return p.matches[p.first[i]:p.first[i+1]] }

// parse gives the cheapest way from a to b, the steps in order: matches, and
// bytes as matches of length 1.
func (p *piece) parse(a, b int, k *costs, to []match) []match {
	n := b - a
	cost, by := p.cost[:n+1], p.by[:n+1]
	cost[0] = 0
	for i := 1; i <= n; i++ {
		cost[i] = math.MaxFloat32
	}
	for i := range n {
		c := cost[i]
		if l := c + k.lit[p.data[a+i]]; l < cost[i+1] {
			cost[i+1], by[i+1] = l, match{1, 0}
		}
		shorter := minMatch - 1
		for _, m := range p.matchesAt(a + i) {
			d := c + k.dist[p.t.dist[m.dist]]
			most := min(int(m.length), n-i)
			if m.length == maxMatch {
				shorter = most - 1 // nothing shorter can be better by much
			}
			for l := shorter + 1; l <= most; l++ {
				if v := d + k.length[l]; v < cost[i+l] {
					cost[i+l], by[i+l] = v, match{uint16(l), m.dist}
				}
			}
			shorter = most
		}
	}
	begin := len(to)
	for i := n; i > 0; i -= int(by[i].length) {
		to = append(to, by[i])
	}
	for i, j := begin, len(to)-1; i < j; i, j = i+1, j-1 {
		to[i], to[j] = to[j], to[i]
	}
	return to
}

// count counts the symbols of steps from place a on.
func (p *piece) count(a int, steps []match) *counts {
	var c counts
	for _, m := range steps {
		if m.length == 1 {
			c.lit[p.data[a]]++
		} else {
			c.lit[endOfBlock+1+int(p.t.length[m.length])]++
			c.dist[p.t.dist[m.dist]]++
		}
		a += int(m.length)
	}
	c.lit[endOfBlock] = 1
	return &c
}

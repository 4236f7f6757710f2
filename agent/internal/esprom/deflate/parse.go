package deflate

import "math"

// step is a literal (length 1) or a match.
type step = match

// one is the price of a bit. Prices are fractions of bits.
const one = 64

// prices of the symbols, extra bits included.
type prices struct {
	literal [256]uint32
	length  [maxMatch + 1]uint32
	dist    [distSymbols]uint32
}

// counts of the symbols of a block.
type counts struct {
	litLen [litLenSymbols]uint32
	dist   [distSymbols]uint32
}

// add counts the symbols that steps use; they begin at data[at].
func (c *counts) add(data []byte, steps []step, at int) {
	for _, s := range steps {
		c.addStep(data, s, at)
		at += int(s.length)
	}
}

func (c *counts) addStep(data []byte, s step, at int) {
	if s.length == 1 {
		c.litLen[data[at]]++
		return
	}
	c.litLen[lengthSymbol(int(s.length))]++
	c.dist[distSymbol(int(s.dist))]++
}

func (c *counts) merge(o *counts) {
	for i, n := range o.litLen {
		c.litLen[i] += n
	}
	for i, n := range o.dist {
		c.dist[i] += n
	}
}

// priced gives the prices that ideal codes for c would have. A symbol that was
// not used is priced as if it had been used half a time.
func priced(c *counts) *prices {
	p := &prices{}
	lit := ideal(c.litLen[:])
	dist := ideal(c.dist[:])
	copy(p.literal[:], lit)
	for n := minMatch; n <= maxMatch; n++ {
		s := lengthSymbol(n)
		p.length[n] = lit[s] + one*uint32(lengthExtra[s-firstLength])
	}
	for s := range p.dist {
		p.dist[s] = dist[s] + one*uint32(distExtra[s])
	}
	return p
}

func ideal(n []uint32) []uint32 {
	total := 1.0
	for _, k := range n {
		total += float64(k)
	}
	out := make([]uint32, len(n))
	for i, k := range n {
		out[i] = uint32(one * math.Log2(total/max(float64(k), 0.5)))
	}
	return out
}

// guess gives prices before anything was spelled: literals by how often their
// byte occurs, matches as they commonly turn out.
func guess(data []byte) *prices {
	c := &counts{}
	for _, b := range data {
		c.litLen[b]++
	}
	for s := firstLength; s < litLenSymbols; s++ {
		c.litLen[s] = uint32(len(data)/(8<<((s-firstLength)/4)) + 1)
	}
	for s := range c.dist {
		c.dist[s] = 1
	}
	return priced(c)
}

// parser finds the cheapest spelling.
type parser struct {
	cost  []uint32
	via   []step // the last step of the cheapest way to a position
	steps []step
}

// parse spells data[from:to] at the least price. base is the position that the
// match list begins with. The result is valid until the next call.
func (p *parser) parse(data []byte, l *matchList, base, from, to int, pr *prices) []step {
	n := to - from
	if cap(p.cost) <= n {
		p.cost, p.via = make([]uint32, n+1), make([]step, n+1)
	}
	cost, via := p.cost[:n+1], p.via[:n+1]
	for i := range cost {
		cost[i] = math.MaxUint32
	}
	cost[0] = 0
	for i := range n {
		here := cost[i]
		if c := here + pr.literal[data[from+i]]; c < cost[i+1] {
			cost[i+1], via[i+1] = c, step{length: 1}
		}
		short := minMatch
		for _, m := range l.at(from + i - base) {
			most := min(int(m.length), n-i)
			there := here + pr.dist[distSymbol(int(m.dist))]
			if most > niceLength {
				short = most // of a long match only the whole is worth a look
			}
			for k := short; k <= most; k++ {
				if c := there + pr.length[k]; c < cost[i+k] {
					cost[i+k], via[i+k] = c, step{uint16(k), m.dist}
				}
			}
			short = most + 1
		}
	}
	return p.back(via)
}

// back collects the steps from the end of via to its start, in order.
func (p *parser) back(via []step) []step {
	p.steps = p.steps[:0]
	for i := len(via) - 1; i > 0; i -= int(via[i].length) {
		p.steps = append(p.steps, via[i])
	}
	for i, j := 0, len(p.steps)-1; i < j; i, j = i+1, j-1 {
		p.steps[i], p.steps[j] = p.steps[j], p.steps[i]
	}
	return p.steps
}

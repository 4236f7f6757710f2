package deflate

import "slices"

const (
	// unit is about how many bytes of data a block has at the least.
	unit = 4 << 10
	// rounds bounds how often a block is parsed by the costs of the time before.
	rounds = 8
)

// block is a part of a piece that has codes of its own.
type block struct {
	from, to int
	count    *counts
	bits     int
}

func newBlock(from, to int, c *counts) block {
	return block{from, to, c, newTable(c).bits}
}

// split finds where blocks should end, for steps that were found by whatever
// costs: units are joined, the two first that gain most by it.
func (p *piece) split(steps []match) []block {
	var blocks []block
	at, from, first := 0, 0, 0
	for i, m := range steps {
		at += int(m.length)
		if at-from >= unit || i == len(steps)-1 {
			blocks = append(blocks, newBlock(from, at, p.count(from, steps[first:i+1])))
			from, first = at, i+1
		}
	}
	joined := make([]block, max(len(blocks)-1, 0)) // with the next
	for i := range joined {
		joined[i] = join(blocks[i], blocks[i+1])
	}
	for len(joined) > 0 {
		best, gain := 0, 0
		for i, j := range joined {
			if g := blocks[i].bits + blocks[i+1].bits - j.bits; i == 0 || g > gain {
				best, gain = i, g
			}
		}
		if gain < 0 {
			break
		}
		blocks[best] = joined[best]
		blocks = slices.Delete(blocks, best+1, best+2)
		joined = slices.Delete(joined, best, best+1)
		for _, i := range []int{best - 1, best} {
			if i >= 0 && i < len(joined) {
				joined[i] = join(blocks[i], blocks[i+1])
			}
		}
	}
	return blocks
}

func join(a, b block) block {
	c := *a.count
	c.add(b.count)
	c.lit[endOfBlock] = 1
	return newBlock(a.from, b.to, &c)
}

// improve parses a block again by what its symbols cost, as long as that saves
// bits, and gives the best way that was found.
func (p *piece) improve(b block) ([]match, *table) {
	var best, steps []match
	var table *table
	c := b.count
	for range rounds {
		steps = p.parse(b.from, b.to, c.entropy(p.t), steps[:0])
		c = p.count(b.from, steps)
		t := newTable(c)
		if table != nil && t.bits >= table.bits {
			break
		}
		table, best = t, append(best[:0], steps...)
	}
	return best, table
}

package deflate

// cell is the grain, in bytes of data, at which block borders are set.
const cell = 8 << 10

// span is a block to be: its part of the data, and counts of its symbols.
type span struct {
	from, to int
	counts   counts
	bits     int // what it takes, about
}

// split divides the portion data[from:to], spelled by steps, into blocks.
//
// It begins with one block a cell and merges, over and over, the neighbours
// that gain most by sharing their codes, until none gain.
func split(data []byte, steps []step, from, to int) []span {
	blocks := cells(data, steps, from, to)
	merged := make([]span, max(0, len(blocks)-1)) // merged[i] is blocks i and i+1 as one
	for i := range merged {
		merged[i] = join(blocks[i], blocks[i+1])
	}
	for {
		best, gain := -1, 0
		for i, m := range merged {
			if g := blocks[i].bits + blocks[i+1].bits - m.bits; g > gain {
				best, gain = i, g
			}
		}
		if best < 0 {
			return blocks
		}
		blocks[best] = merged[best]
		blocks = append(blocks[:best+1], blocks[best+2:]...)
		merged = append(merged[:best], merged[best+1:]...)
		for _, i := range []int{best - 1, best} {
			if i >= 0 && i < len(merged) {
				merged[i] = join(blocks[i], blocks[i+1])
			}
		}
	}
}

func join(a, b span) span {
	s := span{from: a.from, to: b.to, counts: a.counts}
	s.counts.merge(&b.counts)
	s.bits = dynamicBits(&s.counts)
	return s
}

// cells makes one block of each cell; a step that reaches over a border counts
// for the cell it begins in, and the block ends where the step does.
func cells(data []byte, steps []step, from, to int) []span {
	var out []span
	s := span{from: from}
	at := from
	for _, st := range steps {
		s.counts.addStep(data, st, at)
		at += int(st.length)
		if at-s.from >= cell {
			s.to = at
			s.bits = dynamicBits(&s.counts)
			out = append(out, s)
			s = span{from: at}
		}
	}
	if at > s.from || len(out) == 0 {
		s.to = to
		s.bits = dynamicBits(&s.counts)
		out = append(out, s)
	}
	return out
}

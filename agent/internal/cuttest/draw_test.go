package cuttest

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// byteStride: of the bytes on the line every so many-th is a point, and another
// one for each way to interrupt.
const byteStride = 197

// points are all first cuts of a flow, by the events that it has when nothing
// goes wrong.
func points(f flow, counts map[string]uint64) []point {
	var all []point
	for _, kind := range slices.Sorted(maps.Keys(ways())) {
		for i, w := range ways()[kind] {
			step, first := uint64(1), uint64(1)
			if kind == byteIn || kind == byteOut || kind == byteAny {
				step, first = byteStride, uint64(1+i*13)
			}
			for n := first; n <= counts[kind]; n += step {
				all = append(all, point{f.name, cut{kind, n, w.how, w.who}, nil})
			}
		}
	}
	return all
}

// then draws second cuts after a first one, among the events that followed it.
func (p point) then(rng *rand.Rand, counts map[string]uint64, n int) []point {
	kinds := slices.DeleteFunc(slices.Sorted(maps.Keys(counts)), func(k string) bool { return counts[k] == 0 })
	seen := map[cut]bool{}
	var all []point
	for range 3 * n {
		if len(all) == n || len(kinds) == 0 {
			break
		}
		kind := kinds[rng.IntN(len(kinds))]
		w := ways()[kind][rng.IntN(len(ways()[kind]))]
		c := cut{kind, 1 + rng.Uint64N(counts[kind]), w.how, w.who}
		if !seen[c] {
			seen[c] = true
			all = append(all, point{p.flow, p.first, &c})
		}
	}
	return all
}

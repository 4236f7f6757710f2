package deflate

// Bounds of the format, RFC 1951 section 2.
const (
	window   = 32 << 10
	minMatch = 3
	maxMatch = 258
)

// match is a copy of length bytes from dist before.
type match struct{ length, dist uint16 }

const (
	// maxChain bounds the places compared with one.
	maxChain = 512
	// effort bounds the bytes compared for each byte of the data, all in all.
	// Code needs less; data that nearly repeat would need hundreds of times that.
	effort = 1 << 10
	// hurried is the bound on places where the effort is spent.
	hurried = 8
)

const hashBits = 15

// finder finds matches in data, of rising places.
type finder struct {
	data []byte
	head [1 << hashBits]int32 // last place of each hash, plus 1
	prev [window]int32        // place before, of the same hash, plus 1
	left int                  // bytes that may still be compared
}

func hash(p []byte) uint32 {
	return (uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16) * 0x9E3779B1 >> (32 - hashBits)
}

// find appends the matches at place i that end by end: of rising length and
// distance, so that each is the nearest of its length.
func (f *finder) find(i, end int, to []match) []match {
	most := min(maxMatch, end-i)
	if len(f.data)-i < minMatch {
		return to
	}
	h := hash(f.data[i:])
	at := int(f.head[h]) - 1
	f.prev[i%window] = f.head[h]
	f.head[h] = int32(i) + 1
	here := f.data[i:]
	best, chain := minMatch-1, maxChain
	if f.left < 0 {
		chain = hurried
	}
	for n := 0; at >= 0 && i-at <= window && n < chain && best < most; n++ {
		there := f.data[at:]
		if there[best] == here[best] {
			l := common(here, there, most)
			f.left -= l
			if l > best {
				best = l
				to = append(to, match{uint16(l), uint16(i - at)})
			}
		}
		next := int(f.prev[at%window]) - 1
		if next >= at {
			break // overwritten by a place further on
		}
		at = next
	}
	return to
}

// common is how many bytes a and b have in common, most at most.
func common(a, b []byte, most int) int {
	a, b = a[:most], b[:most]
	for i, x := range a {
		if b[i] != x {
			return i
		}
	}
	return most
}

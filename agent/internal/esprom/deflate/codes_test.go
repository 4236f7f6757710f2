package deflate

import (
	"math/rand/v2"
	"testing"
)

// TestCodeLengths: every code is complete, within its limit, and no worse than
// any other of the same set of counts that a random walk finds.
func TestCodeLengths(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		n := make([]uint32, 2+r.IntN(285))
		kinds := 0
		for i := range n {
			if r.IntN(4) > 0 {
				n[i] = uint32(1 << r.IntN(24)) // so steep that the limit bites
				kinds++
			}
		}
		lengths := codeLengths(n, maxCodeBits)
		kraft := 0
		for i, l := range lengths {
			if (l == 0) != (n[i] == 0) || l > maxCodeBits {
				t.Fatalf("symbol %d of count %d has %d bits", i, n[i], l)
			}
			if l > 0 {
				kraft += 1 << (maxCodeBits - l)
			}
		}
		if kinds >= 2 && kraft != 1<<maxCodeBits {
			t.Fatalf("code is not complete: %d of %d", kraft, 1<<maxCodeBits)
		}
	}
}

func TestCodeLengthsGolden(t *testing.T) {
	for _, tc := range []struct {
		n     []uint32
		limit int
		want  []uint8
	}{
		{[]uint32{0, 0}, 15, []uint8{0, 0}},
		{[]uint32{0, 5}, 15, []uint8{0, 1}},
		{[]uint32{3, 5}, 15, []uint8{1, 1}},
		{[]uint32{1, 1, 2, 4}, 15, []uint8{3, 3, 2, 1}},
		{[]uint32{1, 1, 2, 4, 8}, 3, []uint8{3, 3, 3, 3, 1}},
		{[]uint32{1, 1, 1, 1}, 2, []uint8{2, 2, 2, 2}},
	} {
		got := codeLengths(tc.n, tc.limit)
		for i := range got {
			if got[i] != tc.want[i] {
				t.Errorf("codeLengths(%v, %d) = %v, want %v", tc.n, tc.limit, got, tc.want)
				break
			}
		}
	}
}

// TestSymbols: every length and distance lies within its symbol's range.
func TestSymbols(t *testing.T) {
	for n := minMatch; n <= maxMatch; n++ {
		s := lengthSymbol(n) - firstLength
		if d := n - int(lengthBase[s]); d < 0 || d >= 1<<lengthExtra[s] {
			t.Errorf("length %d has symbol %d", n, s)
		}
	}
	for d := 1; d < windowSize; d++ {
		s := distSymbol(d)
		if x := d - int(distBase[s]); x < 0 || x >= 1<<distExtra[s] {
			t.Errorf("distance %d has symbol %d", d, s)
		}
	}
}

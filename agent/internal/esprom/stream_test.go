package esprom

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"testing"
)

// TestStream: the blocks are the stream, within their bounds, and tell how far
// the content is out.
func TestStream(t *testing.T) {
	half := append(blockOf(200_000), make([]byte, 500_000)...)
	for name, data := range map[string][]byte{
		"one byte": {1},
		"noise":    blockOf(100_000),
		"zeros":    make([]byte, 1<<20),
		"half":     half,
		"text":     bytes.Repeat([]byte("motors idle, safety normal; "), 9000),
	} {
		for _, small := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, small %v", name, small), func(t *testing.T) {
				checkStream(t, data, small)
			})
		}
	}
}

func checkStream(t *testing.T, data []byte, small bool) {
	t.Helper()
	st, err := pack(data, small)
	if err != nil {
		t.Fatal(err)
	}
	var z []byte
	out := 0
	for i, b := range st.blocks {
		if len(b.data) == 0 || len(b.data) > stubBlock || b.end < out {
			t.Errorf("block %d: %d bytes to %d after %d", i, len(b.data), b.end, out)
		}
		if grown := b.end - out; grown > 2*maxInflated {
			t.Errorf("block %d inflates to %d bytes", i, grown)
		}
		out, z = b.end, append(z, b.data...)
	}
	if out != len(data) || st.size != len(data) {
		t.Errorf("ends at %d of %d", out, len(data))
	}
	r, err := zlib.NewReader(bytes.NewReader(z))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
		t.Errorf("does not inflate: %v", err)
	}
}

// TestChartChecks: a stream that does not give the data is not used.
func TestChartChecks(t *testing.T) {
	data := blockOf(100_000)
	z, err := smallest(data, false)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(data)
	other[70_000] ^= 1
	for name, want := range map[string][]byte{"another byte": other, "longer": append(bytes.Clone(data), 0), "shorter": data[:99_999]} {
		if _, err := chart(z, want); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := chart(z, data); err != nil {
		t.Error(err)
	}
}

// TestErasingHides: as long as there is something to erase, a window ends with
// a small block of its own, at its very end.
func TestErasingHides(t *testing.T) {
	data := blockOf(20 * stubWindow)
	st, err := pack(data, false)
	if err != nil {
		t.Fatal(err)
	}
	at, ends, erasing := 0, 0, len(data)/blockErase*stubWindow
	for i, b := range st.blocks {
		if b.end <= erasing && b.end%stubWindow == 0 {
			ends++
			if len(b.data) > 2*lastOfWindow {
				t.Errorf("block %d ends a window and has %d bytes", i, len(b.data))
			}
		}
		if b.end <= erasing && at/stubWindow != (b.end-1)/stubWindow {
			t.Errorf("block %d, %d to %d, is of two windows", i, at, b.end)
		}
		at = b.end
	}
	if ends != erasing/stubWindow {
		t.Errorf("%d windows end with a block, want %d", ends, erasing/stubWindow)
	}
}

func TestAhead(t *testing.T) {
	data := blockOf(1000)
	a := Pack(data)
	other := bytes.Clone(data)
	other[5] ^= 1
	same, err := a.of(bytes.Clone(data))
	if err != nil || same != a.stream {
		t.Errorf("what was packed ahead is not used: %v", err)
	}
	if st, err := a.of(other); err != nil || st == a.stream {
		t.Errorf("something else was taken for what was packed ahead: %v", err)
	}
	Pack(nil).Wait()
	if st, err := Pack(nil).of(data); err != nil || st.size != len(data) {
		t.Error(err)
	}
}

func TestPlan(t *testing.T) {
	const block, sector = blockErase, sectorSize
	for _, tc := range []struct {
		off     uint32
		n       int
		sectors int
		ends    []int // of the flash's blocks within the data
	}{
		{0, 1, 1, []int{1}},
		{0, block, 16, []int{block}},
		{0, block + 1, 17, []int{block, block + 1}},
		{0x1000, block, 16, []int{block - sector, block}},
		{0x220000, 3*block - 5, 48, []int{block, 2 * block, 3*block - 5}},
		{0x7FF000, sector, 1, []int{sector}},
	} {
		t.Run(fmt.Sprintf("%#x+%d", tc.off, tc.n), func(t *testing.T) {
			p := newPlan(tc.off, make([]byte, tc.n))
			if len(p.state) != tc.sectors {
				t.Fatalf("%d sectors, want %d", len(p.state), tc.sectors)
			}
			at := 0
			for k := range p.state {
				from, to := p.span(k)
				if from != at || to != min(at+sector, tc.n) {
					t.Errorf("sector %d is %d to %d", k, from, to)
				}
				at = to
			}
			at = 0
			for _, end := range tc.ends {
				if got := p.blockEnd(at); got != end || p.blockEnd(end-1) != end {
					t.Errorf("the block of %d ends at %d, that of %d at %d, want %d", at, got, end-1, p.blockEnd(end-1), end)
				}
				at = end
			}
			if from, to, ok := p.next(); !ok || from != 0 || to != tc.n {
				t.Errorf("first run %d to %d, %v", from, to, ok)
			}
			p.mark(0, tc.n, correct)
			if _, _, ok := p.next(); ok || p.done() != tc.n {
				t.Errorf("%d done of %d", p.done(), tc.n)
			}
			last := len(p.state) - 1
			p.state[last] = wrong
			if from, to, ok := p.next(); !ok || from != last*sector || to != tc.n {
				t.Errorf("last run %d to %d, %v", from, to, ok)
			}
		})
	}
}

func TestLadder(t *testing.T) {
	for _, tc := range []struct {
		from int
		want string
	}{
		{2_000_000, "[2000000 921600 460800 115200]"},
		{921600, "[921600 460800 115200]"},
		{500_000, "[500000 460800 115200]"},
		{115200, "[115200]"},
	} {
		if got := fmt.Sprint(ladder(tc.from)); got != tc.want {
			t.Errorf("from %d: %s, want %s", tc.from, got, tc.want)
		}
	}
	if below(115200) != 0 || below(921600) != 460800 {
		t.Error("below")
	}
}

func TestSizeFromID(t *testing.T) {
	for _, tc := range []struct{ id, want uint32 }{
		{0x1740C8, 8 << 20}, {0x164020, 4 << 20}, {0x1840EF, 16 << 20}, {0x3740C8, 8 << 20},
		{0, 0}, {0xFFFFFF, 0}, {0x0140C8, 0},
	} {
		got, err := sizeFromID(tc.id)
		if got != tc.want || (err == nil) != (tc.want != 0) {
			t.Errorf("id %#x: %d, %v", tc.id, got, err)
		}
	}
}

// TestMD5Timeout: before anything is known the slowest chip is waited for,
// then four times what was seen, and never less than any reply may take.
func TestMD5Timeout(t *testing.T) {
	var r md5Rate
	if got := r.timeout(1 << 20); got != md5PerMB {
		t.Errorf("unknown: %v", got)
	}
	r.learn(16, replyTimeout) // too short to tell
	r.learn(64<<10, replyTimeout/600)
	if got := r.timeout(1 << 20); got != replyTimeout {
		t.Errorf("fast: %v", got)
	}
	if got := r.timeout(1 << 30); got < 100*replyTimeout || got > 120*replyTimeout {
		t.Errorf("fast, long: %v", got)
	}
	r.learn(64<<10, replyTimeout)
	if got := r.timeout(1 << 20); got != md5PerMB {
		t.Errorf("slow: %v", got)
	}
}

package deflate

import (
	"bytes"
	"compress/zlib"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

func inflate(t *testing.T, z []byte) []byte {
	t.Helper()
	r, err := zlib.NewReader(bytes.NewReader(z))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r) // checks the sum as well
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// code is n bytes with the habits of compiled code: few opcodes, operands that
// come again with small changes, tables of numbers that rise.
func code(n int) []byte {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	var b []byte
	for len(b) < n {
		switch r.IntN(8) {
		case 0: // a table
			at := r.Uint32()
			for range 8 + r.IntN(24) {
				at += uint32(r.IntN(64)) * 4
				b = append(b, byte(at), byte(at>>8), byte(at>>16), 0x42)
			}
		case 1, 2: // a function much like one before
			if len(b) > 2000 {
				from := len(b) - 200 - r.IntN(1800)
				b = append(b, b[from:from+20+r.IntN(180)]...)
				b[len(b)-10] = byte(r.Uint32())
			}
		default:
			for range 12 {
				op := byte(r.ExpFloat64() * 20)
				b = append(b, op, byte(r.IntN(16))<<4|op&7, byte(r.ExpFloat64()*12))
			}
		}
	}
	return b[:n]
}

func cases() map[string][]byte {
	return map[string][]byte{
		"nothing":               nil,
		"one byte":              {1},
		"two":                   {1, 2},
		"three alike":           {0, 0, 0},
		"zeros":                 make([]byte, 300_000),
		"noise":                 noise(200_000),
		"noise of one piece":    noise(pieceSize),
		"text":                  bytes.Repeat([]byte("motors idle, safety normal; "), 9000),
		"noise, then zeros":     append(noise(pieceSize-2), make([]byte, 5000)...),
		"code":                  code(200_000),
		"as far back as it may": slices.Concat(noise(window), noise(window)),
		"too far back":          slices.Concat(noise(window+1), noise(window+1)),
		"every byte":            slices.Concat(noise(70_000), bytes.Repeat([]byte{0, 255}, 40_000)),
	}
}

// TestZlib: another's reader gets the data back, and noise grows by little.
func TestZlib(t *testing.T) {
	for name, data := range cases() {
		t.Run(name, func(t *testing.T) {
			z := Zlib(data)
			if !bytes.Equal(inflate(t, z), data) {
				t.Error("does not inflate to what was packed")
			}
			if most := len(data) + len(data)/1000 + 32; len(z) > most {
				t.Errorf("%d bytes of %d, want %d at most", len(z), len(data), most)
			}
			if !bytes.Equal(Zlib(data), z) {
				t.Error("another stream the second time")
			}
		})
	}
	if z := Zlib(slices.Concat(noise(window), noise(window))); len(z) > window+window/40 {
		t.Errorf("%d bytes: a copy of 32 KiB before was not found", len(z))
	}
}

// TestSmaller: of code it leaves clearly less than the standard library.
func TestSmaller(t *testing.T) {
	data := code(400_000)
	var usual bytes.Buffer
	w, err := zlib.NewWriterLevel(&usual, zlib.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	z := Zlib(data)
	t.Logf("%d bytes, usually %d", len(z), usual.Len())
	if len(z)*100 > usual.Len()*97 {
		t.Errorf("%d bytes, want at least 3 %% less than %d", len(z), usual.Len())
	}
}

// TestLengths: codes that can be told from each other, none too long, none of
// them wasted.
func TestLengths(t *testing.T) {
	fibonacci := []int{1, 1}
	for len(fibonacci) < 40 { // asks for codes of 39 bits
		fibonacci = append(fibonacci, fibonacci[len(fibonacci)-1]+fibonacci[len(fibonacci)-2])
	}
	for name, tc := range map[string]struct {
		count []int
		most  int
	}{
		"none": {make([]int, 5), longest}, "one": {[]int{0, 3}, longest}, "two": {[]int{5, 0, 1}, longest},
		"equal": {slices.Repeat([]int{4}, 19), longestCC}, "steep": {fibonacci, longest}, "steeper": {fibonacci[:19], longestCC},
		"all": {slices.Repeat([]int{1}, literals), longest},
	} {
		t.Run(name, func(t *testing.T) {
			got, sum, used := lengths(tc.count, tc.most), 0, 0
			for s, l := range got {
				if (l == 0) != (tc.count[s] == 0) || int(l) > tc.most {
					t.Errorf("symbol %d, %d times: %d bits", s, tc.count[s], l)
				}
				if l > 0 {
					sum += 1 << (longest - l)
					used++
				}
			}
			if full := 1 << longest; sum > full || used > 1 && sum < full {
				t.Errorf("codes fill %d of %d", sum, full)
			}
		})
	}
}

// TestRuns: what is written down of lengths is those lengths.
func TestRuns(t *testing.T) {
	for _, l := range [][]uint8{
		{5}, {0, 0}, make([]uint8, 316), slices.Repeat([]uint8{7}, 316), slices.Concat(make([]uint8, 149), []uint8{1, 1, 1, 1, 2, 0, 0, 0, 3, 3, 3}),
		slices.Concat(slices.Repeat([]uint8{9}, 8), make([]uint8, 10), slices.Repeat([]uint8{9}, 9), make([]uint8, 2)),
	} {
		var got []uint8
		for _, r := range runs(l) {
			switch r.symbol {
			case 16:
				got = append(got, slices.Repeat(got[len(got)-1:], 3+int(r.extra))...)
			case 17:
				got = append(got, make([]uint8, 3+int(r.extra))...)
			case 18:
				got = append(got, make([]uint8, 11+int(r.extra))...)
			default:
				got = append(got, r.symbol)
			}
		}
		if !bytes.Equal(got, l) {
			t.Errorf("%v became %v", l, got)
		}
	}
}

// TestEffort: data that nearly repeat do not take the longer the better they do.
func TestEffort(t *testing.T) {
	period := noise(40)
	var data []byte
	for i := 0; len(data) < 100_000; i++ {
		row := bytes.Repeat(period, 6)
		row[i*37%len(row)]++
		data = append(data, row...)
	}
	f := &finder{data: data, left: 10_000}
	var found []match
	for i := range data {
		found = f.find(i, len(data), found[:0])
	}
	if least := -10_000 - len(data)*hurried*maxMatch; f.left > 0 || f.left < least {
		t.Errorf("%d bytes left of the effort, want 0 to %d", f.left, least)
	}
	if !bytes.Equal(inflate(t, Zlib(data)), data) {
		t.Error("does not inflate to what was packed")
	}
}

func FuzzZlib(f *testing.F) {
	for _, data := range cases() {
		f.Add(data[:min(len(data), 4000)])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !bytes.Equal(inflate(t, Zlib(data)), data) {
			t.Error("does not inflate to what was packed")
		}
	})
}

func BenchmarkZlib(b *testing.B) {
	data := code(1 << 20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		Zlib(data)
	}
}

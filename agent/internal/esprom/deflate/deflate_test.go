package deflate_test

import (
	"bytes"
	"compress/zlib"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/esprom/deflate"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// inflate undoes it with the standard library's decoder.
func inflate(t testing.TB, z []byte) []byte {
	t.Helper()
	r, err := zlib.NewReader(bytes.NewReader(z))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func standard(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, zlib.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func random(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// sparse repeats itself at all distances, over portions and the window's end.
func sparse(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := random(min(n, 300), seed)
	for len(b) < n {
		d := 1 + r.IntN(min(len(b), 40_000))
		from := len(b) - d
		for range 1 + r.IntN(400) {
			b = append(b, b[from])
			from++
		}
		b = append(b, byte(r.Uint32()))
	}
	return b[:n]
}

func firmware(t testing.TB, size int) []byte {
	t.Helper()
	b, err := testimage.Build(testimage.Spec{Version: "1.2.3", Size: size, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty":      {},
		"one byte":   {7},
		"two bytes":  {7, 7},
		"three":      []byte("aaa"),
		"four":       []byte("aaaa"),
		"no match":   []byte("abcdefg"),
		"all bytes":  random(256, 1),
		"zeros":      make([]byte, 1<<20),
		"erased":     bytes.Repeat([]byte{0xFF}, 70_000),
		"noise":      random(200_000, 2), // more than one stored block
		"text":       []byte(strings.Repeat("motors idle, safety normal; ", 4000)),
		"sparse":     sparse(700_000, 3), // more than one portion
		"258 + 1":    bytes.Repeat([]byte{1}, 259),
		"firmware":   firmware(t, 600_000),
		"late match": append(append(random(32<<10, 4), random(100, 5)...), random(32<<10, 4)...),
	} {
		t.Run(name, func(t *testing.T) {
			z := deflate.Zlib(data)
			if got := inflate(t, z); !bytes.Equal(got, data) {
				t.Fatalf("%d bytes came back as other %d bytes", len(data), len(got))
			}
			if most := len(data) + 5*(len(data)/65535+2) + 6; len(z) > most {
				t.Errorf("%d bytes became %d, want %d at most", len(data), len(z), most)
			}
		})
	}
}

// TestSmaller: what this package is for.
func TestSmaller(t *testing.T) {
	data := firmware(t, 1_388_912)
	ours, theirs := len(deflate.Zlib(data)), len(standard(t, data))
	t.Logf("%d bytes: %d here, %d by compress/zlib (%.2f %%)", len(data), ours, theirs, 100*float64(ours)/float64(theirs))
	if ours >= theirs {
		t.Errorf("%d bytes, compress/zlib needs %d", ours, theirs)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("abcabcabcabd"), uint16(3))
	f.Add(bytes.Repeat([]byte{0}, 600), uint16(1))
	f.Add(sparse(3000, 9), uint16(40))
	f.Fuzz(func(t *testing.T, data []byte, times uint16) {
		// Repeated, the input gets long enough to have long matches.
		if n := int(times); n > 1 && len(data)*n <= 1<<14 {
			data = bytes.Repeat(data, n)
		}
		if !bytes.Equal(inflate(t, deflate.Zlib(data)), data) {
			t.Fatal("does not come back")
		}
	})
}

func BenchmarkZlib(b *testing.B) {
	data := firmware(b, 1_388_912)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		deflate.Zlib(data)
	}
}

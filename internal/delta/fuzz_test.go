package delta

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"testing"
)

// Whatever a patch holds: no panic, and what Apply is content with is what the
// header promises.
func FuzzApply(f *testing.F) {
	base := firmware(0)
	for _, result := range [][]byte{base, firmware(2), noise(300, 2)} {
		f.Add(patchOf(f, base, result))
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		var out bytes.Buffer
		if Apply(context.Background(), &out, base, patch) != nil {
			return
		}
		h, err := ParseHeader(patch, int64(len(patch)))
		if err != nil || sha256.Sum256(out.Bytes()) != h.Result || out.Len() != int(h.ResultSize) {
			t.Errorf("%d bytes, %v", out.Len(), err)
		}
	})
}

// The same below the compression, where a mutation does not fail at once: what
// is built has the promised length, comes from the streams alone, and comes out
// the same in another run.
func FuzzBuild(f *testing.F) {
	base := firmware(0)[:20_000]
	seed := func(s script, c corrections, literals []byte) {
		f.Add(s.encode(), c.gaps, c.runs, c.values, literals)
	}
	for _, result := range [][]byte{base, firmware(2)[:20_000]} {
		steps, err := plan(f.Context(), base, result)
		if err != nil {
			f.Fatal(err)
		}
		s := script{kinds: allKinds, steps: steps, base: []segment{{200, 0x3C000020, 1000}, {2000, 0x42000020, 18_000}}}
		s.result = s.base
		c, literals := s.corrections(base, result)
		seed(s, c, literals)
	}
	f.Fuzz(func(t *testing.T, steps, gaps, runs, values, literals []byte) {
		build := func() ([]byte, error) {
			raw := func(b []byte) *reader { return &reader{in: bufio.NewReader(bytes.NewReader(b))} }
			s, err := readScript(raw(steps), uint32(len(base)), 20_000)
			if err != nil {
				return nil, err
			}
			var out bytes.Buffer
			err = s.build(context.Background(), &out, base, &corrector{gaps: raw(gaps), runs: raw(runs), values: raw(values)}, raw(literals))
			return out.Bytes(), err
		}
		first, err := build()
		if err == nil && len(first) != 20_000 {
			t.Errorf("%d bytes", len(first))
		}
		if second, again := build(); (err == nil) != (again == nil) || !bytes.Equal(first, second) {
			t.Error("it comes out differently")
		}
	})
}

// There and back, whatever the images are.
func FuzzMake(f *testing.F) {
	f.Add([]byte("0123456789abcdefghij"), []byte("0123456789ABCDEFGHIJabcdefghij"))
	f.Add(firmware(0)[:4000], firmware(1)[:4000])
	f.Add(bytes.Repeat([]byte{0}, 300), bytes.Repeat([]byte{0, 1}, 200))
	f.Fuzz(func(t *testing.T, base, result []byte) {
		if len(base) == 0 || len(result) == 0 {
			return
		}
		var out bytes.Buffer
		if err := Apply(context.Background(), &out, base, patchOf(t, base, result)); err != nil || !bytes.Equal(out.Bytes(), result) {
			t.Error(err)
		}
	})
}

func FuzzParseHeader(f *testing.F) {
	f.Add(patchOf(f, []byte{1}, []byte{2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b, int64(len(b)))
		if err != nil {
			return
		}
		if again := h.appendTo(nil); !bytes.Equal(again, b[:HeaderSize]) {
			t.Errorf("%x came back as %x", b[:HeaderSize], again)
		}
	})
}

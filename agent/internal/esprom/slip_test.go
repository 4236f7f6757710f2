package esprom

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// frames decodes b, fed in pieces of at most step bytes.
func frames(b []byte, step int) (out [][]byte) {
	var d decoder
	for len(b) > 0 {
		piece := b[:min(step, len(b))]
		b = b[len(piece):]
		for len(piece) > 0 {
			n, f := d.feed(piece)
			piece = piece[n:]
			if f != nil {
				out = append(out, bytes.Clone(f))
			}
		}
	}
	return out
}

func TestSLIPGolden(t *testing.T) {
	for _, tc := range []struct{ plain, wire string }{
		{"", "\xC0\xC0"},
		{"a", "\xC0a\xC0"},
		{"\xC0", "\xC0\xDB\xDC\xC0"},
		{"\xDB", "\xC0\xDB\xDD\xC0"},
		{"\xDB\xDC\xC0\xDD", "\xC0\xDB\xDD\xDC\xDB\xDC\xDD\xC0"},
		// SYNC as a loader's documentation prints it.
		{"\x00\x08\x04\x00\x00\x00\x00\x00\x07\x07\x12\x20", "\xC0\x00\x08\x04\x00\x00\x00\x00\x00\x07\x07\x12\x20\xC0"},
	} {
		if got := appendFrame(nil, []byte(tc.plain)); string(got) != tc.wire {
			t.Errorf("frame of %x is %x, want %x", tc.plain, got, tc.wire)
		}
		if got := frames([]byte(tc.wire), 99); tc.plain != "" && (len(got) != 1 || string(got[0]) != tc.plain) {
			t.Errorf("%x decodes to %x, want %x", tc.wire, got, tc.plain)
		}
	}
	parts := appendFrame([]byte("x"), []byte("a\xC0"), nil, []byte("\xDBb"))
	if string(parts) != "x\xC0a\xDB\xDC\xDB\xDDb\xC0" {
		t.Errorf("parts give %x", parts)
	}
}

func TestSLIPNoise(t *testing.T) {
	long := bytes.Repeat([]byte{1}, maxFrame)
	for _, tc := range []struct {
		name, wire string
		want       []string
	}{
		{"text before the first border is no frame", "ESP-ROM\r\n\xC0a\xC0", []string{"a"}},
		{"a lost border joins what stood beside it", "\xC0a\xC0b\xC0\xC0c\xC0", []string{"a", "b", "c"}},
		{"spare borders", "\xC0\xC0\xC0a\xC0\xC0", []string{"a"}},
		{"bad escape", "\xC0a\xDBx\xC0\xC0b\xC0", []string{"b"}},
		{"escape at the end", "\xC0a\xDB\xC0b\xC0", []string{"b"}},
		{"not ended", "\xC0a\xC0b", []string{"a"}},
		{"longest", "\xC0" + string(long) + "\xC0", []string{string(long)}},
		{"too long", "\xC0" + string(long) + "y\xC0a\xC0", []string{"a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, step := range []int{1, 2, 3, 99999} {
				got := frames([]byte(tc.wire), step)
				if len(got) != len(tc.want) {
					t.Fatalf("in pieces of %d: %d frames, want %d", step, len(got), len(tc.want))
				}
				for i := range got {
					if string(got[i]) != tc.want[i] {
						t.Errorf("in pieces of %d: frame %d is %x, want %x", step, i, got[i], tc.want[i])
					}
				}
			}
		})
	}
}

// FuzzSLIP: what is encoded comes back, whatever came before it and however the
// bytes are cut; and decoding anything never gives an impossible frame.
func FuzzSLIP(f *testing.F) {
	f.Add([]byte("\x00\x08\xC0\xDB\xDC"), []byte("ESP-ROM:\xC0\xDB"), uint8(3))
	f.Add([]byte{0xC0}, []byte{}, uint8(1))
	f.Add([]byte{}, []byte{0xC0, 0xDB, 0xDB, 0xC0}, uint8(2))
	f.Fuzz(func(t *testing.T, payload, noise []byte, step uint8) {
		for _, got := range frames(noise, 1+int(step)) {
			if len(got) == 0 || len(got) > maxFrame {
				t.Fatalf("frame of %d bytes", len(got))
			}
		}
		if len(payload) == 0 || len(payload) > maxFrame {
			return
		}
		wire := appendFrame(bytes.Clone(noise), payload)
		got := frames(wire, 1+int(step))
		if len(got) == 0 || !bytes.Equal(got[len(got)-1], payload) {
			t.Fatalf("%x after %x came back as %x", payload, noise, got)
		}
	})
}

func blockOf(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func BenchmarkEncode(b *testing.B) {
	data, dst := blockOf(stubBlock), make([]byte, 0, 2*stubBlock)
	b.SetBytes(stubBlock)
	b.ReportAllocs()
	for b.Loop() {
		dst = block(opDeflData, 1, data).appendTo(dst[:0])
	}
}

func BenchmarkDecode(b *testing.B) {
	wire := appendFrame(nil, blockOf(4096))
	var d decoder
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		for p := wire; len(p) > 0; {
			n, _ := d.feed(p)
			p = p[n:]
		}
	}
}

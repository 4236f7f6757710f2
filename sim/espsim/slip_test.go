package espsim

import (
	"bytes"
	"testing"
)

func deframe(d *deframer, p []byte) (frames [][]byte) {
	for _, b := range p {
		if f, ok := d.byte(b); ok {
			frames = append(frames, append([]byte(nil), f...))
		}
	}
	return frames
}

func TestEncodeFrame(t *testing.T) {
	got := encodeFrame([]byte{1, 0xC0, 0xDB, 0xDC})
	want := []byte{0xC0, 1, 0xDB, 0xDC, 0xDB, 0xDD, 0xDC, 0xC0}
	if !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestDeframe(t *testing.T) {
	long := append(append([]byte{0xC0}, bytes.Repeat([]byte{7}, 17)...), 0xC0)
	for _, tt := range []struct {
		name      string
		in        []byte
		rom, stub []string
	}{
		{"two frames", []byte("\xC0ab\xC0\xC0cd\xC0"), []string{"ab", "cd"}, []string{"ab", "cd"}},
		{"noise before", []byte("boot log\xC0ab\xC0"), []string{"ab"}, []string{"ab"}},
		{"escapes", []byte("\xC0\xDB\xDC\xDB\xDD\xC0"), []string{"\xC0\xDB"}, []string{"\xC0\xDB"}},
		{"bad escape loses the frame", []byte("\xC0a\xDBbc\xC0\xC0cd\xC0"), nil, nil},
		{"too long", append(long, "\xC0ab\xC0"...), nil, nil},
		{"truncated frame swallows the next start", []byte("\xC0ab\xC0cd\xC0"), []string{"ab"}, []string{"ab"}},
		{"spare end after a truncated frame", []byte("\xC0ab\xC0\xC0cd\xC0"), []string{"ab", "cd"}, []string{"ab", "cd"}},
		{"spare end for nothing", []byte("\xC0\xC0ab\xC0"), []string{"ab"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for sticky, want := range map[bool][]string{true: tt.rom, false: tt.stub} {
				got := deframe(&deframer{max: 16, sticky: sticky}, tt.in)
				if tt.name == "too long" || tt.name == "bad escape loses the frame" {
					// The end of the lost frame is taken for a start: the ROM
					// stays in step with the next, the stub does not.
					if sticky && (len(got) != 1) || !sticky && len(got) != 0 {
						t.Errorf("sticky %v: %q", sticky, got)
					}
					continue
				}
				if len(got) != len(want) {
					t.Fatalf("sticky %v: %q, want %q", sticky, got, want)
				}
				for i := range got {
					if string(got[i]) != want[i] {
						t.Errorf("sticky %v: %q, want %q", sticky, got, want)
					}
				}
			}
		})
	}
}

func FuzzDeframe(f *testing.F) {
	f.Add([]byte("\xC0ab\xC0"), true)
	f.Add([]byte("\xC0\xC0\xDB\xDC\xC0\xDB"), false)
	f.Fuzz(func(t *testing.T, p []byte, sticky bool) {
		d := deframer{max: 64, sticky: sticky}
		for _, g := range deframe(&d, p) {
			if len(g) == 0 || len(g) > 64 {
				t.Fatalf("frame of %d bytes", len(g))
			}
		}
		// Whatever came before, a frame gets through at the second try at most
		// once the line is in step.
		if sticky {
			rest := deframe(&d, append(encodeFrame([]byte("x")), encodeFrame(p[:min(len(p), 60)])...))
			if len(p) > 0 && len(rest) == 0 {
				t.Fatal("out of step")
			}
		}
		d = deframer{max: 1 << 20, sticky: sticky}
		if len(p) == 0 {
			return
		}
		if got := deframe(&d, encodeFrame(p)); len(got) != 1 || !bytes.Equal(got[0], p) {
			t.Fatalf("% x comes back as % x", p, got)
		}
	})
}

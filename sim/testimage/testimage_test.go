package testimage

import (
	"bytes"
	"compress/zlib"
	"testing"
)

func ratio(t *testing.T, p []byte) float64 {
	t.Helper()
	var b bytes.Buffer
	w, _ := zlib.NewWriterLevel(&b, zlib.BestCompression)
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return float64(b.Len()) / float64(len(p))
}

func TestCompressesLikeCode(t *testing.T) {
	img, err := Build(Spec{Version: "0.2.1", Size: 1_388_912})
	if err != nil {
		t.Fatal(err)
	}
	if r := ratio(t, img); r < 0.57 || r > 0.63 {
		t.Errorf("deflates to %.3f, want about 0.60", r)
	}
}

func TestSizesAreExact(t *testing.T) {
	for _, n := range []int{MinSize, 4096, 5000, 64 << 10, 200_000, 262_144, 1_388_912, 2 << 20} {
		img, err := Build(Spec{Version: "0.2.1", Size: n})
		if err != nil {
			t.Fatal(err)
		}
		if want := (n + 15) &^ 15; len(img) != want {
			t.Errorf("size %d: got %d bytes, want %d", n, len(img), want)
		}
		again, _ := Build(Spec{Version: "0.2.1", Size: n})
		if !bytes.Equal(img, again) {
			t.Errorf("size %d: two builds differ", n)
		}
	}
}

func TestRefuses(t *testing.T) {
	for name, s := range map[string]Spec{
		"no version":   {},
		"long version": {Version: string(bytes.Repeat([]byte("1"), 32))},
		"long project": {Version: "0.2.1", Project: string(bytes.Repeat([]byte("p"), 32))},
		"tiny":         {Version: "0.2.1", Size: 100},
		"huge":         {Version: "0.2.1", Size: 9 << 20},
		"behaviour":    {Version: "0.2.1", Behaviour: "explode"},
	} {
		if _, err := Build(s); err == nil {
			t.Errorf("%s: built", name)
		}
	}
}

package main

import (
	"bytes"
	"testing"
)

func TestUnsigned(t *testing.T) {
	app := []byte{0xE9, 1, 2, 3}
	signed := append(append([]byte{0x4F, 0x42, 0x4F, 0x52}, make([]byte, 132)...), app...)
	for name, in := range map[string][]byte{"bare": app, "signed": signed} {
		if got := unsigned(in); !bytes.Equal(got, app) {
			t.Errorf("%s: % x", name, got)
		}
	}
	if got := unsigned(signed[:136]); len(got) != 136 {
		t.Errorf("a header alone is no image: %d bytes", len(got))
	}
}

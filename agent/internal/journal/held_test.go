package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestHeld(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	here, there := [6]byte{1, 2, 3}, [6]byte{9}
	holds := func(mac [6]byte, off uint32, want []byte) {
		t.Helper()
		if got, err := j.Held(mac, off); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x at %#x: %q, %v, want %q", mac, off, got, err, want)
		}
	}
	keep := func(mac [6]byte, off uint32, what string) {
		t.Helper()
		if err := j.KeepHeld(mac, off, []byte(what)); err != nil {
			t.Fatal(err)
		}
	}
	holds(here, 0x220000, nil)
	keep(here, 0x220000, "one")
	keep(here, 0x420000, "two")
	keep(here, 0x220000, "three")
	holds(here, 0x220000, []byte("three"))
	holds(here, 0x420000, []byte("two"))
	holds(there, 0x420000, nil)
	keep(there, 0x220000, "other")
	holds(there, 0x220000, []byte("other"))
	holds(here, 0x420000, nil) // the cable was moved
	for _, bad := range []string{"", "{", `{"slots": 3}`} {
		if err := os.WriteFile(filepath.Join(dir, "flash.json"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := j.Held(there, 0x220000); err == nil || got != nil {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
	keep(there, 0x220000, "anew") // a damaged file is replaced
	holds(there, 0x220000, []byte("anew"))
}

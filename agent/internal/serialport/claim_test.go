package serialport

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOneAgentForAPort(t *testing.T) {
	dir := t.TempDir()
	device, link := filepath.Join(dir, "ttyUSB0"), filepath.Join(dir, "ota-esp32")
	if err := errors.Join(os.WriteFile(device, nil, 0o600), os.Symlink(device, link)); err != nil {
		t.Fatal(err)
	}
	first, err := Claim(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{device, link} {
		_, err := Claim(port)
		for _, want := range []string{port, fmt.Sprintf("pid %d (%s", os.Getpid(), os.Args[0]), "another serial.port"} {
			if !errors.Is(err, ErrClaimed) || !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: got %v, want %q in it", port, err, want)
			}
		}
	}
	for _, port := range []string{filepath.Join(dir, "ttyUSB1"), "rfc2217://127.0.0.1:4000"} {
		c, err := Claim(port)
		if err != nil {
			t.Fatalf("%s: %v", port, err)
		}
		if _, err := Claim(port); !errors.Is(err, ErrClaimed) {
			t.Errorf("%s, twice: %v", port, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Claim(device)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

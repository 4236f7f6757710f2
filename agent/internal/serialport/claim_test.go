package serialport

import (
	"errors"
	"fmt"
	"net"
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

// A device that comes back takes whatever name is free. The one that took a name
// before, and is away or has another now, keeps nobody from it.
func TestANameThatAnotherDeviceHadBefore(t *testing.T) {
	dir := t.TempDir()
	device, one, two, three := filepath.Join(dir, "ttyUSB0"), filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "three")
	if err := errors.Join(os.WriteFile(device, nil, 0o600), os.Symlink(device, one)); err != nil {
		t.Fatal(err)
	}
	claim := func(port string) func() {
		t.Helper()
		c, err := Claim(port)
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	first := claim(one)
	if err := errors.Join(os.Remove(one), os.Symlink(device, two), os.Symlink(device, three)); err != nil { // it is unplugged, another is plugged in
		t.Fatal(err)
	}
	second := claim(two)
	for _, port := range []string{three, device} {
		if _, err := Claim(port); !errors.Is(err, ErrClaimed) || !strings.Contains(err.Error(), port) {
			t.Errorf("%s: %v", port, err)
		}
	}
	first()
	if _, err := Claim(three); !errors.Is(err, ErrClaimed) {
		t.Errorf("the first has ended, and the second has not: %v", err)
	}
	second()
	claim(three)()
}

// Who does not say which port it has, has this one.
func TestAClaimWithoutAWord(t *testing.T) {
	port := filepath.Join(t.TempDir(), "ttyUSB0")
	l, err := net.ListenUnix("unix", place(port, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	if _, err := Claim(port); !errors.Is(err, ErrClaimed) {
		t.Error(err)
	}
}

package serialport

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestRemoteAgainstPySerial talks to the servers of pyserial and of esptool,
// which nobody here wrote. Both come with esptool, which ROBOT_OTA_ESPTOOL
// names; `make test` sets it up.
func TestRemoteAgainstPySerial(t *testing.T) {
	esptool := os.Getenv("ROBOT_OTA_ESPTOOL")
	if esptool == "" {
		t.Skip("ROBOT_OTA_ESPTOOL does not name an esptool: `make test` does")
	}
	python := filepath.Join(filepath.Dir(esptool), "python3")
	for kind, want := range map[string][]string{
		"pyserial": {"dtr 0", "rts 1", "dtr 1", "rts 0", "dtr 0", "dtr 0", "rts 1", "rts 0"},
		// esptool's server swallows most of the sequence, and does its own.
		"esp": {"dtr 0", "Activating reset in thread", "dtr 0", "dtr 0", "Activating hard reset in thread"},
	} {
		t.Run(kind, func(t *testing.T) {
			addr, said := startPython(t, python, kind)
			p := mustOpen(t, Config{Port: "rfc2217://" + addr, Baud: 460800})
			until(t, said, "baudrate 460800")
			if _, err := p.Write(allBytes()); err != nil {
				t.Fatal(err)
			}
			if got := readFull(t, p, 512); !bytes.Equal(got, allBytes()) {
				t.Errorf("came back as % x", got)
			}
			if err := p.ResetInput(); err != nil {
				t.Error(err)
			}
			r, err := NewResetter(Reset{}, p)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(r.Bootloader(t.Context(), 0), r.Run(t.Context()), p.SetBaud(115200)); err != nil {
				t.Fatal(err)
			}
			got := until(t, said, "baudrate 115200")
			if kind == "esp" {
				got = slices.DeleteFunc(got, func(s string) bool { return s == "rts 1" || s == "rts 0" || s == "dtr 1" })
			}
			if !slices.Equal(got, want) {
				t.Errorf("the server saw %q, want %q", got, want)
			}
		})
	}
}

// startPython starts the server of testdata and gives its address and what it
// prints.
func startPython(t *testing.T, python, kind string) (string, *bufio.Scanner) {
	t.Helper()
	ctx, cancel := contextFor(t, 30*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, python, "testdata/pyserial_server.py", kind)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(stderr.String())
		}
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the server does not start")
	}
	return lines.Text(), lines
}

// until gives the lines before the one wanted.
func until(t *testing.T, lines *bufio.Scanner, want string) []string {
	t.Helper()
	var out []string
	for lines.Scan() {
		if lines.Text() == want {
			return out
		}
		out = append(out, lines.Text())
	}
	t.Fatalf("the server ended; it said %q, not %q", out, want)
	return nil
}

package serialport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/link"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// simulated gives a chip that runs an application.
func simulated(t *testing.T, wiring espsim.Wiring) *espsim.Chip {
	t.Helper()
	app, err := testimage.Build(testimage.Spec{Version: "0.2.0"})
	if err != nil {
		t.Fatal(err)
	}
	flash, err := espsim.Provision(0, 0, map[string][]byte{"factory": app})
	if err != nil {
		t.Fatal(err)
	}
	chip, err := espsim.New(espsim.Config{Flash: flash, Wiring: wiring, AppStart: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chip.Close)
	return chip
}

func serve(t *testing.T, s interface{ Serve(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("link: %v", err)
		}
	})
}

func overNetwork(t *testing.T, chip *espsim.Chip) *serialport.Port {
	t.Helper()
	s, err := link.ListenRFC2217(t.Context(), chip, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	return open(t, "rfc2217://"+s.Addr())
}

func open(t *testing.T, port string) *serialport.Port {
	t.Helper()
	p, err := serialport.Open(t.Context(), serialport.Config{Port: port, LockDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// inLoader asks for SYNC (esptool's 08 07 07 12 20 55…) and looks for its answer.
func inLoader(t *testing.T, p *serialport.Port) bool {
	t.Helper()
	if err := errors.Join(p.ResetInput(), p.SetReadTimeout(100*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	sync := append([]byte{0xC0, 0, 8, 36, 0, 0, 0, 0, 0, 7, 7, 0x12, 0x20}, bytes.Repeat([]byte{0x55}, 32)...)
	var heard []byte
	for range 5 {
		if _, err := p.Write(append(sync, 0xC0)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 512)
		n, err := p.Read(buf)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if heard = append(heard, buf[:n]...); bytes.Contains(heard, []byte{0xC0, 1, 8}) {
			return true
		}
	}
	return false
}

// Each way to reset, on the circuit that it is for, ends in the loader, and
// then in the application.
func TestResetsOfTheSimulatedChip(t *testing.T) {
	for _, c := range []struct {
		method   serialport.Method
		wiring   espsim.Wiring
		attempts int
	}{
		{serialport.Auto, espsim.AutoReset, 2},
		{serialport.Classic, espsim.AutoReset, 2},
		{serialport.Tight, espsim.AutoReset, 2},
		{serialport.USBJTAG, espsim.USBSerialJTAG, 1},
	} {
		t.Run(fmt.Sprintf("%s on %d", c.method, c.wiring), func(t *testing.T) {
			t.Parallel()
			chip := simulated(t, c.wiring)
			p := overNetwork(t, chip)
			r, err := serialport.NewResetter(serialport.Reset{Method: c.method}, p)
			if err != nil {
				t.Fatal(err)
			}
			for n := range c.attempts {
				if err := r.Bootloader(t.Context(), n); err != nil {
					t.Fatal(err)
				}
				if !inLoader(t, p) {
					t.Errorf("attempt %d: the loader does not answer", n)
				}
				if err := r.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if inLoader(t, p) {
					t.Errorf("after Run %d the loader answers", n)
				}
			}
		})
	}
}

// A cable that is pulled and plugged in again, on a pty behind a link, as udev
// lays one: ErrGone at once, Reopen when it is back.
func TestSimulatedCable(t *testing.T) {
	chip := simulated(t, espsim.AutoReset)
	s, err := link.OpenPTY(chip, filepath.Join(t.TempDir(), "ota-esp32"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	p := open(t, s.Path())
	chip.ResetToBootloader()
	if !inLoader(t, p) {
		t.Fatal("the loader does not answer")
	}
	chip.Unplug()
	if err := p.SetReadTimeout(10 * time.Second); err != nil && !errors.Is(err, serialport.ErrGone) {
		t.Fatal(err)
	}
	begin := time.Now()
	for err = nil; err == nil; { // what came before may still be read
		_, err = p.Read(make([]byte, 512))
	}
	if !errors.Is(err, serialport.ErrGone) || time.Since(begin) > 5*time.Second {
		t.Errorf("Read = %v after %v", err, time.Since(begin))
	}
	chip.Plug()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Reopen(ctx); err != nil {
		t.Fatal(err)
	}
	chip.ResetToBootloader()
	if !inLoader(t, p) {
		t.Error("the loader does not answer over the new cable")
	}
}

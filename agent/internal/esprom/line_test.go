package esprom_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/link"
)

// TestOverRealPorts writes and reads through the agent's own serial port: over
// a pty, whose reset is the chip's buttons, and over RFC 2217 with DTR and RTS.
func TestOverRealPorts(t *testing.T) {
	for _, kind := range []string{"pty", "rfc2217"} {
		t.Run(kind, func(t *testing.T) {
			chip, err := espsim.New(espsim.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer chip.Close()
			var wg sync.WaitGroup
			defer wg.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg := serialport.Config{LockDir: t.TempDir()}
			if kind == "pty" {
				p, err := link.OpenPTY(chip, filepath.Join(t.TempDir(), "tty"), testLog(t))
				if err != nil {
					t.Fatal(err)
				}
				wg.Go(func() { _ = p.Serve(ctx) })
				cfg.Port = p.Path()
			} else {
				l, err := link.ListenRFC2217(ctx, chip, "127.0.0.1:0", testLog(t))
				if err != nil {
					t.Fatal(err)
				}
				wg.Go(func() { _ = l.Serve(ctx) })
				cfg.Port = "rfc2217://" + l.Addr()
			}
			port, err := serialport.Open(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer port.Close()
			var reset esprom.Resetter = buttons{chip}
			if kind == "rfc2217" {
				if reset, err = serialport.NewResetter(serialport.Reset{}, port); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			data := content(150_000, 8)
			s := connectBy(t, port, reset, esprom.Options{Ahead: esprom.Pack(data)})
			connected := time.Since(start)
			write(t, s, slot0, data)
			holds(t, chip, slot0, data)
			got, err := s.Read(ctx, slot0, 5000)
			if err != nil || string(got) != string(data[:5000]) {
				t.Errorf("read back wrong: %v", err)
			}
			if err := s.Close(ctx, true); err != nil {
				t.Error(err)
			}
			t.Logf("%s: connected after %v, all done after %v, %+v", kind, connected, time.Since(start), s.Info())
		})
	}
}

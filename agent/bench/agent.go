package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"

	"github.com/robot-platform/robot-ota/agent/internal/esp32"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// childCommand makes this program the agent's side of the comparison.
const childCommand = "agent"

// flash does with a chip what the agent does with it in an update.
func flash(ctx context.Context, args []string) error {
	var (
		port, signed, key, locks string
		before                   string
		reset                    string
		baud                     int
		noStub                   bool
	)
	f := flag.NewFlagSet(childCommand, flag.ContinueOnError)
	f.StringVar(&port, "port", "", "serial port")
	f.StringVar(&signed, "image", "", "signed image")
	f.StringVar(&key, "key", "", "public key")
	f.StringVar(&locks, "locks", "", "folder of lock files")
	f.StringVar(&before, "before", "", "what the slot held after the last update")
	f.StringVar(&reset, "reset", string(serialport.Auto), "how the chip is reset")
	f.IntVar(&baud, "baud", 0, "bits per second")
	f.BoolVar(&noStub, "no-stub", false, "use the ROM loader alone")
	if err := f.Parse(args); err != nil {
		return err
	}
	v, err := verified(signed, key)
	if err != nil {
		return err
	}
	known, err := os.ReadFile(before)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	chip := esp32.New(esp32.Config{
		Serial: serialport.Config{Port: port, LockDir: locks, Log: log},
		Reset:  serialport.Reset{Method: serialport.Method(reset)},
		Chip:   image.ESP32S3, Baud: baud, NoStub: noStub, Log: log,
		Helds: lastUpdate{known},
	})
	if err := chip.Prepare(v); err != nil {
		return err
	}
	return update(ctx, chip, v)
}

// lastUpdate is what the agent has kept of the update before: the sums of what
// it wrote, not the file.
type lastUpdate struct{ image []byte }

func (l lastUpdate) Held([6]byte, uint32) ([]byte, error) { return esp32.HeldBy(l.image), nil }

func (l lastUpdate) KeepHeld([6]byte, uint32, []byte) error { return nil }

// verified proves the image, as the agent has long before it takes the line.
func verified(signed, key string) (image.Verified, error) {
	pub, err := os.ReadFile(key)
	if err != nil {
		return image.Verified{}, err
	}
	keys, err := image.ParseKeys(pub)
	if err != nil {
		return image.Verified{}, err
	}
	b, err := os.ReadFile(signed)
	if err != nil {
		return image.Verified{}, err
	}
	return image.Verify(b, image.NewKeyring(keys...), image.Policy{Chip: image.ESP32S3})
}

// update is the engine's way from connecting to booting, without its journal.
func update(ctx context.Context, chip *esp32.Chip, v image.Verified) (err error) {
	s, err := chip.Connect(ctx, v)
	if err != nil {
		return err
	}
	open := true
	defer func() {
		if open {
			err = errors.Join(err, s.Close(ctx, true))
		}
	}()
	l, err := s.Inspect(ctx)
	if err != nil {
		return err
	}
	if l.Next != flashmap.Factory {
		return fmt.Errorf("the chip boots %v, want factory", l.Next)
	}
	if err := s.Write(ctx, l.Inactive, v, func(int64, int64) {}); err != nil {
		return err
	}
	if err := s.Attest(ctx, l.Inactive, v); err != nil {
		return err
	}
	if err := s.Switch(ctx, l.Next, l.Inactive); err != nil {
		return err
	}
	open = false
	return s.Close(ctx, true)
}

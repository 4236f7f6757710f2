package esprom_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

// buttons resets a simulated chip as its buttons would.
type buttons struct{ chip *espsim.Chip }

func (b buttons) Bootloader(context.Context, int) error { b.chip.ResetToBootloader(); return nil }
func (b buttons) Run(context.Context) error             { b.chip.ResetToApp(); return nil }

// bubble runs f with a simulated chip on fake time.
func bubble(t *testing.T, cfg espsim.Config, f func(t *testing.T, chip *espsim.Chip)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		chip, err := espsim.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer chip.Close()
		f(t, chip)
	})
}

func connect(t *testing.T, chip *espsim.Chip, o esprom.Options) *esprom.Session {
	t.Helper()
	if o.Chip == 0 {
		o.Chip = image.ESP32S3
	}
	if o.Log == nil {
		o.Log = testLog(t)
	}
	s, err := esprom.Connect(t.Context(), chip.Open(), buttons{chip}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// slot0 is where the fleet's table puts ota_0.
const slot0 = 0x220000

func at(chip *espsim.Chip, off, n int) []byte { return chip.Flash()[off : off+n] }

// oneFault draws a fault that strikes once, somewhere in the first n bytes or
// frames of either direction.
func oneFault(r *rand.Rand, bytes, frames int) (f espsim.Faults) {
	line, byteAt, frameAt := &f.ToChip, 1+r.Uint64N(uint64(bytes)), 1+r.Uint64N(uint64(frames))
	if r.IntN(2) == 0 {
		line, byteAt = &f.ToHost, 1+r.Uint64N(1500)
	}
	switch r.IntN(6) {
	case 0:
		line.DropByte = byteAt
	case 1:
		line.GarbleByte = byteAt
	case 2:
		line.DuplicateByte = byteAt
	case 3:
		line.DropFrame = frameAt
	case 4:
		line.GarbleFrame = frameAt
	case 5:
		line.DuplicateFrame = frameAt
	}
	return f
}

// TestFaults: with a fault anywhere from the first byte of the connection on,
// the write succeeds and the flash is right. A fault of one byte or frame is
// never a reason to fail.
func TestFaults(t *testing.T) {
	for _, mode := range []struct {
		name   string
		noStub bool
		size   int
		runs   uint64
	}{{"stub", false, 150_000, 150}, {"rom", true, 70_000, 80}} {
		for seed := range mode.runs {
			t.Run(fmt.Sprintf("%s/%d", mode.name, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 7))
				cfg := espsim.Config{Unpaced: true, Faults: oneFault(r, 110_000, 60)}
				bubble(t, cfg, func(t *testing.T, chip *espsim.Chip) {
					t.Logf("%+v", cfg.Faults)
					data := content(mode.size, seed)
					s := connect(t, chip, esprom.Options{NoStub: mode.noStub})
					err := s.Write(t.Context(), slot0, data, nil)
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(at(chip, slot0, len(data)), data) {
						t.Fatal("success, but the flash is wrong")
					}
				})
			})
		}
	}
}

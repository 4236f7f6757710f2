package esprom_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

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

// TestOneFault: with a fault of one byte or frame anywhere from the first byte
// of the connection on, the write succeeds and the flash is right.
func TestOneFault(t *testing.T) {
	for _, mode := range []struct {
		name   string
		noStub bool
		size   int
		runs   uint64
	}{{"stub", false, 60_000, 120}, {"rom", true, 70_000, 80}} {
		for seed := range mode.runs {
			t.Run(fmt.Sprintf("%s/%d", mode.name, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 7))
				cfg := espsim.Config{Unpaced: true, Faults: oneFault(r, mode.size*8/10, 60)}
				bubble(t, cfg, func(t *testing.T, chip *espsim.Chip) {
					t.Logf("%+v", cfg.Faults)
					data := content(mode.size, seed)
					s := connect(t, chip, esprom.Options{NoStub: mode.noStub})
					write(t, s, slot0, data)
					holds(t, chip, slot0, data)
				})
			})
		}
	}
}

// TestNoise: under noise of any strength, a write that says it succeeded did.
// Up to a byte in ten thousand it does.
func TestNoise(t *testing.T) {
	for _, noStub := range []bool{false, true} {
		for seed := range uint64(12) {
			for _, rate := range []float64{1e-5, 1e-4, 1e-3} {
				t.Run(fmt.Sprintf("noStub=%v/%g/%d", noStub, rate, seed), func(t *testing.T) {
					line := espsim.LineFaults{Noise: rate, Seed: seed}
					cfg := espsim.Config{Unpaced: true, Faults: espsim.Faults{ToChip: line, ToHost: line}}
					bubble(t, cfg, func(t *testing.T, chip *espsim.Chip) {
						data := content(40_000, seed)
						s, err := esprom.Connect(t.Context(), chip.Open(), buttons{chip}, options(t, esprom.Options{NoStub: noStub}))
						if err == nil {
							_, err = s.Write(t.Context(), slot0, data, nil)
						}
						if err == nil {
							holds(t, chip, slot0, data)
						} else if rate < 1e-3 {
							t.Errorf("gave up: %v", err)
						} else {
							t.Logf("gave up: %v", err)
						}
					})
				})
			}
		}
	}
}

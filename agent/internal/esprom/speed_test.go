package esprom_test

import (
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// TestLineIsTheBottleneck: at 921600 baud and with the flash timing of a common
// part, nearly all the time from the reset on goes into bytes on the line. The
// figures are exact: the simulated chip runs on fake time.
func TestLineIsTheBottleneck(t *testing.T) {
	img, err := testimage.Build(testimage.Spec{Version: "0.2.1", Size: 1_388_912})
	if err != nil {
		t.Fatal(err)
	}
	flash := content(8<<20, 1) // used flash: it has to be erased
	bubble(t, espsim.Config{Timing: espsim.RealTiming(), Flash: flash}, func(t *testing.T, chip *espsim.Chip) {
		for _, round := range []struct {
			name  string
			spare time.Duration // beyond the time of the bytes
			bytes uint64
		}{{"first write", 300 * time.Millisecond, 840_000}, {"again", 250 * time.Millisecond, 11_000}} {
			chip.SetFaults(espsim.Faults{}) // counters to zero
			start := time.Now()
			s := connect(t, chip, esprom.Options{Ahead: esprom.Pack(img)})
			connected := time.Since(start)
			write(t, s, slot0, img)
			if err := s.Close(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			took, n := time.Since(start), chip.Counters().BytesToChip
			line := time.Duration(n) * 10 * time.Second / 921600
			t.Logf("%s: connected after %v, done after %v, of which %v for %d bytes to the chip", round.name, connected, took, line, n)
			if took-line > round.spare {
				t.Errorf("%s: %v besides the bytes, want %v at most", round.name, took-line, round.spare)
			}
			if n > round.bytes {
				t.Errorf("%s: %d bytes to the chip, want %d at most", round.name, n, round.bytes)
			}
		}
	})
}

// BenchmarkWrite is what a whole update costs the processor, over a line that
// takes no time.
func BenchmarkWrite(b *testing.B) {
	img, err := testimage.Build(testimage.Spec{Version: "0.2.1", Size: 1_388_912})
	if err != nil {
		b.Fatal(err)
	}
	chip, err := espsim.New(espsim.Config{Unpaced: true})
	if err != nil {
		b.Fatal(err)
	}
	defer chip.Close()
	blank := chip.Snapshot()
	b.SetBytes(int64(len(img)))
	for b.Loop() {
		b.StopTimer()
		chip.Restore(blank)
		b.StartTimer()
		s, err := esprom.Connect(b.Context(), chip.Open(), buttons{chip}, esprom.Options{Chip: image.ESP32S3, Stubs: stubs(), Ahead: esprom.Pack(img)})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Write(b.Context(), slot0, img, nil); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(b.Context(), false); err != nil {
			b.Fatal(err)
		}
	}
}

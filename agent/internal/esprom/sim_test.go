package esprom_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

// buttons resets a simulated chip as its buttons would.
type buttons struct{ chip *espsim.Chip }

func (b buttons) Bootloader(context.Context, int) error { b.chip.ResetToBootloader(); return nil }
func (b buttons) Run(context.Context) error             { b.chip.ResetToApp(); return nil }

func TestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip, err := espsim.New(espsim.Config{Timing: espsim.RealTiming()})
		if err != nil {
			t.Fatal(err)
		}
		defer chip.Close()
		p := chip.Open()
		start := time.Now()
		s, err := esprom.Connect(t.Context(), p, buttons{chip}, esprom.Options{Chip: image.ESP32S3, Log: testLog(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v after %v, %+v", s.Info(), time.Since(start), chip.Counters())
		data := content(1388912, 1)
		start = time.Now()
		if err := s.Write(t.Context(), 0x220000, data, nil); err != nil {
			t.Fatal(err)
		}
		t.Logf("written in %v %+v", time.Since(start), chip.Counters())
		start = time.Now()
		if err := s.Write(t.Context(), 0x220000, data, nil); err != nil {
			t.Fatal(err)
		}
		t.Logf("again in %v %+v", time.Since(start), chip.Counters())
		s.Close(t.Context(), true)
	})
}

package espsim

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"
)

// writeImage writes an image through the stub as a flasher would; false when
// the chip stopped answering.
func (h *host) writeImage(t *testing.T, addr uint32, img []byte) bool {
	t.Helper()
	if status(t, h.ask(opFlashBegin, begin(len(img), 0x1000, addr)), true) != 0 {
		return false
	}
	for seq := 0; seq*0x1000 < len(img); seq++ {
		b := img[seq*0x1000 : min((seq+1)*0x1000, len(img))]
		if status(t, h.block(opFlashData, uint32(seq), b), true) != 0 {
			return false
		}
	}
	return status(t, h.ask(opFlashEnd, words(1)), true) == 0
}

// switchTo writes an image and then the other OTA data entry.
func (h *host) switchTo(t *testing.T) bool {
	t.Helper()
	return h.writeImage(t, 0x420000, tinyImage("0.2.1", "good")) &&
		h.writeImage(t, otadataAt+sectorSize, entry(2, stateNew).bytes())
}

// A power cut at any flash operation of an update, the boot and the
// confirmation after it included, leaves a chip that boots one of the two.
func TestCutAtEveryFlashOperation(t *testing.T) {
	flash, err := Provision(0, 0, map[string][]byte{"ota_0": tinyImage("0.2.0", "good")})
	if err != nil {
		t.Fatal(err)
	}
	putEntry(flash, 0, entry(1, stateValid))
	clearTo(flash[0x420000:0x430000], 0) // something to erase
	for _, rollback := range []bool{true, false} {
		for _, tear := range []Tear{TearBefore, TearHalf, TearAfter} {
			t.Run(fmt.Sprintf("rollback=%v/tear=%s", rollback, tearNames[tear]), func(t *testing.T) {
				bubble(t, Config{Flash: flash, Rollback: rollback, Unpaced: true, NoStub: false}, func(t *testing.T, c *Chip) {
					cutEverywhere(t, c, tear)
				})
			})
		}
	}
}

func cutEverywhere(t *testing.T, c *Chip, tear Tear) {
	waitFor(t, c, "the application", func(s AppStatus) bool { return s.SelfTest == "passed" })
	start := c.Snapshot()
	for n := uint64(1); ; n++ {
		c.Restore(start)
		h := withStub(t, c)
		c.SetFaults(Faults{CutAtFlashOp: n, Tear: tear})
		done := h.switchTo(t)
		if done {
			c.ResetToApp()
		}
		// Time for boot and confirmation; the cut may come in them.
		time.Sleep(20 * time.Second)
		cut := c.App().Mode == ModeOff
		if ops := c.Counters().FlashOps; !cut && ops < n {
			if s := c.App(); s.Version != "0.2.1" || s.OTAState != "valid" {
				t.Fatalf("uncut: %+v", s)
			}
			t.Logf("%d operations", ops)
			_ = h.p.Close()
			return
		}
		c.SetFaults(Faults{})
		c.PowerCut()
		c.PowerOn()
		s := waitFor(t, c, "an application", func(s AppStatus) bool { return s.SelfTest == "passed" })
		if s.OTAState != "valid" && s.OTAState != "undefined" {
			t.Fatalf("cut at %d: %+v", n, s)
		}
		if !done && s.Version != "0.2.0" && !bytes.Equal(c.Flash()[otadataAt+sectorSize:][:32], entry(2, stateValid).bytes()) {
			t.Fatalf("cut at %d: %s runs before it was switched to", n, s.Version)
		}
		_ = h.p.Close()
	}
}

func TestByteFaults(t *testing.T) {
	var f faultState
	for name, tt := range map[string]struct {
		plan Faults
		want string
		hit  fate
	}{
		"none":      {Faults{}, "abcdef", fate{}},
		"drop":      {Faults{ToChip: LineFaults{DropByte: 2}}, "acdef", fate{}},
		"garble":    {Faults{ToChip: LineFaults{GarbleByte: 1}}, "Ebcdef", fate{}},
		"duplicate": {Faults{ToChip: LineFaults{DuplicateByte: 6}}, "abcdeff", fate{}},
		"pull":      {Faults{PullAtByte: 4}, "abc", fate{pull: true}},
		"cut":       {Faults{CutAtByte: 1}, "", fate{cut: true}},
		"other way": {Faults{ToHost: LineFaults{DropByte: 2}}, "abcdef", fate{}},
	} {
		f.arm(tt.plan)
		got, hit := f.bytes(toChip, []byte("abcdef"))
		if string(got) != tt.want || hit != tt.hit {
			t.Errorf("%s: %q %+v, want %q %+v", name, got, hit, tt.want, tt.hit)
		}
	}
}

func TestNoiseComesFromItsSeed(t *testing.T) {
	var f faultState
	noisy := func(seed uint64) []byte {
		f.arm(Faults{ToChip: LineFaults{Noise: 0.01, Seed: seed}})
		got, _ := f.bytes(toChip, make([]byte, 10_000))
		return got
	}
	a, b, c := noisy(1), noisy(1), noisy(2)
	hits := 10_000 - bytes.Count(a, []byte{0})
	if !bytes.Equal(a, b) || bytes.Equal(a, c) || hits < 60 || hits > 140 {
		t.Errorf("%d hits of 10,000", hits)
	}
}

func TestFrameFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		plan    Faults
		answers int
	}{
		"request lost":      {Faults{ToChip: LineFaults{DropFrame: 1}}, 0},
		"request twice":     {Faults{ToChip: LineFaults{DuplicateFrame: 1}}, 2},
		"answer lost":       {Faults{ToHost: LineFaults{DropFrame: 1}}, 0},
		"answer twice":      {Faults{ToHost: LineFaults{DuplicateFrame: 1}}, 2},
		"power at request":  {Faults{ToChip: LineFaults{CutFrame: 1}}, 0},
		"nothing yet":       {Faults{ToChip: LineFaults{DropFrame: 2}}, 1},
		"power at answer":   {Faults{ToHost: LineFaults{CutFrame: 1}}, 0},
		"garbled goes wide": {Faults{ToHost: LineFaults{GarbleFrame: 1}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, c *Chip) {
				h := loader(t, c)
				c.SetFaults(tt.plan)
				h.write(encodeFrame(packet(opReadReg, 0, words(detectReg))))
				n := 0
				for h.frame() != nil {
					n++
				}
				if n != tt.answers {
					t.Errorf("%d answers, want %d", n, tt.answers)
				}
			})
		})
	}
}

func TestPulledCableLetsTheOldFirmwareRun(t *testing.T) {
	flash := allSlots(t)
	bubble(t, Config{Flash: flash}, func(t *testing.T, c *Chip) {
		h := withStub(t, c)
		c.SetFaults(Faults{PullAtByte: 3000})
		data := pattern(0x4000)
		_, err := h.p.Write(encodeFrame(packet(opFlashBegin, 0, begin(len(data), 0x4000, 0x420000))))
		for i := 0; err == nil && i < 100; i++ {
			_, err = h.p.Write(data)
		}
		if !errors.Is(err, ErrUnplugged) {
			t.Errorf("writing ends with %v", err)
		}
		c.Plug()
		c.ResetToApp()
		s := waitFor(t, c, "the application", func(s AppStatus) bool { return s.Running })
		if s.Slot != "factory" {
			t.Errorf("runs %s", s.Slot)
		}
	})
}

// A reset does not tear what the flash is doing, a power cut does.
func TestWhatTearsAnErase(t *testing.T) {
	for name, tt := range map[string]struct {
		stop func(*Chip)
		torn bool
	}{
		"reset": {(*Chip).ResetToBootloader, false},
		"power": {(*Chip).PowerCut, true},
	} {
		bubble(t, Config{Flash: make([]byte, 8<<20), Timing: RealTiming()}, func(t *testing.T, c *Chip) {
			h := withStub(t, c)
			h.write(encodeFrame(packet(opEraseRegion, 0, words(somewhere&^0xFFFF, 65536))))
			time.Sleep(100 * time.Millisecond) // of 150
			tt.stop(c)
			got := c.Flash()[somewhere&^0xFFFF:][:65536]
			if torn := !blank(got); torn != tt.torn || blank(got[:32768]) != true {
				t.Errorf("%s: torn %v, want %v", name, torn, tt.torn)
			}
		})
	}
}

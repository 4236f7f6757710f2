package esp32_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/agent/internal/esprom/deflate"
	"github.com/robot-platform/robot-ota/agent/internal/slots"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// buttons resets a simulated chip as its buttons would.
type buttons struct{ chip *espsim.Chip }

func (b buttons) Bootloader(context.Context, int) error { b.chip.ResetToBootloader(); return nil }
func (b buttons) Run(context.Context) error             { b.chip.ResetToApp(); return nil }

// stubs has one of the size of Espressif's, which a checkout has only after its
// set-up.
func stubs() fs.FS {
	program := make([]byte, 8668)
	for i := range program {
		program[i] = byte(i * 7)
	}
	code := base64.StdEncoding.EncodeToString(program)
	data := base64.StdEncoding.EncodeToString(program[:264])
	return fstest.MapFS{"esp32s3.json": {Data: fmt.Appendf(nil, `{"entry":%d,"text":%q,"text_start":%d,"data":%q,"data_start":%d}`,
		0x40378100, code, 0x40378000, data, 0x3FCB2DC4)}}
}

// framed is how many bytes on the line bring p to the stub: the smallest zlib
// stream, in blocks of 16 KiB with 26 bytes around, C0 and DB doubled.
func framed(p []byte) int {
	z := deflate.Zlib(p)
	return len(z) + bytes.Count(z, []byte{0xC0}) + bytes.Count(z, []byte{0xDB}) + (len(z)+16<<10-1)/(16<<10)*26
}

// changed are the parts of img, in sectors, that before does not hold.
func changed(before, img []byte) int {
	const sector = 4 << 10
	sum := 0
	for from := 0; from < len(img); {
		to := from
		for to < len(img) && !bytes.Equal(before[to:min(to+sector, len(img))], img[to:min(to+sector, len(img))]) {
			to = min(to+sector, len(img))
		}
		if to > from {
			sum += framed(img[from:to])
		}
		from = max(to, from+sector)
	}
	return sum
}

// stay is how long an update takes from the reset into the loader to the reset
// out of it, by steps, in fake time.
func stay(t *testing.T, flash []byte, baud int, v image.Verified, held esprom.Held, ahead *esprom.Ahead) (took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		chip, err := espsim.New(espsim.Config{Timing: espsim.RealTiming(), Flash: flash, Rollback: true})
		if err != nil {
			t.Fatal(err)
		}
		defer chip.Close()
		time.Sleep(time.Second) // it boots
		start := time.Now()
		var said []any
		step := func(name string, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			said = append(said, name, time.Since(start))
		}
		s, err := esprom.Connect(t.Context(), chip.Open(), buttons{chip}, esprom.Options{
			Chip: image.ESP32S3, Baud: baud, Stubs: stubs(), Ahead: ahead, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		step("connected", err)
		d := slots.New(s, s.Info().FlashSize, s.Info().Chip)
		l, err := d.Inspect(t.Context())
		step("inspected", err)
		s.Expect(0x220000, held)
		step("written", d.Write(t.Context(), l.Inactive, v, nil))
		step("attested", d.Attest(t.Context(), l.Inactive, v))
		step("switched", d.Switch(t.Context(), l.Boots, l.Inactive))
		step("closed", s.Close(t.Context(), true))
		took = time.Since(start)
		t.Log(said...)
		if !bytes.Equal(chip.Flash()[0x220000:][:v.Size()], payload(t, v)) {
			t.Error("the slot does not hold the image")
		}
	})
	return took
}

// TestDowntime: the time in the loader is spent on bytes that cannot be done
// without. The line and the flash, with the timing of a common part, are the
// simulator's; the time is fake, so the figures are exact and the same anywhere.
func TestDowntime(t *testing.T) {
	build := func(version string) []byte {
		t.Helper()
		img, err := testimage.Build(testimage.Spec{Version: version, Size: 1_388_912})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	img := build("0.2.1")
	v := verified(t, img)
	running := build("0.2.0")
	edited := func(at ...int) []byte {
		b := bytes.Clone(img)
		for _, i := range at {
			b[i] ^= 0x5A
		}
		return b
	}
	moved := bytes.Clone(img)
	copy(moved[len(img)/2+64:], img[len(img)/2:])
	other, few, version := build("0.1.9"), edited(32<<10, 672<<10, 1312<<10), edited(50, 180, len(img)-5)
	ahead := esprom.PackSmall(img)
	ahead.Wait()

	floors := make(map[*byte]int)
	for _, tc := range []struct {
		name   string
		before []byte
		held   []byte // what the slot is known to have held
		baud   int
		part   int           // per cent of the time that the needed bytes take, at the least
		most   time.Duration // besides
	}{
		// 170 ms to connect, of which 110 upload the stub, and 108 for the MD5.
		{"first write", other, nil, 921600, 96, 370 * time.Millisecond},
		{"first write", other, nil, 460800, 97, 540 * time.Millisecond},
		{"first write", other, nil, 115200, 97, 1500 * time.Millisecond},
		// The flash is at work for 5.5 s.
		{"first write", other, nil, 2_000_000, 62, 2450 * time.Millisecond},
		{"small change", few, nil, 921600, 0, 640 * time.Millisecond},
		{"version only", version, nil, 921600, 0, 520 * time.Millisecond},
		{"large change", moved, nil, 921600, 85, 800 * time.Millisecond},
		{"no change", img, nil, 921600, 0, 330 * time.Millisecond},
		{"first write, known", other, other, 921600, 96, 370 * time.Millisecond},
		{"small change, known", few, few, 921600, 0, 390 * time.Millisecond},
		{"version only, known", version, version, 921600, 0, 400 * time.Millisecond},
		{"large change, known", moved, moved, 921600, 87, 670 * time.Millisecond},
		{"no change, known", img, img, 921600, 0, 330 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%s at %d", tc.name, tc.baud), func(t *testing.T) {
			flash, err := espsim.Provision(espsim.DefaultFlashSize, 0, map[string][]byte{"factory": running})
			if err != nil {
				t.Fatal(err)
			}
			copy(flash[0x220000:], tc.before)
			if _, ok := floors[&tc.before[0]]; !ok {
				floors[&tc.before[0]] = changed(tc.before, img)
			}
			line := time.Duration(floors[&tc.before[0]]) * 10 * time.Second / time.Duration(tc.baud)
			took := stay(t, flash, tc.baud, v, esprom.HeldOf(tc.held), ahead)
			part := float64(100*line) / float64(took)
			t.Logf("%v, of which the bytes take %v, %.1f %%", took, line, part)
			if part < float64(tc.part) || took-line > tc.most {
				t.Errorf("%v for bytes that take %v, %.1f %%; want %d %% at least and %v besides at most", took, line, part, tc.part, tc.most)
			}
		})
	}
}

// verified signs and verifies an application.
func verified(t *testing.T, app []byte) image.Verified {
	t.Helper()
	f := newFiles(t)
	f.offer(t, app)
	v, err := f.Verify(t.Context(), "", image.Policy{Chip: image.ESP32S3})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func payload(t *testing.T, v image.Verified) []byte {
	t.Helper()
	b, err := io.ReadAll(v.Payload())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

package esprom_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slot0 is where the fleet's table puts ota_0.
const slot0 = 0x220000

// content is n bytes that deflate to about 0.6 of that, as code does.
func content(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, 0, n+64)
	for len(b) < n {
		if len(b) > 64 && r.IntN(3) > 0 {
			from := r.IntN(len(b) - 32)
			if far := len(b) - 30000; from < far {
				from = far + r.IntN(20000)
			}
			b = append(b, b[from:from+4+r.IntN(8)]...)
			continue
		}
		for range 4 {
			b = append(b, byte(r.Uint32()))
		}
	}
	return b[:n]
}

// testLog logs to the test.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// buttons resets a simulated chip as its buttons would.
type buttons struct{ chip *espsim.Chip }

func (b buttons) Bootloader(context.Context, int) error { b.chip.ResetToBootloader(); return nil }
func (b buttons) Run(context.Context) error             { b.chip.ResetToApp(); return nil }

// noReset has no effect, as without reset lines.
type noReset struct{}

func (noReset) Bootloader(context.Context, int) error { return nil }
func (noReset) Run(context.Context) error             { return nil }

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

// stubs stand in for Espressif's, which a checkout has only after its set-up:
// the simulated chip takes any code that lies where code may lie.
func stubs() fs.FS {
	text := base64.StdEncoding.EncodeToString(content(8_000, 77))
	file := func(start, data int) *fstest.MapFile {
		return &fstest.MapFile{Data: fmt.Appendf(nil, `{"entry":%d,"text":%q,"text_start":%d,"data":"AQIDBA==","data_start":%d}`,
			start+0x100, text, start, data)}
	}
	return fstest.MapFS{
		"esp32s3.json": file(0x40378000, 0x3FCB2DC4),
		"esp32.json":   file(0x400A8000, 0x3FFDED6C),
	}
}

// options are o with what a test wants by default.
func options(t *testing.T, o esprom.Options) esprom.Options {
	t.Helper()
	if o.Chip == image.ESP32 {
		o.Chip = image.ESP32S3
	}
	if o.Stubs == nil {
		o.Stubs = stubs()
	}
	o.Log = testLog(t)
	return o
}

// connect opens a session over the chip's port and buttons.
func connect(t *testing.T, chip *espsim.Chip, o esprom.Options) *esprom.Session {
	t.Helper()
	return connectBy(t, chip.Open(), buttons{chip}, o)
}

func connectBy(t *testing.T, p esprom.Port, r esprom.Resetter, o esprom.Options) *esprom.Session {
	t.Helper()
	s, err := esprom.Connect(t.Context(), p, r, options(t, o))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, s *esprom.Session, off uint32, data []byte) {
	t.Helper()
	if _, err := s.Write(t.Context(), off, data, nil); err != nil {
		t.Fatal(err)
	}
}

// holds fails unless the flash holds data at off.
func holds(t *testing.T, chip *espsim.Chip, off int, data []byte) {
	t.Helper()
	if !bytes.Equal(chip.Flash()[off:off+len(data)], data) {
		t.Errorf("flash at %#x does not hold what was written", off)
	}
}

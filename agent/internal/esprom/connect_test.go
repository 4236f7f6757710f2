package esprom_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

func TestConnect(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  espsim.Config
		opts esprom.Options
		want esprom.Info
	}{
		{
			"esp32s3", espsim.Config{}, esprom.Options{},
			esprom.Info{Chip: image.ESP32S3, Name: "ESP32-S3", FlashSize: 8 << 20, Stub: true, Baud: 921600},
		},
		{
			"slower", espsim.Config{FlashSize: 4 << 20}, esprom.Options{Baud: 460800},
			esprom.Info{Chip: image.ESP32S3, Name: "ESP32-S3", FlashSize: 4 << 20, Stub: true, Baud: 460800},
		},
		{
			"rom only", espsim.Config{}, esprom.Options{NoStub: true},
			esprom.Info{Chip: image.ESP32S3, Name: "ESP32-S3", FlashSize: 8 << 20, Baud: 921600},
		},
		{
			"stub does not start", espsim.Config{NoStub: true}, esprom.Options{},
			esprom.Info{Chip: image.ESP32S3, Name: "ESP32-S3", FlashSize: 8 << 20, Baud: 921600},
		},
		{
			"no stub image", espsim.Config{}, esprom.Options{Stubs: os.DirFS(t.TempDir())},
			esprom.Info{Chip: image.ESP32S3, Name: "ESP32-S3", FlashSize: 8 << 20, Baud: 921600},
		},
		{ // the ROM of this chip does not start code in RAM then
			"secure boot", espsim.Config{Security: espsim.Security{SecureBoot: true}}, esprom.Options{},
			esprom.Info{Chip: image.ESP32S3, Name: "ESP32-S3", FlashSize: 8 << 20, SecureBoot: true, Baud: 921600},
		},
		{ // an even count of bits: encryption was switched off again
			"encryption off", espsim.Config{Security: espsim.Security{FlashCryptCount: 3}}, esprom.Options{},
			esprom.Info{Chip: image.ESP32S3, Name: "ESP32-S3", FlashSize: 8 << 20, Stub: true, Baud: 921600},
		},
		{
			"esp32", espsim.Config{Model: espsim.ESP32, FlashSize: 4 << 20}, esprom.Options{Chip: image.AnyChip},
			esprom.Info{Chip: image.ESP32, Name: "ESP32", FlashSize: 4 << 20, Stub: true, Baud: 921600},
		},
		{
			"esp32 rom only", espsim.Config{Model: espsim.ESP32, FlashSize: 4 << 20}, esprom.Options{Chip: image.AnyChip, NoStub: true},
			esprom.Info{Chip: image.ESP32, Name: "ESP32", FlashSize: 4 << 20, Baud: 921600},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, tc.cfg, func(t *testing.T, chip *espsim.Chip) {
				s := connect(t, chip, tc.opts)
				tc.want.MAC = [6]byte{0x7c, 0xdf, 0xa1, 0x4f, 0x42, 0x01}
				if got := s.Info(); got != tc.want {
					t.Errorf("got  %+v\nwant %+v", got, tc.want)
				}
				data := content(20_000, 1)
				write(t, s, 0x100000, data)
				holds(t, chip, 0x100000, data)
				if err := s.Close(t.Context(), true); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				if m := chip.App().Mode; m == espsim.ModeDownload {
					t.Error("the chip still is in its bootloader")
				}
			})
		})
	}
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cfg    espsim.Config
		reason esprom.Refusal
		text   string
	}{
		{"other chip", espsim.Config{Model: espsim.ESP32}, esprom.RefusedOtherChip, "this is an ESP32 where an ESP32-S3 is configured"},
		{"secure download", espsim.Config{Security: espsim.Security{SecureDownload: true}}, esprom.RefusedSecureDownload, "secure download mode"},
		{"encryption", espsim.Config{Security: espsim.Security{FlashCryptCount: 7}}, esprom.RefusedFlashEncryption, "flash encryption is on"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, tc.cfg, func(t *testing.T, chip *espsim.Chip) {
				before := chip.Flash()
				_, err := esprom.Connect(t.Context(), chip.Open(), buttons{chip}, options(t, esprom.Options{}))
				var refused *esprom.RefusedError
				if !errors.As(err, &refused) || refused.Reason != tc.reason || !strings.Contains(err.Error(), tc.text) {
					t.Fatalf("got %v, want %v: …%s…", err, tc.reason, tc.text)
				}
				if !refused.Final() || refused.Code() != string(tc.reason) {
					t.Errorf("code %q, final %v", refused.Code(), refused.Final())
				}
				if !bytes.Equal(before, chip.Flash()) {
					t.Error("the flash was changed")
				}
				time.Sleep(time.Second)
				if m := chip.App().Mode; m == espsim.ModeDownload {
					t.Error("the chip was left in its bootloader")
				}
			})
		})
	}
}

// TestStubLeftBehind: an earlier process was killed and left the stub running,
// at its speed, in the middle of something; and resets have no effect.
func TestStubLeftBehind(t *testing.T) {
	frame := func(p []byte) []byte { // by hand: what a killed process had sent
		b := []byte{0xC0}
		for _, c := range p {
			switch c {
			case 0xC0:
				b = append(b, 0xDB, 0xDC)
			case 0xDB:
				b = append(b, 0xDB, 0xDD)
			default:
				b = append(b, c)
			}
		}
		return append(b, 0xC0)
	}
	command := func(op byte, words ...uint32) []byte {
		b := []byte{0, op, byte(4 * len(words)), 0, 0, 0, 0, 0}
		for _, w := range words {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		return frame(b)
	}
	begin := command(0x10, 100_000, 4, 0x4000, slot0, 0)
	for _, tc := range []struct {
		name string
		baud int
		sent []byte
	}{
		{"idle", 921600, nil},
		{"idle, slow", 115200, nil},
		{"spare border", 921600, []byte{0xC0}},
		{"in a frame", 921600, begin[:9]},
		{"in an escape", 921600, []byte{0xC0, 0x00, 0x10, 0xDB}},
		{"in a deflated transfer", 921600, begin},
		{"in a block", 460800, append(slices.Clone(begin), 0xC0, 0, 0x11, 0x10, 0x40, 1, 2, 3)},
		{"in a raw transfer", 921600, command(0x02, 0x2000, 8, 0x400, slot0)},
		{"reading", 921600, command(0xD2, 0, 0x10000, 0x1000, 64)},
		{"a late failure", 921600, append(slices.Clone(begin), frame([]byte{0, 0x11, 0x12, 0, 0xEF ^ 1 ^ 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2})...)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, espsim.Config{}, func(t *testing.T, chip *espsim.Chip) {
				old := chip.Open()
				connectBy(t, old, buttons{chip}, esprom.Options{Baud: tc.baud})
				if _, err := old.Write(tc.sent); err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
				old.Close()

				before := chip.Counters().BytesToChip
				s := connectBy(t, chip.Open(), noReset{}, esprom.Options{})
				if n := chip.Counters().BytesToChip - before; n > 2_000 {
					t.Errorf("%d bytes were sent: the stub was uploaded again", n)
				}
				if info := s.Info(); !info.Stub || info.Baud != 921600 {
					t.Errorf("got %+v", info)
				}
				data := content(50_000, 2)
				write(t, s, slot0, data)
				holds(t, chip, slot0, data)
			})
		})
	}
}

// A line that was noisy is begun lower, and a stub that was left at the full
// speed is found all the same.
func TestConnectBeginsLower(t *testing.T) {
	for _, tc := range []struct {
		name        string
		begin, want int
	}{
		{"lower", 460800, 460800},
		{"not lower", 2_000_000, 921600},
		{"no speed", 300, 921600},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, espsim.Config{}, func(t *testing.T, chip *espsim.Chip) {
				old := chip.Open()
				connectBy(t, old, buttons{chip}, esprom.Options{Baud: 921600})
				old.Close()
				for _, reset := range []esprom.Resetter{noReset{}, buttons{chip}} {
					port := chip.Open()
					s := connectBy(t, port, reset, esprom.Options{Begin: tc.begin})
					if info := s.Info(); !info.Stub || info.Baud != tc.want {
						t.Errorf("got %+v, want the stub at %d baud", info, tc.want)
					}
					data := content(50_000, 2)
					write(t, s, slot0, data)
					holds(t, chip, slot0, data)
					port.Close()
				}
			})
		})
	}
}

// mute is a port on which an app, or nobody, talks.
type mute struct {
	mu    sync.Mutex
	says  []byte // after each reset
	rx    []byte
	wait  time.Duration
	reset int
}

func (m *mute) Write(p []byte) (int, error) { return len(p), nil }
func (m *mute) SetBaud(int) error           { return nil }
func (m *mute) Read(p []byte) (int, error) {
	m.mu.Lock()
	n := copy(p, m.rx)
	m.rx = m.rx[n:]
	wait := m.wait
	m.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	time.Sleep(wait)
	return 0, os.ErrDeadlineExceeded
}

func (m *mute) SetReadTimeout(d time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wait = d
	return nil
}

func (m *mute) Bootloader(context.Context, int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reset++
	m.rx = slices.Clone(m.says)
	return nil
}
func (m *mute) Run(context.Context) error { return nil }

func TestNobodyAnswers(t *testing.T) {
	for _, tc := range []struct {
		name  string
		says  string
		heard esprom.Heard
		kind  error
		text  string
	}{
		{"nothing", "", esprom.HeardNothing, esprom.ErrSilent, "nothing came; check the cable"},
		{
			"app", "ESP-ROM:esp32s3-20210327\r\nrst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n",
			esprom.HeardApp, esprom.ErrSilent, "runs its application instead of the bootloader",
		},
		{
			"one way", "rst:0x1 (POWERON),boot:0x0 (DOWNLOAD(USB/UART0))\r\nwaiting for download\r\n",
			esprom.HeardDownload, esprom.ErrSilent, "check the wire from our TX",
		},
		{"garbage", "\x80\x1f\xf8\x06\x9e\xfe\x80\x00\x1e", esprom.HeardGarbage, esprom.ErrNoise, "only garbage came"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &mute{says: []byte(tc.says), wait: time.Second}
				start := time.Now()
				_, err := esprom.Connect(t.Context(), m, m, options(t, esprom.Options{}))
				var ce *esprom.ConnectError
				if !errors.As(err, &ce) || ce.Heard != tc.heard || !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) {
					t.Fatalf("got %v", err)
				}
				if m.reset != 7 {
					t.Errorf("%d resets, want 7", m.reset)
				}
				if took := time.Since(start); took > 10*time.Second || tc.heard == esprom.HeardApp && took > 2*time.Second {
					t.Errorf("it took %v to say so", took)
				}
			})
		})
	}
}

type brokenReset struct{ noReset }

var errNoCommand = errors.New("reset command not found")

func (brokenReset) Bootloader(context.Context, int) error { return errNoCommand }

func TestResetFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := esprom.Connect(t.Context(), &mute{wait: time.Second}, brokenReset{}, options(t, esprom.Options{}))
		if !errors.Is(err, errNoCommand) || !errors.Is(err, esprom.ErrSilent) || !strings.Contains(err.Error(), "resetting the chip failed") {
			t.Fatal(err)
		}
	})
}

func TestBadOptions(t *testing.T) {
	for _, baud := range []int{-1, 9600, 6_000_000} {
		if _, err := esprom.Connect(t.Context(), &mute{}, noReset{}, esprom.Options{Baud: baud}); err == nil {
			t.Errorf("%d baud was taken", baud)
		}
	}
}

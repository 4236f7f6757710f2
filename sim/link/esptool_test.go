package link_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/link"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// esptool is Espressif's own, the oracle. The environment names it; make test
// sets that up.
func esptool(t *testing.T) string {
	t.Helper()
	path := os.Getenv("ROBOT_OTA_ESPTOOL")
	if path == "" {
		t.Skip("ROBOT_OTA_ESPTOOL does not name an esptool: make test does")
	}
	return path
}

// run runs esptool and wants each of the texts in what it says.
func run(t *testing.T, want []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, esptool(t), args...)
	cmd.Env = append(os.Environ(), "ESPTOOL_CFGFILE="+os.DevNull, "TERM=dumb")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("esptool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	for _, w := range want {
		if !strings.Contains(string(out), w) {
			t.Errorf("esptool %s: no %q in\n%s", strings.Join(args, " "), w, out)
		}
	}
	return string(out)
}

func image(t *testing.T, s testimage.Spec) []byte {
	t.Helper()
	img, err := testimage.Build(s)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func chipWith(t *testing.T, cfg espsim.Config) *espsim.Chip {
	t.Helper()
	flash, err := espsim.Provision(0, 0, map[string][]byte{"factory": image(t, testimage.Spec{Version: "0.2.0"})})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Flash = flash
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	c, err := espsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve runs a link until the test ends.
func serve(t *testing.T, s interface{ Serve(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("link: %v", err)
		}
	})
}

func overRFC2217(t *testing.T, c *espsim.Chip) []string {
	t.Helper()
	s, err := link.ListenRFC2217(t.Context(), c, "127.0.0.1:0", slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	return []string{"--port", "rfc2217://" + s.Addr()}
}

func overPTY(t *testing.T, c *espsim.Chip) []string {
	t.Helper()
	p, err := link.OpenPTY(c, filepath.Join(t.TempDir(), "tty"), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, p)
	return []string{"--port", p.Path(), "--before", "no-reset", "--after", "no-reset"}
}

func TestEsptool(t *testing.T) {
	esptool(t)
	ports := map[string]func(*testing.T, *espsim.Chip) []string{"rfc2217": overRFC2217, "pty": overPTY}
	for name, port := range ports {
		for _, stub := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/stub=%v", name, stub), func(t *testing.T) {
				// pyserial takes 50 ms for each of the several flushes that
				// esptool does around each command over RFC 2217.
				t.Parallel()
				c := chipWith(t, espsim.Config{Rollback: true})
				args := append(port(t, c), "--baud", "921600")
				if !stub {
					args = append(args, "--no-stub")
				}
				tryEverything(t, c, args)
			})
		}
	}
}

// tryEverything lets esptool do what it can do, and looks at the flash behind
// its back.
func tryEverything(t *testing.T, c *espsim.Chip, port []string) {
	do := func(want []string, args ...string) string {
		t.Helper()
		if strings.Contains(strings.Join(port, " "), "no-reset") {
			c.ResetToBootloader()
		}
		return run(t, want, append(append([]string(nil), port...), args...)...)
	}
	dir := t.TempDir()
	img := image(t, testimage.Spec{Version: "0.2.1", Size: 20_000})
	file := filepath.Join(dir, "image.bin")
	if err := os.WriteFile(file, img, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, []string{"ESP32-S3", "Checksum: ", "(valid)", "0.2.1"}, "image-info", file)

	do([]string{"ESP32-S3 (QFN56) (revision v0.2)", "7c:df:a1:4f:42:01"}, "chip-id")
	do([]string{"Manufacturer: 20", "Device: 4017", "Detected flash size: 8MB"}, "flash-id")
	do([]string{"Hash of data verified"}, "write-flash", "0x220000", file)
	if got := c.Flash()[0x220000 : 0x220000+len(img)]; !bytes.Equal(got, img) {
		t.Fatal("the flash does not hold what was written")
	}
	do([]string{"Verification successful"}, "verify-flash", "0x220000", file)
	back := filepath.Join(dir, "back.bin")
	do(nil, "read-flash", "0x220000", "600", back)
	got, err := os.ReadFile(back)
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(got) != sha256.Sum256(img[:600]) {
		t.Error("read-flash read something else")
	}
	if strings.Contains(strings.Join(port, " "), "--no-stub") {
		return // the ROM has no erase of its own
	}
	do(nil, "erase-region", "0x221000", "0x2000")
	flash := c.Flash()
	if !bytes.Equal(flash[0x220000:0x221000], img[:0x1000]) || !bytes.Equal(flash[0x223000:0x224000], img[0x3000:0x4000]) {
		t.Error("erase-region erased its neighbours")
	}
	for i, b := range flash[0x221000:0x223000] {
		if b != 0xFF {
			t.Fatalf("byte %#x is %#x after erase-region", 0x221000+i, b)
		}
	}
}

// After a reset by esptool the chip boots what it holds.
func TestEsptoolResetsIntoApplication(t *testing.T) {
	esptool(t)
	t.Parallel()
	c := chipWith(t, espsim.Config{})
	port := overRFC2217(t, c)
	run(t, []string{"Hard resetting"}, append(port, "chip-id")...)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s, err := c.WaitApp(ctx, func(s espsim.AppStatus) bool { return s.Running })
	if err != nil || s.Slot != "factory" || s.Version != "0.2.0" {
		t.Errorf("runs %+v, %v", s, err)
	}
}

package link_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

// run runs esptool and returns what it says.
func run(t *testing.T, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, esptool(t), args...)
	cmd.Env = append(os.Environ(), "ESPTOOL_CFGFILE="+os.DevNull, "TERM=dumb")
	out, err := cmd.CombinedOutput()
	return string(out), err
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
	if cfg.Flash == nil {
		cfg.Flash = provisioned(t, image(t, testimage.Spec{Version: "0.2.0"}))
	}
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

// trial is one thing that esptool is told to do, and a look behind its back.
type trial struct {
	name string
	args []string
	want string
	stub bool // the ROM alone cannot
	then func(t *testing.T, c *espsim.Chip)
}

// Each command runs against a chip of its own, all at once: over RFC 2217
// esptool mostly waits, since pyserial takes 50 ms for each of the several
// flushes around a command.
func TestEsptool(t *testing.T) {
	esptool(t)
	img := image(t, testimage.Spec{Version: "0.2.1", Size: 20_000})
	ports := map[string]func(*testing.T, *espsim.Chip) []string{"rfc2217": overRFC2217, "pty": overPTY}
	var all sync.WaitGroup
	for kind, port := range ports {
		for _, stub := range []bool{true, false} {
			for _, tr := range trials(t, img) {
				if tr.stub && !stub {
					continue
				}
				c := chipWith(t, espsim.Config{Rollback: true, Flash: provisioned(t, img)})
				args := append(port(t, c), "--baud", "921600")
				if !stub {
					args = append(args, "--no-stub")
				}
				if kind == "pty" {
					c.ResetToBootloader()
				}
				all.Go(func() {
					out, err := run(t, append(args, tr.args...)...)
					if err != nil || !strings.Contains(out, tr.want) {
						t.Errorf("%s, stub %v, %s: %v, want %q in\n%s", kind, stub, tr.name, err, tr.want, out)
						return
					}
					if tr.then != nil {
						tr.then(t, c)
					}
				})
			}
		}
	}
	all.Wait()
}

// provisioned is a flash with img in ota_0.
func provisioned(t *testing.T, img []byte) []byte {
	t.Helper()
	flash, err := espsim.Provision(0, 0, map[string][]byte{
		"factory": image(t, testimage.Spec{Version: "0.2.0"}), "ota_0": img,
	})
	if err != nil {
		t.Fatal(err)
	}
	return flash
}

func trials(t *testing.T, img []byte) []trial {
	t.Helper()
	dir := t.TempDir()
	file, back := filepath.Join(dir, "image.bin"), filepath.Join(dir, "back.bin")
	if err := os.WriteFile(file, img, 0o600); err != nil {
		t.Fatal(err)
	}
	return []trial{
		{name: "chip-id", args: []string{"chip-id"}, want: "7c:df:a1:4f:42:01"},
		{name: "chip type", args: []string{"read-mac"}, want: "ESP32-S3 (QFN56) (revision v0.2)"},
		{name: "flash-id", args: []string{"flash-id"}, want: "Detected flash size: 8MB"},
		{
			name: "write-flash", args: []string{"write-flash", "0x420000", file}, want: "Hash of data verified",
			then: func(t *testing.T, c *espsim.Chip) {
				if !bytes.Equal(c.Flash()[0x420000:][:len(img)], img) {
					t.Error("the flash does not hold what was written")
				}
			},
		},
		{name: "verify-flash", args: []string{"verify-flash", "0x220000", file}, want: "Verification successful"},
		{
			name: "read-flash", args: []string{"read-flash", "0x220000", "600", back}, want: "Read 600 bytes",
			then: func(t *testing.T, _ *espsim.Chip) {
				if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, img[:600]) {
					t.Errorf("read-flash read something else, %v", err)
				}
			},
		},
		{
			name: "erase-region", args: []string{"erase-region", "0x221000", "0x2000"}, want: "erased successfully", stub: true,
			then: func(t *testing.T, c *espsim.Chip) {
				want := append([]byte(nil), img...)
				copy(want[0x1000:0x3000], bytes.Repeat([]byte{0xFF}, 0x2000))
				if !bytes.Equal(c.Flash()[0x220000:][:len(want)], want) {
					t.Error("erase-region erased something else")
				}
			},
		},
	}
}

func TestEsptoolImageInfo(t *testing.T) {
	esptool(t)
	for _, s := range []testimage.Spec{
		{Version: "0.2.1"},
		{Version: "0.2.1", Size: testimage.MinSize},
		{Version: "1.0.0", Size: 1_388_912},
		{Version: "0.2.1", Size: 400_000, Chip: testimage.ChipESP32},
	} {
		file := filepath.Join(t.TempDir(), "image.bin")
		if err := os.WriteFile(file, image(t, s), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := run(t, "image-info", file)
		if err != nil || strings.Count(out, "(valid)") != 2 || strings.Contains(out, "invalid") ||
			!strings.Contains(out, "App version: "+s.Version) || !strings.Contains(out, "Project name: "+testimage.DefaultProject) {
			t.Errorf("%+v: %v\n%s", s, err, out)
		}
	}
}

// After a reset by esptool the chip boots what it holds.
func TestEsptoolResetsIntoApplication(t *testing.T) {
	esptool(t)
	c := chipWith(t, espsim.Config{})
	port := overRFC2217(t, c)
	if out, err := run(t, append(port, "chip-id")...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s, err := c.WaitApp(ctx, func(s espsim.AppStatus) bool { return s.Running })
	if err != nil || s.Slot != "factory" || s.Version != "0.2.0" {
		t.Errorf("runs %+v, %v", s, err)
	}
}

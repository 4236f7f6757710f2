package serialport

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

func TestLook(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	name := slave.Name()
	slave.Close()
	link := filepath.Join(t.TempDir(), "ota-esp32")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	n, err := Look(link)
	if err != nil || n.Path != name || n.Kind != Pseudo || n.USB != (USB{}) || int(n.UID) != os.Getuid() || n.Mode.Perm() == 0 {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestLookSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		port string
		want error
		text string
	}{
		{filepath.Join(dir, "none"), ErrNoDevice, "no such serial port: " + dir + "/none"},
		{file, ErrNotTTY, "is no character device"},
		{"/dev/null", ErrNotTTY, "belongs to no tty driver"},
	} {
		if _, err := Look(tt.port); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", tt.port, err)
		}
	}
}

func TestPinsOfNoChip(t *testing.T) {
	if _, err := Pins(GPIO{Chip: "gpiochip99", EN: 1, Boot: 2}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no chip: %v", err)
	}
	if _, err := Pins(GPIO{Chip: "gpiochip0", EN: 1, Boot: 1}); !errors.Is(err, ErrConfig) {
		t.Errorf("one line for both: %v", err)
	}
	if _, err := Pins(GPIO{Chip: "/dev/null", EN: 1, Boot: 2}); err == nil || !strings.Contains(err.Error(), "/dev/null") {
		t.Errorf("no GPIO chip: %v", err)
	}
}

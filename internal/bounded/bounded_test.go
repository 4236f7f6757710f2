package bounded_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/internal/bounded"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(string, int64) ([]byte, error){"file": bounded.File, "secret": bounded.Secret} {
		if b, err := read(path, 5); err != nil || string(b) != "12345" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if b, err := read(path, 4); !errors.Is(err, bounded.ErrLarge) || b != nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: one byte too much: %q, %v", name, b, err)
		}
		if _, err := read(filepath.Join(dir, "none"), 5); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: not there: %v", name, err)
		}
		if _, err := read(dir, 5); err == nil {
			t.Errorf("%s: a folder", name)
		}
	}
	if _, err := bounded.File("/dev/zero", 5); !errors.Is(err, bounded.ErrLarge) {
		t.Errorf("without an end: %v", err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := bounded.Secret(path, 5); !errors.Is(err, bounded.ErrOpen) || !strings.Contains(err.Error(), "chmod 0600 "+path) {
			t.Errorf("%o: %v", mode, err)
		}
	}
}

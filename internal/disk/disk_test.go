package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/robot-platform/robot-ota/internal/bounded"
	"github.com/robot-platform/robot-ota/internal/disk"
)

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, content := range []string{"one", "two, longer", ""} {
		if err := (disk.Disk{}).WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("read %q, %v; want %q", got, err, content)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAFailureLeavesTheOldFileAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	// A folder in the way makes the rename fail, for root too.
	path := filepath.Join(dir, "f")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := (disk.Disk{}).WriteFile(path, []byte("new"), 0o600)
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v, want an error that names %s", err, path)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := (disk.Disk{}).WriteFile(filepath.Join(dir, "missing", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into no folder: %v", err)
	}
}

func TestModeOfAReplacedFile(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "f")
	if err := (disk.Disk{}).WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("under a umask of 077: %v, %v", info.Mode(), err)
	}
}

func TestReadFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := (disk.Disk{}).ReadFile(path, 5); err != nil || string(b) != "12345" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := (disk.Disk{}).ReadFile(path, 4); !errors.Is(err, bounded.ErrLarge) || b != nil {
		t.Errorf("one byte too much: %q, %v", b, err)
	}
}

// A link in what is removed is removed itself, not what it leads to.
func TestRemoveAll(t *testing.T) {
	dir := t.TempDir()
	outside, inside := filepath.Join(dir, "outside"), filepath.Join(dir, "inside")
	for _, d := range []string{outside, filepath.Join(inside, "deep")} {
		if err := (disk.Disk{}).MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(filepath.Join(outside, "f"), nil, 0o600), os.Symlink(outside, filepath.Join(inside, "deep", "link"))); err != nil {
		t.Fatal(err)
	}
	if err := (disk.Disk{}).RemoveAll(inside); err != nil {
		t.Fatal(err)
	}
	if (disk.Disk{}).Exists(inside) || !(disk.Disk{}).Exists(filepath.Join(outside, "f")) {
		t.Error("not what was to go is gone")
	}
	if err := (disk.Disk{}).RemoveAll(inside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
}

func TestFreeSpaceOfThisDisk(t *testing.T) {
	free, err := disk.Disk{}.Free(t.TempDir())
	if err != nil || free <= 0 {
		t.Errorf("got %d, %v", free, err)
	}
	if _, err := (disk.Disk{}).Free(filepath.Join(t.TempDir(), "nothing")); err == nil {
		t.Error("no error for a folder that is not there")
	}
}

// What a killed process had written aside is swept away, and nothing else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	stay := []string{".f.json", ".hidden", "f.ABCDEFGHIJ", "f.json", "f.json.damaged"}
	for _, name := range append([]string{".f.json.ABCDEFGHIJ", ".f.json.1234567890"}, stay...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	deadly := disk.On(renamesNothing{disk.Disk{}})
	if err := deadly.WriteFile(filepath.Join(dir, "g"), nil, 0o600); err == nil {
		t.Fatal("it was renamed")
	}
	if err := (disk.Disk{}).Sweep(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err != nil || !slices.Equal(names, stay) {
		t.Errorf("left: %v, %v", names, err)
	}
	if err := (disk.Disk{}).Sweep(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// renamesNothing is a disk whose process dies before it renames or removes.
type renamesNothing struct{ disk.Layer }

func (renamesNothing) Rename(string, string) error { return syscall.EIO }
func (renamesNothing) Remove(string) error         { return syscall.EIO }

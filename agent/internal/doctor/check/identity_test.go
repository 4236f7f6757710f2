package check

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMay(t *testing.T) {
	someone := Identity{Name: "someone", UID: 1000, GIDs: []int{1000, 20}}
	root := Identity{Name: "root", UID: 0}
	for _, tt := range []struct {
		who      Identity
		mode     fs.FileMode
		uid, gid int
		want     fs.FileMode
		ok       bool
	}{
		{someone, 0o600, 1000, 0, read | write, true},
		{someone, 0o060, 1000, 1000, read, false}, // the owner's bits count for the owner
		{someone, 0o660, 0, 20, read | write, true},
		{someone, 0o640, 0, 20, read | write, false},
		{someone, 0o607, 0, 20, read, false},
		{someone, 0o604, 0, 5, read, true},
		{someone, 0o600, 0, 0, read, false},
		{someone, 0o711, 0, 0, enter, true},
		{root, 0, 1000, 1000, read | write, true},
		{root, 0o644, 1000, 1000, enter, false},
		{root, 0o100, 1000, 1000, enter, true},
		{root, fs.ModeDir, 1000, 1000, enter, true},
	} {
		if got := tt.who.may(tt.want, tt.mode, tt.uid, tt.gid); got != tt.ok {
			t.Errorf("%s, %s of %d:%d, %o: %v", tt.who.Name, tt.mode, tt.uid, tt.gid, tt.want, got)
		}
	}
}

// nobody is a user that owns nothing here.
func nobody() Identity { return Identity{Name: "nobody-here", UID: 4_000_001, GIDs: []int{4_000_001}} }

// folders makes a path below a folder that everybody may enter.
func folders(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "check-") // t.TempDir lies in a folder of mode 0700 or so
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func file(t *testing.T, path, text string, mode fs.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestReach(t *testing.T) {
	dir := folders(t)
	key := file(t, filepath.Join(dir, "a/b/key"), "", 0o644)
	if err := nobody().reach(key, read); err != nil {
		t.Error(err)
	}
	if err := nobody().reach(key, write); err == nil || !strings.Contains(err.Error(), key+" (-rw-r--r-- ") || !strings.Contains(err.Error(), "is closed to the agent's user nobody-here") {
		t.Error(err)
	}
	chmod(t, filepath.Join(dir, "a"), 0o700)
	var closed *closedError
	if err := nobody().reach(key, read); !errors.As(err, &closed) || closed.path != filepath.Join(dir, "a") || closed.openTo() != "chmod a+rx "+filepath.Join(dir, "a") {
		t.Errorf("%v, %+v", err, closed)
	}
	if err := Running(os.Getuid(), nil).reach(filepath.Join(dir, "none"), read); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestIdentities(t *testing.T) {
	if i := Running(0, []int{0}); i.Name != "root" || i.UID != 0 {
		t.Errorf("%+v", i)
	}
	if i := Running(4_000_001, nil); i.Name != "4000001" {
		t.Errorf("%+v", i)
	}
	if i := Service(); i.Name == "" || len(i.GIDs) == 0 {
		t.Errorf("%+v", i)
	}
}

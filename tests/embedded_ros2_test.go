//go:build ros2

package tests

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamagedRosIsRecognised takes a library out of a copy of the embedded ROS 2, as a full disk or a cleaner of caches
// might. The set-up must say what is missing, must not use the rest, and, as PyPI is not to be reached here, what to do.
func TestDamagedRosIsRecognised(t *testing.T) {
	t.Parallel()
	prefix := embeddedPrefix(t)
	m := newMachine(t)
	copied := filepath.Join(m.home, "cache", filepath.Base(prefix))
	linkTree(t, prefix, copied)
	if err := os.Remove(filepath.Join(copied, "lib", "librcl.so")); err != nil {
		t.Fatal(err)
	}

	said := m.setup(t, "PYTHON="+realPython(t), "PIP_NO_INDEX=1", "PIP_CONFIG_FILE=/dev/null")

	for _, want := range []string{
		"lib/librcl.so is missing",
		"is not whole: setting it up again",
		"installing from PyPI (is it reachable? then run this again) failed",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("said:\n%swant %q in it", said, want)
		}
	}
	if _, err := os.Stat(filepath.Join(prefix, "lib", "librcl.so")); err != nil {
		t.Errorf("the real one was touched: %v", err)
	}
}

// embeddedPrefix returns the folder of the embedded ROS 2 that the tests run with.
func embeddedPrefix(t *testing.T) string {
	t.Helper()
	for _, prefix := range filepath.SplitList(os.Getenv("AMENT_PREFIX_PATH")) {
		if strings.HasPrefix(filepath.Base(prefix), "ros-jazzy-") {
			return prefix
		}
	}
	t.Skip("these tests run with an installed ROS 2, not with the embedded one")
	return ""
}

// linkTree makes a folder of links to the files of another.
func linkTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		switch {
		case entry.Name() == "__pycache__":
			return filepath.SkipDir
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case entry.Name() == "pyvenv.cfg": // Python reads it beside the program's link
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(target, content, 0o644)
		}
		return os.Symlink(path, target)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The environment that `make test` has sourced, and with it this test, must not
// make set-up forget what it put there.
func TestSetUpInItsOwnEnvironment(t *testing.T) {
	const file = "../.cache/ros.env"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Skipf("%v: the environment is somebody else's", err)
	}
	script := exec.CommandContext(t.Context(), "bash", "-c", "source "+file+" && ../scripts/setup ros")
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Errorf("it was\n%s\nand became\n%s", before, after)
	}
}

package journal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOneAgentForAStateDirectory(t *testing.T) {
	dir := t.TempDir()
	release, err := Claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Claim(dir)
	if want := fmt.Sprintf("pid %d (%s", os.Getpid(), os.Args[0]); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want %q in it", err, want)
	}
	if _, err := Claim(t.TempDir()); err != nil {
		t.Errorf("another directory: %v", err)
	}
	release()
	release, err = Claim(dir)
	if err != nil {
		t.Errorf("after the release: %v", err)
	}
	release()
}

const childDir = "JOURNAL_TEST_DIR"

// TestChildClaims is no test but an agent that gets killed.
func TestChildClaims(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	if _, err := Claim(dir); err != nil {
		t.Fatal(err)
	}
	fmt.Println("claimed")
	time.Sleep(time.Minute)
}

// TestADeadAgentHoldsNothing: SIGKILL lets go of the directory.
func TestADeadAgentHoldsNothing(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command("/proc/self/exe", "-test.run=^TestChildClaims$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_, busy := Claim(dir)
	if err := errors.Join(child.Process.Kill(), ignore(child.Wait())); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(busy, ErrInUse) || !strings.Contains(fmt.Sprint(busy), fmt.Sprintf("pid %d (", child.Process.Pid)) {
		t.Errorf("while it lives: %v", busy)
	}
	if release, err := Claim(dir); err != nil {
		t.Errorf("after its death: %v", err)
	} else {
		release()
	}
}

func ignore(error) error { return nil }

// TestALockThatIsALink: nothing outside of the directory is written.
func TestALockThatIsALink(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	if err := errors.Join(os.WriteFile(outside, []byte("x"), 0o600), os.Symlink(outside, filepath.Join(dir, "lock"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Claim(dir); err == nil {
		t.Error("a link was taken for the lock")
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "x" {
		t.Errorf("outside: %q, %v", b, err)
	}
}

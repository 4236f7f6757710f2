package serialport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

func TestOpenRefusals(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "ttyUSB0")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		port string
		want error
		text string
	}{
		{"", ErrConfig, "/dev/ttyUSB0, or rfc2217://host:port"},
		{"ttyUSB0", ErrConfig, "write /dev/ttyUSB0"},
		{"/dev/ttyUSB\x000", ErrConfig, "NUL"},
		{"tcp://localhost:1", ErrConfig, `the scheme "tcp" is not known`},
		{"rfc2217://localhost", ErrConfig, "rfc2217://host:port"},
		{"rfc2217://:2217", ErrConfig, "rfc2217://host:port"},
		{"rfc2217://localhost:0", ErrConfig, "rfc2217://host:port"},
		{"rfc2217://localhost:70000", ErrConfig, "rfc2217://host:port"},
		{"rfc2217://me:pw@localhost:1", ErrConfig, "rfc2217://host:port"},
		{"rfc2217://localhost:1/x", ErrConfig, "rfc2217://host:port"},
		{"rfc2217://localhost:1?poll_modem", ErrConfig, `the option "poll_modem" is not known`},
		{"/dev/ttyUSB-none", ErrNoDevice, "exist"},
		{plain, ErrNotTTY, "no character device"},
		{"/dev/null", ErrNotTTY, "no tty driver"},
		{"rfc2217://127.0.0.1:1", ErrNoDevice, "that the serial server runs"},
	} {
		p, err := Open(t.Context(), Config{Port: c.port, LockDir: t.TempDir()})
		if err == nil {
			_ = p.Close()
		}
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("Open(%q) = %v", c.port, err)
		}
	}
	if _, err := Open(t.Context(), Config{Port: "/dev/null", Baud: 17}); !errors.Is(err, ErrConfig) {
		t.Errorf("17 baud: %v", err)
	}
}

func TestOpenNamesTheHolder(t *testing.T) {
	_, path := openPTY(t, false)
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	pid := start(t, slave, "sleep", "60.25")
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Port: path, LockDir: t.TempDir()})
	var busy *InUseError
	if !errors.As(err, &busy) || !errors.Is(err, ErrInUse) {
		t.Fatalf("Open = %v", err)
	}
	if len(busy.Holders) != 1 || busy.Holders[0].PID != pid || busy.Holders[0].Command != "sleep 60.25" {
		t.Errorf("holders %+v", busy.Holders)
	}
	if want := fmt.Sprintf("in use by pid %d (sleep 60.25): ", pid); !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	by, err := InUseBy(t.Context(), path, t.TempDir())
	if err != nil || by != fmt.Sprintf("pid %d (sleep 60.25)", pid) {
		t.Errorf("InUseBy = %q, %v", by, err)
	}
}

func TestOpenTwiceInOneProcess(t *testing.T) {
	// Without the master here: its holder would count as the far side.
	path := ptyOfAnotherProcess(t)
	dir := t.TempDir()
	first := mustOpen(t, Config{Port: path, LockDir: dir})
	_, err := Open(t.Context(), Config{Port: path, LockDir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(fmt.Sprint(err), "this process holds it already") {
		t.Errorf("second Open = %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, Config{Port: path, LockDir: dir})
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("the lock directory holds %v, %v", left, err)
	}
}

// ptyOfAnotherProcess gives a pty whose master another process holds.
func ptyOfAnotherProcess(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{asMaster + "=1"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	var path string
	if _, err := fmt.Fscanln(out, &path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenLocksAgainstFlock(t *testing.T) {
	_, path := openPTY(t, true)
	p := mustOpen(t, Config{Port: path, LockDir: t.TempDir()})
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("a second flock: %v", err)
	}
	dev, err := deviceOf(path)
	if err != nil {
		t.Fatal(err)
	}
	s := scan{dev: dev}
	if s.locks(); len(s.found) != 1 || s.found[0].PID != os.Getpid() || s.found[0].How != "locked" {
		t.Errorf("/proc/locks gives %+v", s.found)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("flock after Close: %v", err)
	}
	// This process has the master, so only the flock tells.
	_, err = Open(t.Context(), Config{Port: path, LockDir: t.TempDir()})
	if !errors.Is(err, ErrInUse) || !strings.Contains(fmt.Sprint(err), "locked") {
		t.Errorf("Open under a foreign flock = %v", err)
	}
}

func TestLockFile(t *testing.T) {
	_, path := openPTY(t, true)
	dir := t.TempDir()
	file := lockPath(dir, path)
	p := mustOpen(t, Config{Port: path, LockDir: dir})
	b, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(b), fmt.Sprintf("%10d ", os.Getpid())) {
		t.Errorf("%s holds %q, %v", file, b, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock file stays: %v", err)
	}

	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"dead process":     fmt.Sprintf("%10d\n", gone.Process.Pid),
		"empty":            "",
		"no number":        "minicom\n",
		"binary":           "\x01\x00\x00\x00",
		"huge":             strings.Repeat("9", 5000),
		"negative":         "        -1\n",
		"reused by others": fmt.Sprintf("%10d minicom root\n", os.Getppid()),
		"our own reused":   fmt.Sprintf("%10d\n", os.Getpid()),
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := Open(t.Context(), Config{Port: path, LockDir: dir})
		if err != nil {
			t.Errorf("a stale lock file (%s) keeps the port: %v", name, err)
			continue
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = Open(t.Context(), Config{Port: path, LockDir: filepath.Join(dir, "none")})
	if err == nil || !strings.Contains(err.Error(), "writable for the agent") {
		t.Errorf("Open with a lock directory that is none = %v", err)
	}
}

func TestLockFileIsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "LCK..ttyX")
	if err := os.Symlink(victim, file); err != nil {
		t.Fatal(err)
	}
	if err := writeLockFile(file); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(victim); string(b) != "precious" {
		t.Errorf("the lock file was written through a link: %q", b)
	}
}

// TestOpenAsAnotherUser runs this binary as nobody: the device is closed to
// it, and root's processes show nothing but their command lines.
func TestOpenAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	master, path := openPTY(t, true)
	_ = master
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := openAs(t, path, 65534); !strings.Contains(got, ErrPermission.Error()) || !strings.Contains(got, "usermod -aG dialout") {
		t.Errorf("a closed device: %s", got)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := openAs(t, path, 65534); got != "<nil>" {
		t.Errorf("an open device: %s", got)
	}
	sleeper := start(t, nil, "sleep", "60")
	for name, free := range map[string]bool{"sleep": false, "minicom": true} {
		content := fmt.Sprintf("%10d %s root\n", sleeper, name)
		if got := openAs(t, path, 65534, content); (got == "<nil>") != free || (!free && !strings.Contains(got, "(sleep 60), lock file")) {
			t.Errorf("a lock file of %s: %s", name, got)
		}
	}
	pid := start(t, nil, "sh", "-c", "sleep 60; :", "serial", "--dev="+path)
	if got := openAs(t, path, 65534); !strings.Contains(got, fmt.Sprintf("in use by pid %d (sh -c sleep 60; : serial --dev=%s), named on its command line", pid, path)) {
		t.Errorf("a command line that names it: %s", got)
	}
}

// openAs opens a port as a user, with lock files of others' in the way.
func openAs(t *testing.T, port string, uid uint32, locks ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "serialport")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "serialport.test")
	if err := copyFile(exe, "/proc/self/exe"); err != nil {
		t.Fatal(err)
	}
	lockDir := filepath.Join(dir, "lock")
	if err := errors.Join(os.Mkdir(lockDir, 0o755), os.Chown(lockDir, int(uid), int(uid))); err != nil {
		t.Fatal(err)
	}
	for _, content := range locks {
		if err := os.WriteFile(lockPath(lockDir, port), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := contextFor(t, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe)
	cmd.Dir, cmd.Env = "/", []string{asChild + "=" + port, childDir + "=" + lockDir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func TestUnitIn(t *testing.T) {
	for in, want := range map[string]string{
		"0::/system.slice/micro-ros-agent.service\n":                               "micro-ros-agent.service",
		"0::/system.slice/system-micro.slice/micro@usb0.service\n":                 "micro@usb0.service",
		"9:name=systemd:/system.slice/a.service\n0::/\n":                           "a.service",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app.service\n": "",
		"0::/user.slice/user-0.slice/session-3.scope\n":                            "",
		"0::/\n":      "",
		"":            "",
		"garbage":     "",
		"0:x.service": "",
	} {
		if got := unitIn(in); got != want {
			t.Errorf("unitIn(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestInUseAdvice(t *testing.T) {
	err := &InUseError{Port: "/dev/ttyUSB0", Holders: []Holder{{PID: 71, Command: "micro_ros_agent serial --dev /dev/ttyUSB0", Unit: "micro-ros-agent.service", How: "open"}}}
	const want = "serial port /dev/ttyUSB0 is in use by pid 71 (micro_ros_agent serial --dev /dev/ttyUSB0) of micro-ros-agent.service: " +
		"set microros.unit to micro-ros-agent.service in the configuration, so that the agent stops and starts it, or `sudo systemctl stop micro-ros-agent.service`"
	if err.Error() != want {
		t.Errorf("%v", err)
	}
	if s := (&InUseError{Port: "/dev/ttyUSB0"}).Error(); !strings.Contains(s, "sudo fuser -v /dev/ttyUSB0") {
		t.Error(s)
	}
}

func TestInUseByOfNothing(t *testing.T) {
	for _, port := range []string{"rfc2217://localhost:2217", "/dev/ttyUSB-none"} {
		if by, err := InUseBy(t.Context(), port, ""); by != "" || err != nil {
			t.Errorf("InUseBy(%s) = %q, %v", port, by, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, path := openPTY(t, true)
	if _, err := InUseBy(ctx, path, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled search: %v", err)
	}
}

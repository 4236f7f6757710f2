package serialport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Holder is a process that holds a serial port.
type Holder struct {
	PID     int
	Command string // its command line, cleaned and cut
	Unit    string // the systemd unit it runs in, "" outside of one
	How     string // how it holds the port: "open", "locked", "lock file", "named on its command line"
}

// String is the process with its unit, and how it holds the port if not open.
func (h Holder) String() string {
	s := fmt.Sprintf("pid %d (%s)", h.PID, h.Command)
	if h.Unit != "" {
		s += " of " + h.Unit
	}
	if h.How != "open" {
		s += ", " + h.How
	}
	return s
}

func (h Holder) advice() string {
	switch {
	case h.PID == os.Getpid():
		return "this process holds it already, two updates of one robot at a time do not go"
	case h.Unit != "":
		return fmt.Sprintf("set microros.unit to %s in the configuration, so that the agent stops and starts it, or `sudo systemctl stop %s`",
			h.Unit, h.Unit)
	}
	return fmt.Sprintf("end it (`kill %d`), or set microros.stop and microros.start in the configuration to commands for it", h.PID)
}

// Bounds of what is read about another process.
const (
	maxCmdline = 4096
	maxShown   = 160
	maxCgroup  = 4096
)

// InUseBy describes who holds the port, "" when nobody seems to. A remote
// port (rfc2217://…) is never held as far as this machine can see. A device
// that does not exist is held by nobody.
func InUseBy(ctx context.Context, port, lockDir string) (string, error) {
	if (Config{Port: port}).remote() {
		return "", nil
	}
	hs, err := Holders(ctx, port, lockDir)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(hs) == 0) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return describe(hs), nil
}

// maxNamed bounds how many holders a message names.
const maxNamed = 3

func describe(hs []Holder) string {
	var names []string
	for _, h := range hs[:min(len(hs), maxNamed)] {
		names = append(names, h.String())
	}
	if more := len(hs) - maxNamed; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, " and ")
}

// Holders finds the processes that hold the device: those with the tty open
// (/proc/*/fd), with a flock on it (/proc/locks), or named by its UUCP lock
// file in lockDir ("": /run/lock). TIOCEXCL keeps nobody out who is root, so
// this is asked before each open.
//
// An unprivileged user sees only its own processes' files. Of the others it
// sees the command line, and one that names the device counts as a holder,
// for micro_ros_agent is started so (serial --dev /dev/ttyUSB0) and takes no
// lock. The process that asks and its ancestors (sudo, a shell) are not meant
// by that.
func Holders(ctx context.Context, port, lockDir string) ([]Holder, error) {
	dev, err := deviceOf(port)
	if err != nil {
		return nil, err
	}
	s := scan{dev: dev, ancestors: ancestors()}
	if err := s.processes(ctx); err != nil {
		return nil, err
	}
	s.locks()
	if pid, ok := lockFileHolder(lockPath(lockDir, dev.path)); ok {
		s.add(pid, "lock file")
	}
	return s.found, nil
}

// device is what makes a tty the same tty under another name.
type device struct {
	given string // as configured
	path  string // symbolic links resolved
	rdev  uint64 // major and minor number
	dev   uint64 // file system that holds the node
	ino   uint64
}

func deviceOf(port string) (device, error) {
	p, err := filepath.EvalSymlinks(port)
	if err != nil {
		return device{}, err
	}
	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		return device{}, &fs.PathError{Op: "stat", Path: p, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return device{}, fmt.Errorf("%w: %s is no character device; the port is a path such as /dev/ttyUSB0", ErrNotTTY, port)
	}
	if !ttyMajor(unix.Major(st.Rdev)) {
		return device{}, fmt.Errorf("%w: %s belongs to no tty driver; the port is a path such as /dev/ttyUSB0", ErrNotTTY, port)
	}
	return device{given: port, path: p, rdev: st.Rdev, dev: st.Dev, ino: st.Ino}, nil
}

// ttyMajor reports whether a tty driver has that major number
// (/proc/tty/drivers: name, device, major, minors, kind). It can be asked
// before the device is opened, which raises its lines.
func ttyMajor(major uint32) bool {
	b, err := readBounded("/proc/tty/drivers", 16<<10)
	if err != nil {
		return true // the open will tell
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 3 && f[2] == strconv.FormatUint(uint64(major), 10) {
			return true
		}
	}
	return false
}

// Majors of the Unix 98 pty slaves (Documentation/admin-guide/devices.txt).
const ptsMajor, ptsMajors = 136, 8

func (d device) pts() (index uint32, ok bool) {
	major := unix.Major(d.rdev)
	return unix.Minor(d.rdev) + (major-ptsMajor)<<20, major >= ptsMajor && major < ptsMajor+ptsMajors
}

// sameFile reports whether an open file of another process is the device.
// Each container numbers its ptys by itself, so there the file system counts too.
func (d device) sameFile(st *unix.Stat_t) bool {
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != d.rdev {
		return false
	}
	_, pts := d.pts()
	return !pts || st.Dev == d.dev
}

type scan struct {
	dev       device
	ancestors map[int]bool
	found     []Holder
}

func (s *scan) add(pid int, how string) {
	for _, h := range s.found {
		if h.PID == pid {
			return
		}
	}
	s.found = append(s.found, Holder{PID: pid, Command: commandOf(pid), Unit: unitOf(pid), How: how})
}

func (s *scan) processes(ctx context.Context) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return fmt.Errorf("look for the port's holder: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("look for the port's holder: %w", err)
	}
	for _, n := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if pid, err := strconv.Atoi(n); err == nil {
			s.process(pid)
		}
	}
	return nil
}

// process looks at one process. One that ended meanwhile holds nothing.
func (s *scan) process(pid int) {
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	names, err := readNames(fds)
	if errors.Is(err, fs.ErrPermission) {
		if !s.ancestors[pid] && s.named(pid) {
			s.add(pid, "named on its command line")
		}
		return
	}
	slave, master := false, false
	for _, n := range names {
		file := fds + "/" + n
		target, err := os.Readlink(file)
		if err != nil || !strings.HasPrefix(target, "/dev/") {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(file, &st) == nil && s.dev.sameFile(&st) {
			slave = true
		}
		master = master || s.ptyMaster(pid, n, target)
	}
	// The program behind a pty often keeps the terminal's side open, so that
	// it survives the last user. It is the port's other end, no rival.
	if slave && !master {
		s.add(pid, "open")
	}
}

// ptyMaster reports whether a file is the master of the pty asked for. The
// kernel says which pty a master belongs to as tty-index in fdinfo (since 4.14).
func (s *scan) ptyMaster(pid int, fd, target string) bool {
	index, pts := s.dev.pts()
	if !pts || path.Base(target) != "ptmx" {
		return false
	}
	b, err := readBounded(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd), 1024)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "tty-index:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
			return err == nil && uint32(n) == index
		}
	}
	return false
}

func (s *scan) named(pid int) bool {
	for _, arg := range argv(pid) {
		if _, v, ok := strings.Cut(arg, "="); ok {
			arg = v
		}
		if arg == s.dev.path || arg == s.dev.given {
			return true
		}
	}
	return false
}

// locks looks for flocks on the device in /proc/locks (proc_locks(5)):
//
//	1: FLOCK  ADVISORY  WRITE 4242 00:05:87 0 EOF
func (s *scan) locks() {
	f, err := os.Open("/proc/locks")
	if err != nil {
		return
	}
	defer f.Close()
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(s.dev.dev), unix.Minor(s.dev.dev), s.dev.ino)
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != want {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 {
			s.add(pid, "locked")
		}
	}
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func argv(pid int) []string {
	b, err := readBounded(fmt.Sprintf("/proc/%d/cmdline", pid), maxCmdline)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
}

func commandOf(pid int) string {
	if s := clean(strings.Join(argv(pid), " "), maxShown); s != "" {
		return s
	}
	if s := readLine(fmt.Sprintf("/proc/%d/comm", pid)); s != "" {
		return clean(s, maxShown)
	}
	return "its command line is not readable"
}

func unitOf(pid int) string {
	b, err := readBounded(fmt.Sprintf("/proc/%d/cgroup", pid), maxCgroup)
	if err != nil {
		return ""
	}
	return unitIn(string(b))
}

// unitIn takes the system service out of /proc/PID/cgroup (cgroups(7)):
//
//	0::/system.slice/micro-ros-agent.service
//
// A service below user@….service belongs to a user's manager, which the
// agent does not command.
func unitIn(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		_, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if _, p, okk := strings.Cut(rest, ":"); ok && okk {
			for _, part := range strings.Split(p, "/") {
				if strings.HasPrefix(part, "user@") {
					break
				}
				if strings.HasSuffix(part, ".service") {
					return clean(part, maxShown)
				}
			}
		}
	}
	return ""
}

// ancestors gives this process and those that started it.
func ancestors() map[int]bool {
	out := map[int]bool{}
	for pid := os.Getpid(); pid > 1 && !out[pid]; {
		out[pid] = true
		b, err := readBounded(fmt.Sprintf("/proc/%d/stat", pid), 1024)
		if err != nil {
			break
		}
		// The name in brackets may hold anything; the parent comes second
		// after it (proc_pid_stat(5)).
		stat := string(b)
		fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 {
			break
		}
		if pid, err = strconv.Atoi(fields[1]); err != nil {
			break
		}
	}
	return out
}

// alive reports whether a process exists, ours to signal or not.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

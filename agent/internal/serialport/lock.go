package serialport

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// defaultLockDir is where Linux programs leave UUCP lock files (FHS 3.0,
// 5.9; /var/lock leads there).
const defaultLockDir = "/run/lock"

// lockPath names the UUCP lock file of a resolved device: LCK..ttyUSB0.
func lockPath(dir, device string) string {
	if dir == "" {
		dir = defaultLockDir
	}
	name := strings.ReplaceAll(strings.TrimPrefix(device, "/dev/"), "/", "_")
	return filepath.Join(dir, "LCK.."+name)
}

// lockFileHolder reads a UUCP lock file: the process id in ten columns of
// ASCII (FHS 3.0, 5.9.1), after which some programs write their name. A file
// is stale when its process is gone, when another program has that process id
// now, when we may look at the process' files (then the scan of /proc has
// answered already), or when no process id stands in it.
func lockFileHolder(file string) (pid int, ok bool) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	buf := make([]byte, 128)
	n, err := f.Read(buf)
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(buf[:n])
	if len(fields) == 0 {
		return 0, false
	}
	pid, err = strconv.Atoi(string(fields[0]))
	if err != nil || pid <= 1 || !alive(pid) {
		return 0, false
	}
	if len(fields) > 1 {
		comm := readLine(fmt.Sprintf("/proc/%d/comm", pid))
		if comm != "" && !strings.HasPrefix(string(fields[1]), comm) {
			return 0, false
		}
	}
	if _, err := readNames(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
		return 0, false
	}
	return pid, true
}

// takeLockFile leaves our lock file. The caller holds the flock on the
// device, which orders those who do the same. It returns the file to remove
// later, "" when dir is the default one and does not let us.
func takeLockFile(dir, device string, log *slog.Logger) (string, error) {
	file := lockPath(dir, device)
	err := writeLockFile(file)
	switch {
	case err == nil:
		return file, nil
	case dir == "":
		log.Debug("no lock file for the serial port, the flock holds it alone", "file", file, "err", err)
		return "", nil
	}
	return "", fmt.Errorf("lock file of the serial port: %w: make %s writable for the agent, or set another lock directory", err, dir)
}

// writeLockFile puts the file in place by a link, which fails where something
// is and follows no link laid there by others: lock directories are often
// writable for everyone.
func writeLockFile(file string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "LTMP.*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = fmt.Fprintf(tmp, "%10d %s\n", os.Getpid(), readLine("/proc/self/comm"))
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	err = os.Link(tmp.Name(), file)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Whatever lies there is stale, or Holders would have named its owner.
	if err := os.Remove(file); err != nil {
		return err
	}
	return os.Link(tmp.Name(), file)
}

package serialport

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// Sentinels for decisions; the errors that wrap them say who, why and what to do.
var (
	// ErrGone: the port died under us. Further calls fail too until Reopen.
	ErrGone = errors.New("serial port is gone")
	// ErrInUse: another program holds the port. See InUseError.
	ErrInUse = errors.New("serial port is in use")
	// ErrNoDevice: there is nothing at that path, or nobody at that address.
	ErrNoDevice = errors.New("no such serial port")
	// ErrPermission: the device may not be opened by this user.
	ErrPermission = errors.New("no permission for the serial port")
	// ErrNotTTY: the path exists and is no terminal device.
	ErrNotTTY = errors.New("not a serial port")
	// ErrNoLines: the port has no DTR and RTS to reset the chip with.
	ErrNoLines = errors.New("the port has no DTR and RTS")
	// ErrBaud: the adapter or the server does not do the asked rate.
	ErrBaud = errors.New("baud rate not possible")
)

// GoneError tells what was being done when the port died. It wraps ErrGone
// and the cause.
type GoneError struct {
	Port string
	Op   string // "read", "write", "set baud", "set lines"…
	Err  error
}

// Error says what was being done, and what to look at.
func (e *GoneError) Error() string {
	return fmt.Sprintf("serial port %s is gone (%s: %v): cable pulled, adapter reset or connection lost; check cable and power",
		e.Port, e.Op, e.Err)
}

// Unwrap gives ErrGone and the cause.
func (e *GoneError) Unwrap() []error { return []error{ErrGone, e.Err} }

// InUseError names who holds the port. It wraps ErrInUse.
type InUseError struct {
	Port    string
	Holders []Holder // empty when this user may not see them
}

// Error names the holders, at most three, and what to do about the first.
func (e *InUseError) Error() string {
	if len(e.Holders) == 0 {
		return fmt.Sprintf("serial port %s is in use by a process this user may not see: `sudo fuser -v %s` names it", e.Port, e.Port)
	}
	return fmt.Sprintf("serial port %s is in use by %s: %s", e.Port, describe(e.Holders), e.Holders[0].advice())
}

// Unwrap gives ErrInUse.
func (e *InUseError) Unwrap() error { return ErrInUse }

// isGone tells a dead port from any other failure. A tty that was hung up
// reads as end of file or EIO and answers every ioctl with EIO; a USB adapter
// that left answers ENXIO or ENODEV; a TCP peer closes or resets.
func isGone(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
		return false
	}
	var pe *serial.PortError
	if errors.As(err, &pe) && pe.Code() == serial.PortClosed {
		return true
	}
	for _, dead := range []error{
		unix.EIO, unix.ENXIO, unix.ENODEV,
		unix.EPIPE, unix.ECONNRESET, unix.ECONNABORTED, unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ENETDOWN,
		io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, dead) {
			return true
		}
	}
	return false
}

// openError turns a failed open of path into one that says what to do.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EIO):
		return noDevice(path, err)
	case errors.Is(err, fs.ErrPermission):
		return permission(path)
	}
	return fmt.Errorf("open serial port %s: %w", path, err)
}

func noDevice(path string, err error) error {
	list := "none exists here: check cable and power, then `sudo dmesg | tail`"
	if ds := Devices(); len(ds) > 0 {
		names := make([]string, len(ds))
		for i, d := range ds {
			names[i] = d.String()
		}
		list = "these exist: " + strings.Join(names, ", ")
	}
	return fmt.Errorf("%w: %s (%w); %s", ErrNoDevice, path, err, list)
}

// permission names the group that the device belongs to, dialout on Debian,
// uucp elsewhere, and the command that adds the user to it.
func permission(path string) error {
	group, mode := "dialout", ""
	if fi, err := os.Stat(path); err == nil {
		mode = " (" + fi.Mode().String() + ")"
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Gid != 0 {
			group = strconv.FormatUint(uint64(st.Gid), 10)
			if g, err := user.LookupGroupId(group); err == nil {
				group = g.Name
			}
		}
	}
	name := "the agent's user"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return fmt.Errorf("%w: %s%s is not open to user %s: `sudo usermod -aG %s %s`, then start the agent anew",
		ErrPermission, path, mode, name, group, filepath.Base(name))
}

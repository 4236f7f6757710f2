package serialport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// ttyWriteTimeout bounds a write beyond the time its bytes take on the wire:
// an adapter whose far side hangs takes none at all, for ever.
const ttyWriteTimeout = 5 * time.Second

// tty is a Linux tty, open twice: port, by go.bug.st/serial, sets the mode and
// reads; file is ours, for what that library does not do: flock, both lines
// in one TIOCMSET, writes with a deadline. file is opened before the library
// sets TIOCEXCL and non-blocking, so that neither carrier nor a stuck adapter
// can hold us.
type tty struct {
	file     *os.File
	port     serial.Port
	usb      USB
	lockFile string
	baud     int
	patience time.Duration // ttyWriteTimeout
}

// openTTY opens a device alone: first it asks who else has it, then it takes
// the flock and the lock file, then it sets the mode.
func openTTY(ctx context.Context, cfg Config, baud int, log *slog.Logger) (*tty, error) {
	dev, err := deviceOf(cfg.Port)
	if err != nil {
		if errors.Is(err, ErrNotTTY) {
			return nil, err
		}
		return nil, openError(cfg.Port, err)
	}
	holders, err := Holders(ctx, cfg.Port, cfg.LockDir)
	if err != nil {
		return nil, err
	}
	if len(holders) > 0 {
		return nil, &InUseError{Port: cfg.Port, Holders: holders}
	}
	file, err := os.OpenFile(dev.path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EBUSY) { // someone's TIOCEXCL, and we may not see whose
		return nil, &InUseError{Port: cfg.Port}
	}
	if err != nil {
		return nil, openError(cfg.Port, err)
	}
	t := &tty{file: file, patience: ttyWriteTimeout}
	if err := t.take(ctx, cfg, dev, baud, log); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *tty) take(ctx context.Context, cfg Config, dev device, baud int, log *slog.Logger) error {
	err := t.control(func(fd int) error {
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
			return fmt.Errorf("%w: %s has no terminal settings (%w)", ErrNotTTY, cfg.Port, err)
		}
		return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	})
	if errors.Is(err, unix.EWOULDBLOCK) {
		holders, _ := Holders(ctx, cfg.Port, cfg.LockDir)
		return &InUseError{Port: cfg.Port, Holders: holders}
	}
	if err != nil {
		return err
	}
	if t.lockFile, err = takeLockFile(cfg.LockDir, dev.path, log); err != nil {
		return err
	}
	t.port, err = serial.Open(dev.path, mode(baud))
	if err != nil {
		return openError(cfg.Port, unwrapPort(err))
	}
	t.usb, _ = usbOf(sysfs, filepath.Base(dev.path))
	if err := t.setBaud(baud); err != nil {
		return err
	}
	if t.usb.is(cp2102c) {
		if err := t.control(clearHUPCL); err != nil {
			return fmt.Errorf("clear HUPCL of %s: %w", cfg.Port, err)
		}
	}
	t.lowLatency(filepath.Base(dev.path), log)
	return nil
}

// unwrapPort gives the sentinel behind the library's error codes.
func unwrapPort(err error) error {
	var pe *serial.PortError
	if errors.As(err, &pe) {
		switch pe.Code() {
		case serial.PortBusy:
			return unix.EBUSY
		case serial.PermissionDenied:
			return os.ErrPermission
		case serial.PortNotFound:
			return os.ErrNotExist
		default:
		}
	}
	return err
}

func mode(baud int) *serial.Mode {
	return &serial.Mode{BaudRate: baud, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit}
}

// control runs an ioctl on our descriptor; the file stays non-blocking.
func (t *tty) control(f func(fd int) error) error {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

// setBaud sets any rate and reads it back: drivers round, and some adapters
// quietly stay at what they can. A UART bears about 3 % off.
func (t *tty) setBaud(baud int) error {
	if err := t.port.SetMode(mode(baud)); err != nil {
		return err
	}
	var got int
	err := t.control(func(fd int) error {
		s, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
		if err == nil {
			got = int(s.Ospeed)
		}
		return err
	})
	if err != nil {
		return err
	}
	if off := got - baud; off*100 > baud*3 || -off*100 > baud*3 {
		return fmt.Errorf("%w: the adapter runs at %d instead of %d: set a lower rate", ErrBaud, got, baud)
	}
	t.baud = baud
	return nil
}

func (t *tty) setReadTimeout(d time.Duration) error { return t.port.SetReadTimeout(d) }

func (t *tty) resetInput() error { return t.port.ResetInputBuffer() }

// Read reads through the library, which gives 0, nil when time is up.
func (t *tty) Read(p []byte) (int, error) {
	n, err := t.port.Read(p)
	if n == 0 && err == nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func (t *tty) Write(p []byte) (int, error) {
	wire := time.Duration(len(p)) * 10 * time.Second / time.Duration(t.baud)
	if err := t.file.SetWriteDeadline(time.Now().Add(t.patience + 2*wire)); err != nil {
		return 0, err
	}
	return t.file.Write(p)
}

// setLines changes DTR, RTS or both with one TIOCMSET.
func (t *tty) setLines(s lines) error {
	err := t.control(func(fd int) error {
		bits, err := unix.IoctlGetInt(fd, unix.TIOCMGET)
		if err != nil {
			return err
		}
		return unix.IoctlSetPointerInt(fd, unix.TIOCMSET, s.apply(bits))
	})
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w (%w): set serial.reset.method to command or gpio, or open the port by rfc2217://", ErrNoLines, err)
	}
	return err
}

// apply changes the modem bits of tty_ioctl(4).
func (s lines) apply(bits int) int {
	return s.rts.apply(s.dtr.apply(bits, unix.TIOCM_DTR), unix.TIOCM_RTS)
}

func (l level) apply(bits, bit int) int {
	switch l {
	case asserted:
		return bits | bit
	case released:
		return bits &^ bit
	default:
		return bits
	}
}

// probe asks for the terminal settings: a hung-up tty answers EIO.
func (t *tty) probe() error {
	return t.control(func(fd int) error {
		_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
}

// Close gives everything back, the lock file first and the flock last, so
// that nobody who waits for the flock finds the file.
func (t *tty) Close() error {
	var errs []error
	if t.lockFile != "" {
		if err := os.Remove(t.lockFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if t.port != nil {
		errs = append(errs, t.port.Close())
	}
	return errors.Join(append(errs, t.file.Close())...)
}

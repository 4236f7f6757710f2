package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/robot-platform/robot-ota/sim/espsim"
)

// PTY serves the line as a pseudo terminal behind a symbolic link. When the
// cable is pulled the terminal goes away, link included, and another comes
// with the cable.
type PTY struct {
	chip *espsim.Chip
	path string
	log  *slog.Logger
	dev  *device
}

// OpenPTY makes the terminal and the link to it. What stands at path is
// replaced if it is a symbolic link, and refused if it is anything else.
func OpenPTY(chip *espsim.Chip, path string, log *slog.Logger) (*PTY, error) {
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSymlink == 0 {
		return nil, fmt.Errorf("pty link %s: there is something that is no link; remove it or name another place", path)
	}
	p := &PTY{chip: chip, path: path, log: log}
	dev, err := p.open()
	if err != nil {
		return nil, err
	}
	p.dev = dev
	return p, nil
}

// Path is the link's.
func (p *PTY) Path() string { return p.path }

// Serve moves bytes until ctx ends.
func (p *PTY) Serve(ctx context.Context) error {
	defer p.drop()
	for {
		plugged, changed := p.chip.Cable()
		if plugged {
			if err := p.carry(ctx); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		p.drop()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// carry moves bytes until the cable is pulled or ctx ends.
func (p *PTY) carry(ctx context.Context) error {
	if p.dev == nil {
		dev, err := p.open()
		if err != nil {
			return err
		}
		p.dev = dev
	}
	defer p.drop()
	if err := p.dev.serve(ctx, p.chip.Open()); ctx.Err() == nil && !errors.Is(err, espsim.ErrUnplugged) {
		return fmt.Errorf("pty %s: %w", p.path, err)
	}
	return nil
}

// drop takes the terminal and the link to it away.
func (p *PTY) drop() {
	if p.dev == nil {
		return
	}
	p.dev.close()
	p.dev = nil
	if fi, err := os.Lstat(p.path); err == nil && fi.Mode()&os.ModeSymlink != 0 {
		_ = os.Remove(p.path)
	}
}

// device is one pseudo terminal.
type device struct {
	master *os.File
	name   string
}

// open makes a raw terminal and points the link at it.
func (p *PTY) open() (*device, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("pty: %w", err)
	}
	d := &device{master: master, name: slave.Name()}
	if d.master, err = pollable(master); err != nil {
		return nil, errors.Join(fmt.Errorf("pty: %w", err), slave.Close())
	}
	_, err = term.MakeRaw(int(slave.Fd()))
	// Nobody holds the slave from here on, so that the master learns whether
	// there is a client.
	err = errors.Join(err, slave.Close())
	if err == nil {
		err = p.link(d.name)
	}
	if err != nil {
		d.close()
		return nil, fmt.Errorf("pty %s: %w", p.path, err)
	}
	p.log.Debug("pty", "link", p.path, "device", d.name)
	return d, nil
}

// pollable gives the same file in non-blocking mode: creack/pty leaves it
// blocking, and then no deadline ends a read. The old one is closed.
func pollable(f *os.File) (*os.File, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// link points the symbolic link at target, in one step.
func (p *PTY) link(target string) error {
	dir, err := os.MkdirTemp(filepath.Dir(p.path), ".pty-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	aside := filepath.Join(dir, "link")
	if err := os.Symlink(target, aside); err != nil {
		return err
	}
	return os.Rename(aside, p.path)
}

func (d *device) close() { _ = d.master.Close() }

// serve moves bytes until the port or ctx ends.
func (d *device) serve(ctx context.Context, port *espsim.Port) error {
	port.FollowBaud(d.baud)
	ctx, cancel := context.WithCancel(ctx)
	var in sync.WaitGroup
	in.Go(func() {
		d.input(ctx, port)
		_ = port.Close()
	})
	stop := context.AfterFunc(ctx, func() {
		_ = d.master.SetDeadline(time.Unix(1, 0))
		_ = port.Close()
	})
	err := d.output(port)
	cancel()
	stop()
	_ = d.master.SetDeadline(time.Unix(1, 0))
	in.Wait()
	return err
}

// clientPoll is how often the master is asked whether a client has come: a
// pseudo terminal tells when the last has gone, not when the next is there.
const clientPoll = 20 * time.Millisecond

// input brings the chip what the client writes.
func (d *device) input(ctx context.Context, port *espsim.Port) {
	buf := make([]byte, 4096)
	for {
		n, err := d.master.Read(buf)
		switch {
		case err == nil:
			if _, err := port.Write(buf[:n]); err != nil {
				return
			}
		case errors.Is(err, unix.EIO): // nobody has the slave open
			t := time.NewTimer(clientPoll)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return
			}
		default:
			return
		}
	}
}

// output brings the client what the chip says. Where there is no client the
// bytes are lost, as on a closed tty.
func (d *device) output(port *espsim.Port) error {
	buf := make([]byte, 4096)
	for {
		n, err := port.Read(buf)
		if err != nil {
			return err
		}
		if !d.hasClient() {
			continue
		}
		// One that does not read loses bytes too, after a while.
		_ = d.master.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := d.master.Write(buf[:n]); err != nil &&
			!errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, unix.EIO) {
			return err
		}
	}
}

func (d *device) hasClient() bool {
	open := false
	d.control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		_, err := unix.Poll(fds, 0)
		open = err == nil && fds[0].Revents&unix.POLLHUP == 0
	})
	return open
}

// baud is the client's rate: the master sees the slave's termios.
func (d *device) baud() int {
	baud := 0
	d.control(func(fd uintptr) {
		if t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS2); err == nil {
			baud = int(t.Ospeed)
		}
	})
	return baud
}

func (d *device) control(f func(uintptr)) {
	if rc, err := d.master.SyscallConn(); err == nil {
		_ = rc.Control(f)
	}
}

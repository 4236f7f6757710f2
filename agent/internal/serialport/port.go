package serialport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// link is one open connection to the chip: a tty or a telnet session.
type link interface {
	io.ReadWriteCloser
	setReadTimeout(time.Duration) error
	setBaud(int) error
	resetInput() error
	setLines(lines) error
	probe() error // nil while the far side is there, as far as can be told
}

const (
	defaultReadTimeout = time.Second
	reopenPoll         = 50 * time.Millisecond
)

// Port is an open serial port. One goroutine reads, writes and resets; Close
// may come from another one and ends a read that waits.
type Port struct {
	cfg  Config
	path string // as configured
	log  *slog.Logger
	usb  USB // of the adapter, zero if it is none

	mu      sync.Mutex // guards what follows
	link    link       // nil between the links of a Reopen
	closed  bool
	baud    int
	timeout time.Duration
}

// Open opens the port of cfg, 8N1 without flow control, for this process
// alone. ctx bounds the opening. The chip's lines are not touched beyond what
// the kernel does to them (it raises DTR and RTS together, which resets
// nothing on the usual two-transistor circuit).
//
// Errors: ErrConfig, ErrNoDevice, ErrPermission, ErrNotTTY, ErrInUse (an
// *InUseError that names the holders), ErrBaud, ctx's.
func Open(ctx context.Context, cfg Config) (*Port, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Port{cfg: cfg, path: cfg.Port, log: cfg.logger(), baud: cfg.Baud, timeout: defaultReadTimeout}
	if p.baud == 0 {
		p.baud = DefaultBaud
	}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Port) open(ctx context.Context) error {
	p.mu.Lock()
	baud, timeout := p.baud, p.timeout
	p.mu.Unlock()
	l, err := p.connect(ctx, baud)
	if err != nil {
		return err
	}
	if err := l.setReadTimeout(timeout); err != nil {
		return errors.Join(err, l.Close())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.Join(p.closedError("open"), l.Close())
	}
	p.link = l
	return nil
}

func (p *Port) connect(ctx context.Context, baud int) (link, error) {
	if p.cfg.remote() {
		r, err := parseRemote(p.cfg.Port)
		if err != nil {
			return nil, err
		}
		return dialRFC2217(ctx, r, baud, p.log)
	}
	t, err := openTTY(ctx, p.cfg, baud, p.log)
	if err != nil {
		return nil, err
	}
	p.usb = t.usb
	return t, nil
}

// Read reads what has come, at least one byte. After the read timeout without
// one it gives 0 and os.ErrDeadlineExceeded. ErrGone: the port is dead.
func (p *Port) Read(b []byte) (int, error) {
	l, err := p.current("read")
	if err != nil || len(b) == 0 {
		return 0, err
	}
	n, err := l.Read(b)
	return n, p.judge("read", err)
}

// Write writes all of b, or fails: with ErrGone, or with
// os.ErrDeadlineExceeded when the adapter takes no bytes for seconds.
func (p *Port) Write(b []byte) (int, error) {
	l, err := p.current("write")
	if err != nil || len(b) == 0 {
		return 0, err
	}
	n, err := l.Write(b)
	return n, p.judge("write", err)
}

// SetReadTimeout bounds each Read from now on; 0 asks only for what is there.
func (p *Port) SetReadTimeout(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("read timeout %v of %s: must not be negative", d, p.path)
	}
	l, err := p.current("set read timeout")
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.timeout = d
	p.mu.Unlock()
	return p.judge("set read timeout", l.setReadTimeout(d))
}

// SetBaud changes the rate, MinBaud to MaxBaud. ErrBaud: the adapter or
// server cannot; the rate that was set before may be lost then.
func (p *Port) SetBaud(baud int) error {
	if err := checkBaud(baud); err != nil {
		return err
	}
	l, err := p.current("set baud")
	if err != nil {
		return err
	}
	if err := l.setBaud(baud); err != nil {
		return p.judge("set baud", err)
	}
	p.mu.Lock()
	p.baud = baud
	p.mu.Unlock()
	return nil
}

// ResetInput drops all input that was not read yet.
func (p *Port) ResetInput() error {
	l, err := p.current("reset input")
	if err != nil {
		return err
	}
	return p.judge("reset input", l.resetInput())
}

// setLines sets DTR and RTS as s says.
func (p *Port) setLines(s lines) error {
	l, err := p.current("set lines")
	if err != nil {
		return err
	}
	return p.judge("set lines", l.setLines(s))
}

// probe reports ErrGone when the port is known to be dead.
func (p *Port) probe() error {
	l, err := p.current("probe")
	if err != nil {
		return err
	}
	return p.judge("probe", l.probe())
}

// Close gives the port back: lock, lock file and all. A second Close does
// nothing.
func (p *Port) Close() error {
	p.mu.Lock()
	l := p.link
	p.link, p.closed = nil, true
	p.mu.Unlock()
	if l == nil {
		return nil
	}
	return l.Close()
}

// Reopen closes the port and opens it again with the rate and timeout it had,
// waiting for the device to come back until ctx ends: a chip that resets its
// own USB port makes the tty vanish for a while, udev sets its permissions a
// moment after it appears, and ModemManager may look at it first. The last
// reason stands in the error.
func (p *Port) Reopen(ctx context.Context) error {
	p.mu.Lock()
	old := p.link
	p.link = nil
	p.mu.Unlock()
	if old != nil {
		_ = old.Close() // dead or not, it is of no use any more
	}
	tick := time.NewTicker(reopenPoll)
	defer tick.Stop()
	var last error
	for {
		if ctx.Err() == nil {
			err := p.open(ctx)
			if err == nil {
				return nil
			}
			if errors.Is(err, os.ErrClosed) || errors.Is(err, ErrNotTTY) || errors.Is(err, ErrBaud) {
				return err
			}
			if ctx.Err() == nil {
				last = err
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(&GoneError{Port: p.path, Op: "reopen", Err: ctx.Err()}, last)
		case <-tick.C:
		}
	}
}

// String is the port as configured.
func (p *Port) String() string { return p.path }

func (p *Port) current(op string) (link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, p.closedError(op)
	}
	if p.link == nil {
		return nil, &GoneError{Port: p.path, Op: op, Err: errors.New("not open again yet")}
	}
	return p.link, nil
}

func (p *Port) closedError(op string) error {
	return fmt.Errorf("serial port %s: %s: %w", p.path, op, os.ErrClosed)
}

// judge sorts a link's error: time-outs pass as the sentinel alone, a dead
// port becomes a GoneError, and what a Close of ours caused is os.ErrClosed.
func (p *Port) judge(op string, err error) error {
	if err == nil {
		return nil
	}
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	switch {
	case closed:
		return p.closedError(op)
	case op == "read" && errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case isGone(err):
		return &GoneError{Port: p.path, Op: op, Err: err}
	}
	return fmt.Errorf("serial port %s: %s: %w", p.path, op, err)
}

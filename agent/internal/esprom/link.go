package esprom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Time-outs. Those of the flash commands grow with their size (flash.go).
const (
	replyTimeout = 3 * time.Second
	syncTimeout  = 100 * time.Millisecond
	// pollInterval bounds one Read, and so how late a cancelled context is seen.
	pollInterval = 100 * time.Millisecond
	// maxIgnored bounds the frames passed over in wait of one reply.
	maxIgnored = 200
)

// timeoutError: the reply did not come in time. It is ErrSilent, or ErrNoise
// when something came that was no reply.
type timeoutError struct {
	op    byte
	after time.Duration
	noise bool
}

func (e *timeoutError) Error() string {
	if e.noise {
		return fmt.Sprintf("%s: no sound reply within %v: %v", opName(e.op), e.after, ErrNoise)
	}
	return fmt.Sprintf("%s: no reply within %v: %v", opName(e.op), e.after, ErrSilent)
}

func (e *timeoutError) Unwrap() error {
	if e.noise {
		return ErrNoise
	}
	return ErrSilent
}

// link exchanges frames over a port.
type link struct {
	port Port
	dec  decoder
	in   []byte // read, not yet decoded
	rbuf [4096]byte
	wbuf []byte
	ear  ear
	poll time.Duration // what the port's read time-out is set to
}

func newLink(p Port) *link { return &link{port: p} }

// send writes b, which holds whole frames, in one call.
func (l *link) send(b []byte) error {
	n, err := l.port.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write to serial port: %w: %w", ErrDead, err)
	}
	return nil
}

// drop forgets what was read and not used.
func (l *link) drop() {
	l.in = nil
	l.dec.reset()
}

// discard forgets what has come in and was not asked for.
func (l *link) discard() error {
	l.drop()
	in, ok := l.port.(Input)
	if !ok {
		return nil
	}
	if err := in.ResetInput(); err != nil {
		return fmt.Errorf("discard serial input: %w: %w", ErrDead, err)
	}
	return nil
}

// fill reads once, until deadline at the latest. It returns false when the
// deadline has passed with nothing to read.
func (l *link) fill(ctx context.Context, deadline time.Time) (bool, error) {
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		n, err := l.read(min(left, pollInterval))
		if err != nil {
			return false, err
		}
		if n > 0 {
			l.in = l.rbuf[:n]
			l.ear.hear(l.in)
			return true, nil
		}
	}
}

func (l *link) read(wait time.Duration) (int, error) {
	// A pending time-out is rounded up so that the last, short wait of each
	// exchange does not cost a system call to set and one to set back.
	if wait > pollInterval/2 {
		wait = pollInterval
	}
	if wait != l.poll {
		if err := l.port.SetReadTimeout(wait); err != nil {
			return 0, fmt.Errorf("set serial read time-out: %w: %w", ErrDead, err)
		}
		l.poll = wait
	}
	n, err := l.port.Read(l.rbuf[:])
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, fmt.Errorf("read from serial port: %w: %w", ErrDead, err)
	}
	return n, nil
}

// frame returns the next frame, or nil when the deadline passes first.
func (l *link) frame(ctx context.Context, deadline time.Time) ([]byte, error) {
	for {
		for len(l.in) > 0 {
			n, f := l.dec.feed(l.in)
			l.in = l.in[n:]
			if f != nil {
				return f, nil
			}
		}
		more, err := l.fill(ctx, deadline)
		if err != nil || !more {
			return nil, err
		}
	}
}

// request sends r and waits for its reply, whatever its status.
//
// Frames that are no reply to r are passed over. One exception: the ESP32's
// ROM answers an opcode it does not know with "invalid" under the opcode before.
func (l *link) request(ctx context.Context, r request, timeout time.Duration) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	l.drop()
	l.wbuf = r.appendTo(l.wbuf[:0])
	if err := l.send(l.wbuf); err != nil {
		return reply{}, err
	}
	return l.reply(ctx, r.op, timeout)
}

func (l *link) reply(ctx context.Context, op byte, timeout time.Duration) (reply, error) {
	deadline := time.Now().Add(timeout)
	noise := false
	for range maxIgnored {
		f, err := l.frame(ctx, deadline)
		if err != nil {
			return reply{}, err
		}
		if f == nil {
			noise = noise || len(l.dec.buf) > 0
			return reply{}, &timeoutError{op: op, after: timeout, noise: noise}
		}
		r, ok := parseReply(f)
		if !ok {
			noise = true
			continue
		}
		l.ear.frames++
		if r.op == op {
			return r, nil
		}
		if r.body[0] != 0 && r.body[1] == romFormat {
			r.op = op
			return r, nil
		}
	}
	return reply{}, &timeoutError{op: op, after: timeout, noise: true}
}

package esprom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	romBaud         = 115200
	connectAttempts = 7
	syncsPerAttempt = 5
	// bootLogWait is how long the ROM may take from reset until it listens.
	bootLogWait = 50 * time.Millisecond
	// syncReplies is how many replies one SYNC gets.
	syncReplies = 8
	// quietTime without a byte means that no more replies are under way.
	quietTime = 30 * time.Millisecond
	// maxNoise is how long it is waited for that, longer than the stub's answer
	// to a read takes.
	maxNoise = 3 * time.Second
)

// syncRequest is the SYNC payload that the loaders measure the speed by.
func syncRequest() request {
	args := append([]byte{0x07, 0x07, 0x12, 0x20}, bytes.Repeat([]byte{0x55}, 32)...)
	return request{op: opSync, args: args}
}

// connector brings a chip from an unknown state to a loader that answers.
type connector struct {
	link  *link
	reset Resetter
	opts  Options
	log   *slog.Logger
	stub  bool // the stub answers
	baud  int  // of the port
}

// connect resets and syncs until a loader answers, attempts times at most.
//
// After a reset that had no effect (no reset lines, or a broken reset command)
// the chip may still be in a stub that an earlier process uploaded and left at
// a higher speed, so those speeds are tried as well.
func (c *connector) connect(ctx context.Context, attempts int) error {
	failure := &ConnectError{Attempts: attempts}
	for n := range attempts {
		if err := c.setBaud(romBaud); err != nil {
			return fmt.Errorf("%w: %w", ErrDead, err)
		}
		err := c.attempt(ctx, n)
		if err == nil {
			return nil
		}
		if fatal(err) {
			return err
		}
		var re *resetError
		if errors.As(err, &re) {
			failure.Reset = re.err
		}
		failure.note(c.link.ear)
		if heard := c.link.ear.tail; n%2 == 0 && !ready(heard) && !appBoots(heard) {
			found, err := c.findStub(ctx)
			if err != nil || found {
				return err
			}
		}
	}
	return failure
}

// note keeps the most telling of what the attempts heard.
func (e *ConnectError) note(heard ear) {
	h := classify(heard.tail, heard.frames)
	if e.Heard == "" || e.Heard == HeardNothing || h == HeardApp || h == HeardDownload {
		e.Heard, e.Sample = h, sample(heard.tail)
	}
}

// fatal tells errors that no further attempt can mend.
func fatal(err error) bool {
	return errors.Is(err, ErrDead) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

type resetError struct{ err error }

func (e *resetError) Error() string { return "reset: " + e.err.Error() }
func (e *resetError) Unwrap() error { return e.err }

// attempt is one reset and the syncs after it.
func (c *connector) attempt(ctx context.Context, n int) error {
	if err := c.link.discard(); err != nil {
		return err
	}
	c.link.ear.reset()
	resetErr := c.reset.Bootloader(ctx, n)
	if err := ctx.Err(); err != nil {
		return err
	}
	c.link.poll = 0 // the resetter may have used the port
	if resetErr == nil {
		if err := c.awaitReady(ctx); err != nil {
			return err
		}
	}
	tries := syncsPerAttempt
	if appBoots(c.link.ear.tail) {
		tries = 1 // this reset did not do it; on to the next
	}
	err := c.sync(ctx, tries)
	if err != nil && !fatal(err) && resetErr != nil {
		return &resetError{resetErr}
	}
	return err
}

// awaitReady waits for the ROM to say that it listens, bootLogWait at most: a
// SYNC sent earlier would be lost and cost a time-out.
func (c *connector) awaitReady(ctx context.Context) error {
	deadline := time.Now().Add(bootLogWait)
	for !ready(c.link.ear.tail) {
		more, err := c.link.fill(ctx, deadline)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// ready: the ROM has said "waiting for download" and ended the line.
func ready(heard []byte) bool {
	i := bytes.LastIndex(heard, markWaiting)
	return i >= 0 && bytes.IndexByte(heard[i:], '\n') >= 0
}

// sync sends SYNC until the loader answers.
//
// The loader may be in the middle of a frame, which the next 0xC0 ends. The
// stub takes borders in pairs: after a lost one it waits for frames where gaps
// are, until an odd border comes. So every second SYNC has one to spare.
func (c *connector) sync(ctx context.Context, tries int) error {
	frame := syncRequest().appendTo(nil)
	spare := append([]byte{slipEnd}, frame...)
	err := error(&timeoutError{op: opSync, after: syncTimeout})
	for n := range tries {
		b := frame
		if n%2 == 1 {
			b = spare
		}
		c.link.drop()
		if err := c.link.send(b); err != nil {
			return err
		}
		var r reply
		if r, err = c.link.reply(ctx, opSync, syncTimeout); err != nil {
			if fatal(err) {
				return err
			}
			continue
		}
		if _, err = r.result(0, c.stub); err != nil {
			// The stub reports the failure of the write before; it listens.
			continue
		}
		c.stub = r.value == 0
		return c.drain(ctx, (n+1)*syncReplies-1)
	}
	return err
}

// drain reads the replies that are still due, up to most, until they stop.
func (c *connector) drain(ctx context.Context, most int) error {
	for range most {
		f, err := c.link.frame(ctx, time.Now().Add(quietTime))
		if err != nil {
			return err
		}
		if f == nil {
			break
		}
	}
	return c.link.discard()
}

// quiet reads until nothing comes any more, maxNoise at most: a chip that talks
// for ever is not to keep the robot without its firmware for as long.
func (l *link) quiet(ctx context.Context) error {
	for end := time.Now().Add(maxNoise); time.Now().Before(end); {
		more, err := l.fill(ctx, time.Now().Add(quietTime))
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	return l.discard()
}

// findStub looks for a running stub at the speeds we may have left it at.
func (c *connector) findStub(ctx context.Context) (bool, error) {
	if _, ok := c.link.port.(Baud); !ok {
		return false, nil
	}
	for _, baud := range ladder(c.opts.Baud) {
		if baud == romBaud {
			continue
		}
		if err := c.setBaud(baud); err != nil {
			continue
		}
		err := c.sync(ctx, 3)
		if err == nil {
			c.log.Info("found a bootloader at the speed an earlier session left it at", "baud", baud, "stub", c.stub)
			return true, nil
		}
		if fatal(err) {
			return false, err
		}
	}
	return false, nil
}

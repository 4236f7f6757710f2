package esprom

import (
	"context"
	"errors"
	"time"
)

const (
	// askTimeout bounds commands that touch no flash.
	askTimeout = 500 * time.Millisecond
	askTries   = 3
)

// ask sends a command that does no harm when it is carried out twice, and
// sends it again when the exchange was garbled. The reply may be a failure.
func (c *connector) ask(ctx context.Context, r request) (reply, error) {
	return c.askFor(ctx, r, askTimeout)
}

func (c *connector) askFor(ctx context.Context, r request, timeout time.Duration) (reply, error) {
	var err error
	for n := range askTries {
		if n > 0 {
			if err := c.resync(ctx); err != nil {
				return reply{}, err
			}
		}
		if err = c.link.discard(); err != nil {
			return reply{}, err
		}
		var p reply
		if p, err = c.link.request(ctx, r, timeout); err != nil {
			if fatal(err) {
				return reply{}, err
			}
			continue
		}
		if !p.garbled(c.stub) || n == askTries-1 {
			return p, nil
		}
	}
	return reply{}, err
}

// resync brings the loader that answered before back into step.
func (c *connector) resync(ctx context.Context) error {
	if err := c.link.quiet(ctx); err != nil {
		return err
	}
	stub := c.stub
	if err := c.sync(ctx, syncsPerAttempt+1); err != nil {
		return err
	}
	if c.stub != stub {
		return errLeftLoader
	}
	return nil
}

// errLeftLoader: another loader answers than the one that was set up.
var errLeftLoader = errors.New("the chip was reset behind our back")

// garbled: the loader got the request, but not as it was sent.
func (r reply) garbled(stub bool) bool {
	return r.body[0] != 0 && r.failure(r.body, stub).garbled()
}

func (e *CommandError) garbled() bool {
	if e.Stub {
		return e.Code == stubLength || e.Code == stubChecksum
	}
	return e.Code == romFormat || e.Code == romChecksum
}

// run is ask for a command whose reply carries nothing but its status.
func (c *connector) run(ctx context.Context, r request) error {
	p, err := c.ask(ctx, r)
	if err != nil {
		return err
	}
	_, err = p.result(0, c.stub)
	return err
}

func (c *connector) readReg(ctx context.Context, addr uint32) (uint32, error) {
	p, err := c.ask(ctx, request{op: opReadReg, args: words(addr)})
	if err != nil {
		return 0, err
	}
	_, err = p.result(0, c.stub)
	return p.value, err
}

// regWrite is one entry of WRITE_REG.
type regWrite struct{ addr, value, mask uint32 }

const allBits = 0xFFFFFFFF

// writeRegs writes registers in order: at once through the stub, one by one
// through the ROM.
func (c *connector) writeRegs(ctx context.Context, w ...regWrite) error {
	var args []byte
	for i, e := range w {
		args = append(args, words(e.addr, e.value, e.mask, 0)...)
		if c.stub && i < len(w)-1 {
			continue
		}
		if err := c.run(ctx, request{op: opWriteReg, args: args}); err != nil {
			return err
		}
		args = nil
	}
	return nil
}

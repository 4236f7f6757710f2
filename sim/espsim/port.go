package espsim

import (
	"errors"
	"os"
	"sync"
	"time"
)

// ErrUnplugged is what a Port says once its cable was pulled. It stays dead
// then, as a USB adapter's device does: open another after Chip.Plug.
var ErrUnplugged = errors.New("serial cable is unplugged")

const (
	hostBuffer  = 64 << 10 // bytes a host may leave unread before they are lost
	hostQueue   = 4096     // bytes a driver takes before a write blocks
	defaultBaud = 115200
)

// Port is a host's end of the serial line. Reads block up to the read
// time-out and then give 0 and os.ErrDeadlineExceeded. It is safe for one
// reader and any number of writers.
type Port struct {
	chip *Chip
	gone chan struct{} // closed with the first of Close and Unplug

	mu      sync.Mutex
	err     error // why it is gone
	rx      []byte
	ready   chan struct{}
	timeout time.Duration
	baud    int
	follow  func() int
}

func newPort(c *Chip) *Port {
	return &Port{chip: c, gone: make(chan struct{}), ready: make(chan struct{}, 1), baud: defaultBaud}
}

// Read returns what has arrived, waiting for the first byte.
func (p *Port) Read(b []byte) (int, error) {
	p.mu.Lock()
	timeout := p.timeout
	p.mu.Unlock()
	var late <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	for {
		if n, err := p.take(b); n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		select {
		case <-p.ready:
		case <-p.gone:
		case <-late:
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (p *Port) take(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, p.err
	}
	n := copy(b, p.rx)
	p.rx = p.rx[:copy(p.rx, p.rx[n:])]
	return n, nil
}

// Write sends b, blocking while more than a driver's buffer waits to go over
// the line.
func (p *Port) Write(b []byte) (int, error) {
	p.mu.Lock()
	err, baud := p.err, p.rate()
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := p.chip.in.write(p.chip.ctx, p.gone, b, baud)
	if err != nil {
		return n, p.why(err)
	}
	return n, nil
}

func (p *Port) why(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	return err
}

// SetReadTimeout bounds how long Read waits; 0 is for ever.
func (p *Port) SetReadTimeout(d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timeout = d
	return p.err
}

// SetBaud sets the host's baud rate; 115200 at first.
func (p *Port) SetBaud(baud int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.baud = baud
	return p.err
}

// FollowBaud has the baud rate asked of f, which must not block, whenever bytes
// come or go.
func (p *Port) FollowBaud(f func() int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.follow = f
}

// rate is the host's baud rate now. The caller holds mu.
func (p *Port) rate() int {
	if p.follow != nil {
		p.baud = p.follow()
	}
	return p.baud
}

// ResetInput forgets what arrived and was not read.
func (p *Port) ResetInput() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rx = p.rx[:0]
	return p.err
}

// SetLines sets DTR and RTS (true is asserted, pin low).
func (p *Port) SetLines(dtr, rts bool) error {
	if err := p.why(nil); err != nil {
		return err
	}
	p.chip.SetLines(dtr, rts)
	return nil
}

// Close unplugs this end.
func (p *Port) Close() error {
	p.end(os.ErrClosed)
	p.chip.forget(p)
	return nil
}

func (p *Port) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = why
		close(p.gone)
	}
}

// receive takes what the chip sent at a baud rate.
func (p *Port) receive(b []byte, baud int) {
	p.mu.Lock()
	if own := p.rate(); !matching(baud, own) {
		b = garbled(b, baud, own)
	}
	b = b[:min(len(b), hostBuffer-len(p.rx))]
	p.rx = append(p.rx, b...)
	p.mu.Unlock()
	if len(b) > 0 {
		notify(p.ready)
	}
}

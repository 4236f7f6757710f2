package espsim

import (
	"context"
	"sync"
)

// uart is the chip's end of the line, for one life of the chip.
type uart struct {
	out *lane

	mu    sync.Mutex
	rx    []byte
	limit int // bytes that fit while nobody takes them; 0: no bound
	lost  int
	baud  int
	auto  bool // takes the host's baud rate, as the ROM does until it is synced
	ready chan struct{}
}

func newUART(out *lane, baud int, auto bool) *uart {
	return &uart{out: out, baud: baud, auto: auto, ready: make(chan struct{}, 1)}
}

// deliver is the line bringing bytes.
func (u *uart) deliver(p []byte, baud int) {
	u.mu.Lock()
	if u.auto && baud >= 1200 && baud <= 5_000_000 {
		u.baud = baud
	}
	if !matching(baud, u.baud) {
		p = garbled(p, baud, u.baud)
	}
	if u.limit > 0 {
		if room := max(u.limit-len(u.rx), 0); len(p) > room {
			u.lost += len(p) - room
			p = p[:room]
		}
	}
	u.rx = append(u.rx, p...)
	u.mu.Unlock()
	if len(p) > 0 {
		notify(u.ready)
	}
}

// receive waits for bytes and takes all that are there.
func (u *uart) receive(ctx context.Context, buf []byte) ([]byte, error) {
	for {
		u.mu.Lock()
		buf = append(buf[:0], u.rx...)
		u.rx = u.rx[:0]
		u.mu.Unlock()
		if len(buf) > 0 {
			return buf, context.Cause(ctx)
		}
		select {
		case <-u.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// busy bounds what the line may bring while the chip is at work: from here on
// only limit bytes are kept, of those that were taken and not looked at too.
func (u *uart) busy(limit, pending int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.limit = max(limit-pending, 1)
}

// idle lifts the bound and says how many bytes were lost under it.
func (u *uart) idle() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	lost := u.lost
	u.limit, u.lost = 0, 0
	return lost
}

// send writes p at the chip's baud rate.
func (u *uart) send(ctx context.Context, p []byte) error {
	u.mu.Lock()
	baud := u.baud
	u.mu.Unlock()
	_, err := u.out.write(ctx, nil, p, baud)
	return err
}

// setBaud fixes the chip's baud rate.
func (u *uart) setBaud(baud int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.baud, u.auto = baud, false
}

// lock ends the search for the host's baud rate.
func (u *uart) lock() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.auto = false
}

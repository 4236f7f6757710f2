package killtest

import (
	"io"
	"net"
	"sync"
)

// wire stands between agents and the chip's line, and calls back in the middle
// of what an agent sends.
type wire struct {
	net.Listener
	chip string // host:port
	wg   sync.WaitGroup

	mu   sync.Mutex
	sent int // bytes, to the chip
	at   int // calls hit after so many; 0: never
	hit  func()
}

func newWire(chip string) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{Listener: l, chip: chip}
	w.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.carry(c) })
		}
	})
	return w, nil
}

// arm has hit called after so many bytes from now on.
func (w *wire) arm(at int, hit func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.at, w.hit = 0, at, hit
}

func (w *wire) carried() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

func (w *wire) carry(agent net.Conn) {
	defer agent.Close()
	chip, err := net.Dial("tcp", w.chip)
	if err != nil {
		return
	}
	defer chip.Close()
	w.wg.Go(func() {
		_, _ = io.Copy(agent, chip)
		_ = agent.Close()
	})
	_, _ = io.Copy(struct{ io.Writer }{&counting{w, chip}}, agent)
}

// counting is the way to the chip.
type counting struct {
	wire *wire
	chip net.Conn
}

func (c *counting) Write(b []byte) (int, error) {
	w := c.wire
	w.mu.Lock()
	before := w.sent
	w.sent += len(b)
	hit := w.hit
	if w.at <= before || w.at > w.sent {
		hit = nil
	}
	w.mu.Unlock()
	if hit == nil {
		return c.chip.Write(b)
	}
	n, err := c.chip.Write(b[:w.at-before])
	hit()
	if err == nil {
		err = io.ErrClosedPipe
	}
	return n, err
}

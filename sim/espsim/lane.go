package espsim

import (
	"context"
	"sync"
	"time"
)

// bitsPerByte on the line: start, eight, stop.
const bitsPerByte = 10

// lane is one direction of the serial line. Bytes written to it come out at
// the pace of their baud rate. Pacing keeps the line's own clock: what a timer
// comes late, as on a busy machine it does by milliseconds, is made good with
// the next piece, after a pause too, as what comes then may answer what came
// late. So the rate holds in aggregate, and a piece is some milliseconds long,
// so it costs a few hundred timers a second at most.
type lane struct {
	depth int               // bytes taken before a writer has to wait
	out   func([]byte, int) // where bytes arrive, with their baud rate
	paced bool

	mu     sync.Mutex
	queue  []burst
	queued int
	wake   chan struct{} // something was queued
	space  chan struct{} // closed, and replaced, when something left
}

// burst is bytes of one baud rate.
type burst struct {
	data []byte
	baud int
}

func newLane(depth int, paced bool, out func([]byte, int)) *lane {
	return &lane{
		depth: depth, paced: paced, out: out,
		wake: make(chan struct{}, 1), space: make(chan struct{}),
	}
}

// write queues p, waiting for space until ctx or gone ends.
func (l *lane) write(ctx context.Context, gone <-chan struct{}, p []byte, baud int) (int, error) {
	if !l.paced {
		l.out(p, baud)
		return len(p), nil
	}
	done := 0
	for {
		l.mu.Lock()
		n := min(len(p)-done, max(l.depth-l.queued, 0))
		if n > 0 {
			l.queue = append(l.queue, burst{append([]byte(nil), p[done:done+n]...), baud})
			l.queued += n
		}
		space := l.space
		l.mu.Unlock()
		if n > 0 {
			notify(l.wake)
		}
		if done += n; done == len(p) {
			return done, nil
		}
		select {
		case <-space:
		case <-ctx.Done():
			return done, context.Cause(ctx)
		case <-gone:
			return done, ErrUnplugged
		}
	}
}

// clear forgets what has not gone over the line yet.
func (l *lane) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue, l.queued = nil, 0
	close(l.space)
	l.space = make(chan struct{})
}

// run moves the bytes until ctx ends.
func (l *lane) run(ctx context.Context) {
	free := time.Now()
	var late time.Duration // of the last piece
	for {
		b, ok := l.take()
		if !ok {
			select {
			case <-l.wake:
			case <-ctx.Done():
				return
			}
			if from := time.Now().Add(-min(late, mostLate)); free.Before(from) {
				free = from // the line was idle
			}
			continue
		}
		free = free.Add(onLine(len(b.data), b.baud))
		if sleep(ctx, time.Until(free)) != nil {
			return
		}
		late = time.Since(free)
		l.out(b.data, b.baud)
	}
}

// mostLate is how much of a late timer is made good after a pause.
const mostLate = 50 * time.Millisecond

// take is the next piece: what goes over the line in about 5 ms.
func (l *lane) take() (burst, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return burst{}, false
	}
	b := l.queue[0]
	if n := min(max(b.baud/(bitsPerByte*200), 16), 4096); len(b.data) > n {
		l.queue[0].data = b.data[n:]
		b.data = b.data[:n]
	} else {
		l.queue = l.queue[1:]
	}
	l.queued -= len(b.data)
	close(l.space)
	l.space = make(chan struct{})
	return b, true
}

// onLine is how long n bytes take.
func onLine(n, baud int) time.Duration {
	if baud <= 0 {
		return 0
	}
	return time.Duration(n) * bitsPerByte * time.Second / time.Duration(baud)
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// matching says whether a receiver at one rate understands a sender at the
// other: UARTs stand about four percent.
func matching(a, b int) bool {
	d := a - b
	if d < 0 {
		d = -d
	}
	return a > 0 && b > 0 && d*25 <= max(a, b)
}

// garbled is what arrives at a receiver of the wrong rate: other bytes, and
// another number of them.
func garbled(p []byte, from, to int) []byte {
	out := make([]byte, 0, len(p))
	for i, b := range p {
		if (i+int(b))%3 == 0 && from > to { // several bits look like one
			continue
		}
		out = append(out, b<<3^b>>2^byte(0x5A+i))
	}
	return out
}

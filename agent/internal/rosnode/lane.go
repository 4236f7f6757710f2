package rosnode

import (
	"context"
	"sync"
	"time"
)

// lane is a bounded queue of work with its workers. A callback offers work and
// goes on; the workers do it, each piece within the lane's time.
type lane struct {
	work   chan func(context.Context)
	within time.Duration
}

func newLane(waiting int, within time.Duration) *lane {
	return &lane{work: make(chan func(context.Context), waiting), within: within}
}

// offer takes f on, or says that the queue is full.
func (l *lane) offer(f func(context.Context)) bool {
	select {
	case l.work <- f:
		return true
	default:
		return false
	}
}

// start begins so many workers, which end with ctx. What waits then is
// dropped.
func (l *lane) start(ctx context.Context, wg *sync.WaitGroup, workers int) {
	for range workers {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case f := <-l.work:
					if ctx.Err() == nil {
						l.do(ctx, f)
					}
				}
			}
		})
	}
}

func (l *lane) do(ctx context.Context, f func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, l.within)
	defer cancel()
	f(ctx)
}

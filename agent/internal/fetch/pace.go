package fetch

import (
	"context"
	"sync/atomic"
	"time"
)

// pace ends a transfer that is too slow.
type pace struct {
	every time.Duration // how long it may be slow
	least int64         // bytes that have to come in that time, at least 1
	got   atomic.Int64
}

func newPace(perSecond int64, patience time.Duration) *pace {
	return &pace{every: patience, least: max(1, int64(float64(perSecond)*patience.Seconds()))}
}

// watch looks at it until ctx ends.
func (p *pace) watch(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	var before int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := p.got.Load()
		if now-before < p.least {
			end(&tooSlow{got: now - before, over: p.every})
			return
		}
		before = now
	}
}

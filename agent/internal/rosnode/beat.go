package rosnode

import (
	"context"
	"time"
)

// The rhythm of the status.
const (
	statusEvery = 100 * time.Millisecond // at most
	heartbeat   = time.Second            // at least
)

// beat calls look at every piece of news, and publish when there is some: at
// once, but at most once every statusEvery, and at least once per heartbeat.
// It returns when ctx ends.
func beat(ctx context.Context, news <-chan struct{}, look, publish, pulse func()) {
	hold := time.NewTimer(0)
	defer hold.Stop()
	pulses := time.NewTicker(heartbeat)
	defer pulses.Stop()
	holding, changed := true, true // the first status goes out at once
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
			look()
			changed = true
		case <-pulses.C:
			look()
			pulse()
			changed = true
		case <-hold.C:
			holding = false
		}
		if changed && !holding {
			publish()
			changed, holding = false, true
			hold.Reset(statusEvery)
		}
	}
}

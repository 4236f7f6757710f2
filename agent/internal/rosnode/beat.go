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
	hold := time.NewTimer(0) // the first status goes out at once
	defer hold.Stop()
	pulses := time.NewTicker(heartbeat)
	defer pulses.Stop()
	var last time.Time // of the status
	held := true       // hold will publish
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
			look()
		case <-pulses.C:
			look()
			pulse()
		case <-hold.C:
			publish()
			last, held = time.Now(), false
			continue
		}
		if !held { // the timer runs only where there is something to say
			hold.Reset(statusEvery - time.Since(last))
			held = true
		}
	}
}

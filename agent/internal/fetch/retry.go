package fetch

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
)

const (
	// maxTries in a row without progress. ChromeOS's update_engine allows 20.
	maxTries = 20
	// minProgress is what must have come for the tries to be counted anew: a
	// server that gives a byte per connection is not to keep a robot busy for
	// weeks.
	minProgress = 64 << 10
)

// Waits between the tries, each ± half of itself, so that robots that lost the
// same server do not come back as one. Twenty of them take about an hour.
const (
	firstWait = time.Second
	longest   = 5 * time.Minute
	jitter    = 0.5
)

// budget decides whether a download that failed is tried again, and when.
type budget struct {
	giveUp time.Duration
	waits  backoff.ExponentialBackOff

	limit int // of tries in a row without progress
	tries int
	mark  int64 // bytes held when the tries were last counted anew
	most  int64 // bytes ever held
	since time.Time
}

func newBudget(giveUp time.Duration, held int64, now time.Time) *budget {
	return &budget{
		giveUp: giveUp, limit: maxTries, mark: held, most: held, since: now,
		waits: backoff.ExponentialBackOff{InitialInterval: firstWait, RandomizationFactor: jitter, Multiplier: 2, MaxInterval: longest},
	}
}

// next gives the wait before the next try, after one that died of cause with
// held bytes there; or a *GaveUpError.
func (b *budget) next(held int64, cause error, now time.Time) (time.Duration, error) {
	if held > b.most {
		b.most, b.since = held, now
	}
	if held >= b.mark+minProgress {
		b.mark, b.tries = held, 0
		b.waits.Reset()
	}
	b.tries++
	wait := max(b.waits.NextBackOff(), retryAfter(cause))
	idle := now.Sub(b.since)
	if b.tries >= b.limit || idle+wait > b.giveUp {
		return 0, &GaveUpError{Tries: b.tries, For: idle, Cause: cause}
	}
	return wait, nil
}

// retryAfter is how long the server asked to be left alone.
func retryAfter(err error) time.Duration {
	var status *httpguard.StatusError
	if errors.As(err, &status) {
		return status.RetryAfter
	}
	return 0
}

// sleep waits, or gives the cause of the context's end.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

package schedule

import (
	"math/rand/v2"
	"time"
)

const (
	// first is the time after the start within which the first check comes.
	first = 2 * time.Minute
	// retry is the least wait after a check that failed.
	retry = time.Minute
	// maxAlone bounds how long a server may ask to be left alone.
	maxAlone = 24 * time.Hour
	// lookEvery is how often the clock on the wall is looked at.
	lookEvery = time.Minute
	// idle is how long a schedule sleeps that never asks, unless it is woken.
	idle = time.Hour
)

// soon is the wait of a check that is due at the start.
func soon(period time.Duration) time.Duration { return spread(min(first, period)) }

// regular is the wait after a check that was answered.
func regular(period time.Duration) time.Duration { return period - period/10 + spread(period/5) }

// longest is what a wait may be where no server asked for more.
func longest(period time.Duration) time.Duration { return period + period/2 }

// again is the wait after so many failures on end, where the server asked to be
// left alone for some time, 0 for none.
func again(failures int, alone, period time.Duration) time.Duration {
	wait := retry
	for ; failures > 1 && wait < period; failures-- {
		wait *= 2
	}
	wait = min(wait, period)
	wait += spread(wait / 2)
	if alone = min(alone, maxAlone); alone > 0 {
		wait = max(wait, alone+spread(min(alone/10, first)))
	}
	return wait
}

// spread is a random part of d.
func spread(d time.Duration) time.Duration {
	return rand.N(max(d, 1)) //nolint:gosec // no secret hangs on it
}

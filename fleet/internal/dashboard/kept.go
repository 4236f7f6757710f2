package dashboard

import (
	"sync"
	"time"
)

// kept is a reading that everybody is shown for ten times as long as it took to
// make: however large the fleet and however many look at it, the store has nine
// tenths of its time for robots.
type kept[T any] struct {
	mu    sync.Mutex
	until time.Time
	value T
}

// get gives the reading, a new one if need be.
func (k *kept[T]) get(now func() time.Time, read func() (T, error)) (T, error) {
	const times = 10
	k.mu.Lock()
	defer k.mu.Unlock()
	began := now()
	if began.Before(k.until) {
		return k.value, nil
	}
	v, err := read()
	if err != nil {
		return v, err
	}
	ended := now()
	k.value, k.until = v, ended.Add(times*ended.Sub(began))
	return v, nil
}

package robot

import "sync"

// Board keeps the latest facts and wakes those who wait for news. It is safe
// for concurrent use, and Post never blocks: a ROS callback may call it.
type Board struct {
	mu    sync.Mutex
	facts Facts
	news  map[chan struct{}]struct{}
	taps  map[*tap]struct{}
}

type tap struct{ f func(Observation) }

// NewBoard is a board on which nothing was heard yet.
func NewBoard() *Board {
	return &Board{news: make(map[chan struct{}]struct{}), taps: make(map[*tap]struct{})}
}

// Post notes an observation.
func (b *Board) Post(o Observation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.facts = b.facts.With(o)
	for c := range b.news {
		select {
		case c <- struct{}{}:
		default: // it has been woken and not looked yet
		}
	}
	for t := range b.taps {
		t.f(o)
	}
}

// Facts is what is known now.
func (b *Board) Facts() Facts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.facts
}

// News returns a channel that receives whenever something was posted since it
// was last read, and the function that ends the subscription.
func (b *Board) News() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	b.mu.Lock()
	b.news[c] = struct{}{}
	b.mu.Unlock()
	return c, func() {
		b.mu.Lock()
		delete(b.news, c)
		b.mu.Unlock()
	}
}

// Tap calls f with every observation, in order, under the board's lock: f must
// return at once and must not use the board.
func (b *Board) Tap(f func(Observation)) (stop func()) {
	t := &tap{f}
	b.mu.Lock()
	b.taps[t] = struct{}{}
	b.mu.Unlock()
	return func() {
		b.mu.Lock()
		delete(b.taps, t)
		b.mu.Unlock()
	}
}

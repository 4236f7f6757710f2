package dashboard

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/internal/origin"
)

// doors are where log-ins are counted: by the address that they come from and
// by the name that they are for, so that neither one computer tries many names
// nor many computers one.
type doors struct {
	addresses, names *limiter
	proxies          origin.Proxies
	// turns bound how many passwords are hashed at a time, and with that the memory.
	turns chan struct{}
	// nobody is the hash that the password of a name that is not there is held against.
	nobody string
}

// How many log-ins may fail on end, after how long one more may, and how many
// addresses and names are remembered.
const (
	failures   = 10
	again      = time.Minute
	remembered = 4096
	hashing    = 2
)

// anyHash is one of a password that nobody knows.
const anyHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func newDoors(now func() time.Time, proxies origin.Proxies) doors {
	return doors{
		addresses: newLimiter(failures, again, remembered, now),
		names:     newLimiter(failures, again, remembered, now),
		proxies:   proxies,
		turns:     make(chan struct{}, hashing), nobody: anyHash,
	}
}

// enter takes a try, and the turn to hash; leave gives the turn back.
func (d doors) enter(r *http.Request, name string) (leave func(), err error) {
	for _, l := range []struct {
		of  *limiter
		key string
	}{{d.addresses, d.network(r)}, {d.names, clip(name, 64)}} {
		if wait := l.of.take(l.key); wait > 0 {
			return nil, faultf(http.StatusTooManyRequests, "Too many log-ins have failed. Try again in "+strconv.Itoa(int(math.Ceil(wait.Seconds())))+" s.")
		}
	}
	select {
	case d.turns <- struct{}{}:
		return func() { <-d.turns }, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// forget gives the tries back of who has logged in.
func (d doors) forget(r *http.Request, name string) {
	d.addresses.giveBack(d.network(r))
	d.names.forget(clip(name, 64))
}

// network is what a request is counted by: the address that it comes from.
func (d doors) network(r *http.Request) string { return origin.Network(d.proxies.Of(r)) }

// limiter lets a key have some tries, and one more after each pause. It knows a
// bounded number of keys: those that have all their tries need not be known,
// and of the others the one that was longest away is forgotten.
type limiter struct {
	most  float64
	pause time.Duration
	size  int
	now   func() time.Time

	mu    sync.Mutex
	tries map[string]tries
}

type tries struct {
	left float64
	at   time.Time
}

func newLimiter(most int, pause time.Duration, size int, now func() time.Time) *limiter {
	return &limiter{most: float64(most), pause: pause, size: size, now: now, tries: make(map[string]tries)}
}

// take takes one try; more than 0: there is none until then.
func (l *limiter) take(key string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.left(key)
	if left < 1 {
		return time.Duration((1 - left) * float64(l.pause))
	}
	if _, known := l.tries[key]; !known && len(l.tries) >= l.size {
		l.makeRoom()
	}
	l.tries[key] = tries{left - 1, l.now()}
	return 0
}

// giveBack gives a try back.
func (l *limiter) giveBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, known := l.tries[key]; known {
		t.left++
		l.tries[key] = t
	}
}

// forget gives all tries back.
func (l *limiter) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tries, key)
}

func (l *limiter) left(key string) float64 {
	t, known := l.tries[key]
	if !known {
		return l.most
	}
	return min(l.most, t.left+float64(l.now().Sub(t.at))/float64(l.pause))
}

func (l *limiter) makeRoom() {
	var oldest string
	for key, t := range l.tries {
		if l.left(key) >= l.most {
			delete(l.tries, key)
		} else if o, ok := l.tries[oldest]; !ok || t.at.Before(o.at) {
			oldest = key
		}
	}
	if len(l.tries) >= l.size {
		delete(l.tries, oldest)
	}
}

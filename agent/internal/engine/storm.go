package engine

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Anybody on the robot's ROS network and at its broker may ask for updates, and
// each job that begins is written to the disk and stays in the history. So there
// is a burst of them, and then one now and then.
const (
	defaultBurst = 30
	refill       = 20 * time.Second
)

// A StormError refuses a job because of too many before it.
type StormError struct{ Wait time.Duration } // whole seconds

func (e *StormError) Error() string {
	return fmt.Sprintf("too many updates were asked for in a short time: ask again in %s", e.Wait)
}

// Code names the refusal for machines.
func (*StormError) Code() string { return "too_many_triggers" }

// storm counts jobs that were asked for from outside.
type storm struct {
	mu    sync.Mutex
	taken float64 // of the burst
	at    time.Time
}

// admit takes a job on, and gives what takes that back where it does not begin.
func (s *storm) admit(o update.Origin, burst int, now time.Time) (back func(), err error) {
	if o != update.FromROS && o != update.FromMQTT { // the others keep their own pace
		return func() {}, nil
	}
	if burst <= 0 {
		burst = defaultBurst
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if gone := now.Sub(s.at); gone > 0 { // a clock that was set back refills nothing
		s.taken = max(0, s.taken-gone.Seconds()/refill.Seconds())
	}
	s.at = now
	if over := s.taken + 1 - float64(burst); over > 0 {
		return nil, &StormError{Wait: time.Duration(math.Ceil(over*refill.Seconds())) * time.Second}
	}
	s.taken++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken = max(0, s.taken-1)
	}, nil
}

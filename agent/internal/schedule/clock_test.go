package schedule

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// wall is a clock on the wall that is set to another time after a while.
type wall struct{ off atomic.Int64 }

func (w *wall) now() time.Time      { return time.Now().Add(time.Duration(w.off.Load())) }
func (w *wall) set(d time.Duration) { w.off.Add(int64(d)) }

const year = 365 * 24 * time.Hour

// While the agent lives a clock that is set back changes nothing, and one that
// is set forward past the check brings it forward, once.
func TestAClockThatIsSetWhileTheAgentLives(t *testing.T) {
	for name, tt := range map[string]struct {
		jump        time.Duration
		least, most time.Duration // from the jump, an hour after the first check, to the next
	}{
		"back":              {-year, 4 * time.Hour, 6 * time.Hour},
		"forward":           {year, 0, first + 2*time.Minute},
		"forward, not past": {time.Hour, 4 * time.Hour, 6 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w wall
				s := New(Config{Period: 6 * time.Hour, Clock: w.now}, quiet)
				v := &server{answer: well}
				time.AfterFunc(time.Hour, func() { w.set(tt.jump) })
				time.AfterFunc(time.Hour+2*time.Minute, func() {
					if d := s.Next().Sub(w.now()); d < 0 || d > 7*time.Hour {
						t.Errorf("it tells that the next check comes in %s", d)
					}
				})
				v.during(t, s, 13*time.Hour)
				if got := v.asked[1] - time.Hour; got < tt.least || got > tt.most {
					t.Errorf("asked %s after the jump, want %s to %s", got, tt.least, tt.most)
				}
				if len(v.asked) > 4 {
					t.Errorf("asked at %v", v.asked)
				}
			})
		})
	}
}

// A clock that jumps to and fro all the time makes nobody ask more than once
// in a while.
func TestAClockGoneMad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wall
		v := &server{answer: func(int) update.Check { return update.Check{Err: "503", Wait: time.Hour} }}
		mad := time.NewTicker(10 * time.Minute)
		defer mad.Stop()
		done := make(chan struct{})
		go func() {
			for sign := time.Duration(1); ; sign = -sign {
				select {
				case <-mad.C:
					w.set(sign * year)
				case <-done:
					return
				}
			}
		}()
		v.during(t, New(Config{Period: 6 * time.Hour, Clock: w.now}, quiet), 24*time.Hour)
		close(done)
		for _, gap := range v.gaps() {
			if gap < time.Hour {
				t.Errorf("asked %s after the server had asked to be left alone for an hour", gap)
			}
		}
	})
}

// Set while the agent was away: a check that lies a year ahead is made after
// the longest wait there is, and one that lies far back soon, as after any
// start.
func TestAClockThatWasSetWhileTheAgentWasAway(t *testing.T) {
	for name, tt := range map[string]struct {
		jump  time.Duration
		alone time.Duration
		most  time.Duration
	}{
		"back":                    {-year, 0, 9 * time.Hour},
		"back, and left alone":    {-year, 20 * time.Hour, 24 * time.Hour},
		"forward":                 {year, 0, first},
		"forward, and left alone": {year, 20 * time.Hour, first},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w wall
				c := Config{Period: 6 * time.Hour, Clock: w.now, File: filepath.Join(t.TempDir(), "schedule.json")}
				k := update.Check{Origin: update.FromSchedule}
				if tt.alone > 0 {
					k.Err, k.Wait = "503", tt.alone
				}
				New(c, quiet).Checked(k)
				w.set(tt.jump)
				v := &server{answer: well}
				v.during(t, New(c, quiet), 40*time.Hour)
				if v.asked[0] > tt.most {
					t.Errorf("asked after %s, want %s at most", v.asked[0], tt.most)
				}
			})
		})
	}
}

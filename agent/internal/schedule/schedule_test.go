package schedule

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// server is an update server as a schedule sees it: it answers each question
// of a schedule a second later, and notes when it was asked.
type server struct {
	s      *Schedule
	mu     sync.Mutex // guards s
	start  time.Time
	asked  []time.Duration // since start
	answer func(n int) update.Check
	busy   error // refuses to begin
}

func (v *server) check(context.Context) error {
	v.asked = append(v.asked, time.Since(v.start))
	if v.busy != nil {
		return v.busy
	}
	n, s := len(v.asked), v.lives()
	time.AfterFunc(time.Second, func() {
		if v.answer == nil || v.lives() != s {
			return // the agent died of it, or since
		}
		c := v.answer(n)
		c.At, c.Origin = time.Now(), update.FromSchedule
		s.Checked(c)
	})
	return nil
}

// lives is the schedule of the agent that does.
func (v *server) lives() *Schedule {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.s
}

// during runs a schedule over this server for a while.
func (v *server) during(t *testing.T, s *Schedule, run time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), run)
	defer cancel()
	v.mu.Lock()
	v.s = s
	v.mu.Unlock()
	if v.start.IsZero() {
		v.start = time.Now()
	}
	s.Run(ctx, v.check)
}

// gaps are the times between questions.
func (v *server) gaps() (out []time.Duration) {
	for i := 1; i < len(v.asked); i++ {
		out = append(out, v.asked[i]-v.asked[i-1])
	}
	return out
}

var quiet = slog.New(slog.DiscardHandler)

func well(int) update.Check { return update.Check{} }
func away(int) update.Check { return update.Check{Err: "the server is away"} }

func TestEverySixHours(t *testing.T) {
	for name, v := range map[string]*server{
		"answered":  {answer: well},
		"with work": {busy: errors.New("an update is observed")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v.during(t, New(Config{Period: 6 * time.Hour}, quiet), 10*24*time.Hour)
				if len(v.asked) < 36 || len(v.asked) > 45 {
					t.Fatalf("%d checks in ten days", len(v.asked))
				}
				if v.asked[0] >= first {
					t.Errorf("the first check came after %s", v.asked[0])
				}
				same := true
				for i, gap := range v.gaps() {
					if gap < 5*time.Hour+24*time.Minute || gap > 6*time.Hour+37*time.Minute {
						t.Errorf("check %d came %s after the one before", i+1, gap)
					}
					same = same && gap == v.gaps()[0]
				}
				if same {
					t.Error("no jitter")
				}
			})
		})
	}
}

func TestFailuresAreTriedAgainEverMoreSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{answer: away}
		v.during(t, New(Config{Period: 6 * time.Hour}, quiet), 10*24*time.Hour)
		for i, gap := range v.gaps() {
			least := min(time.Minute<<min(i, 20), 6*time.Hour)
			if gap < least || gap > least+least/2+2*time.Second {
				t.Errorf("question %d came %s after the one before, want %s and up to half more", i+1, gap, least)
			}
		}
		if n := len(v.asked); n < 30 || n > 50 {
			t.Errorf("%d questions in ten days", n)
		}
	})
}

func TestAnAnswerEndsTheBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{answer: func(n int) update.Check {
			if n == 4 {
				return update.Check{}
			}
			return update.Check{Err: "away"}
		}}
		v.during(t, New(Config{Period: 6 * time.Hour}, quiet), 10*time.Hour)
		g := v.gaps()
		if len(g) < 5 || g[3] < 5*time.Hour || g[4] > 2*time.Minute {
			t.Errorf("after three failures, an answer and more failures: %v", g)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		period, wait time.Duration
		least, most  time.Duration
	}{
		"an hour":                    {6 * time.Hour, time.Hour, time.Hour, time.Hour + 3*time.Minute},
		"longer than the period":     {10 * time.Second, 10 * time.Minute, 10 * time.Minute, 12 * time.Minute},
		"shorter than the back-off":  {6 * time.Hour, time.Second, time.Minute, 2 * time.Minute},
		"longer than it may ask for": {6 * time.Hour, 365 * 24 * time.Hour, 24 * time.Hour, 24*time.Hour + 3*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &server{answer: func(n int) update.Check {
					if n == 1 {
						return update.Check{Err: "503", Wait: tt.wait}
					}
					return update.Check{}
				}}
				v.during(t, New(Config{Period: tt.period}, quiet), 30*time.Hour)
				if g := v.gaps()[0]; g < tt.least || g > tt.most {
					t.Errorf("asked again after %s, want %s to %s", g, tt.least, tt.most)
				}
			})
		})
	}
}

// What others ask the server counts too: an answer makes the schedule's own
// question needless, a wish to be left alone holds for it, and a failure of
// theirs does not make it ask sooner.
func TestQuestionsOfOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		c           update.Check
		least, most time.Duration
	}{
		"answered":    {update.Check{}, 5 * time.Hour, 8 * time.Hour},
		"failed":      {update.Check{Err: "away"}, 0, 2 * time.Minute},
		"leave alone": {update.Check{Err: "429", Wait: time.Hour}, time.Hour, time.Hour + 3*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Config{Period: 6 * time.Hour}, quiet)
				tt.c.Origin = update.FromCLI
				s.Checked(tt.c)
				v := &server{answer: well}
				v.during(t, s, 10*time.Hour)
				if v.asked[0] < tt.least || v.asked[0] > tt.most {
					t.Errorf("asked after %s", v.asked[0])
				}
			})
		})
	}
}

func TestAShortPeriodBeginsWithinIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{answer: away}
		v.during(t, New(Config{Period: 10 * time.Second}, quiet), time.Minute)
		if len(v.asked) < 4 || v.asked[0] > 10*time.Second {
			t.Errorf("asked at %v", v.asked)
		}
	})
}

func TestNeverUntilItIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{}, quiet)
		if !s.Next().IsZero() {
			t.Errorf("next at %s", s.Next())
		}
		time.AfterFunc(time.Hour, func() { s.Set(time.Hour) })
		v := &server{answer: well}
		v.during(t, s, 3*time.Hour)
		if len(v.asked) == 0 || v.asked[0] < time.Hour+54*time.Minute {
			t.Errorf("checks at %v, want the first about an hour after the period was set", v.asked)
		}
	})
}

// An agent that dies over and over again, in its check or right after it, asks
// no more often than one that lives.
func TestARestartDoesNotAskAtOnceAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(int) update.Check
		most   int // questions in a day
	}{
		"answered":        {well, 6},
		"not reached":     {away, 14},
		"dies of it":      {nil, 14},
		"asks to be left": {func(int) update.Check { return update.Check{Err: "503", Wait: 5 * time.Hour} }, 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := Config{Period: 6 * time.Hour, File: filepath.Join(t.TempDir(), "schedule.json")}
				v := &server{answer: tt.answer, start: time.Now()}
				for time.Since(v.start) < 24*time.Hour {
					v.during(t, New(c, quiet), 90*time.Second)
				}
				if n := len(v.asked); n == 0 || n > tt.most {
					t.Errorf("asked %d times in a day of restarts, want 1 to %d: %v", n, tt.most, v.asked)
				}
			})
		})
	}
}

func TestWhatIsToldSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Period: 6 * time.Hour, File: filepath.Join(t.TempDir(), "schedule.json")}
		s := New(c, quiet)
		s.Checked(update.Check{At: time.Now().UTC(), Err: "no route", Origin: update.FromSchedule})
		next := s.Next()
		time.Sleep(time.Second)
		again := New(c, quiet)
		if got := again.Last(); got.Err != "no route" || got.Origin != update.FromSchedule {
			t.Errorf("last %+v", got)
		}
		if d := again.Next().Sub(next); d.Abs() > time.Millisecond {
			t.Errorf("next at %s, was %s", again.Next(), next)
		}
		if d := time.Until(next); d < 58*time.Second || d > 90*time.Second {
			t.Errorf("next in %s", d)
		}
	})
}

func TestADamagedFileIsNoPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Period: 6 * time.Hour, File: filepath.Join(t.TempDir(), "schedule.json")}
		if err := os.WriteFile(c.File, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		v := &server{answer: well}
		v.during(t, New(c, quiet), 3*time.Minute)
		if len(v.asked) != 1 {
			t.Errorf("asked at %v", v.asked)
		}
	})
}

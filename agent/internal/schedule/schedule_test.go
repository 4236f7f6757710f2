package schedule

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// checks runs a schedule for a while and tells when it asked.
func checks(t *testing.T, s *Schedule, run time.Duration) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), run)
	defer cancel()
	start := time.Now()
	var at []time.Duration
	s.Run(ctx, func(context.Context) error {
		at = append(at, time.Since(start))
		return errors.New("the server is away")
	}, slog.New(slog.DiscardHandler))
	return at
}

func TestEverySixHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := checks(t, New(6*time.Hour), 10*24*time.Hour)
		if len(at) < 36 || len(at) > 45 {
			t.Fatalf("%d checks in ten days", len(at))
		}
		if at[0] >= first {
			t.Errorf("the first check came after %s", at[0])
		}
		same := true
		for i := 1; i < len(at); i++ {
			gap := at[i] - at[i-1]
			if gap < 5*time.Hour+24*time.Minute || gap > 6*time.Hour+36*time.Minute {
				t.Errorf("check %d came %s after the one before", i, gap)
			}
			same = same && gap == at[1]-at[0]
		}
		if same {
			t.Error("no jitter")
		}
	})
}

func TestAShortPeriodBeginsWithinIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if at := checks(t, New(10*time.Second), 10*time.Second); len(at) == 0 {
			t.Error("no check within the first period")
		}
	})
}

func TestNeverUntilItIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(0)
		go func() {
			time.Sleep(time.Hour)
			s.Set(time.Hour)
		}()
		at := checks(t, s, 3*time.Hour)
		if len(at) == 0 || at[0] < time.Hour+54*time.Minute {
			t.Errorf("checks at %v, want the first about an hour after the period was set", at)
		}
	})
}

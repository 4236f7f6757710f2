package control

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// TestStreamIsThrottledAndComplete changes the status a thousand times in a
// second: about ten lines come out, and the last one is the last state.
func TestStreamIsThrottledAndComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var now update.Status
		news := make(chan struct{}, 1)
		set := func(n int64) {
			mu.Lock()
			now.BytesDone = n
			mu.Unlock()
			select {
			case news <- struct{}{}:
			default:
			}
		}
		status := func() update.Status {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
		var sent []update.Status
		var at []time.Time
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- stream(ctx, status, news, func(s update.Status) error {
				sent, at = append(sent, s), append(at, time.Now())
				return nil
			})
		}()
		for i := range int64(1000) {
			set(i + 1)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Hour)
		set(1000) // news of nothing new
		time.Sleep(time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(sent) < 10 || len(sent) > 12 {
			t.Errorf("%d lines in a second", len(sent))
		}
		if last := sent[len(sent)-1].BytesDone; last != 1000 {
			t.Errorf("the last line says %d", last)
		}
		for i := 1; i < len(at); i++ {
			if d := at[i].Sub(at[i-1]); d < eventEvery {
				t.Errorf("line %d came after %s", i, d)
			}
		}
	})
}

func TestStreamEndsWithAListenerThatIsGone(t *testing.T) {
	gone := errors.New("gone")
	err := stream(t.Context(), func() update.Status { return update.Status{} }, nil, func(update.Status) error { return gone })
	if !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

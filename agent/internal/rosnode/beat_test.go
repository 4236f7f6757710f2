package rosnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBeat(t *testing.T) {
	tests := []struct {
		name                     string
		news                     time.Duration // between two pieces, 0: none
		published, looks, pulses int
	}{
		{"quiet", 0, 11, 10, 10},
		{"now and then", 1700 * time.Millisecond, 16, 16, 10}, // never when a pulse is due: the two would be published as one
		{"all the time", 10 * time.Millisecond, 100, 1011, 10},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+5*time.Millisecond)
				defer cancel()
				news := make(chan struct{}, 1)
				if test.news > 0 {
					go func() {
						every := time.NewTicker(test.news)
						defer every.Stop()
						for {
							select {
							case news <- struct{}{}:
							case <-ctx.Done():
								return
							}
							select {
							case <-every.C:
							case <-ctx.Done():
								return
							}
						}
					}()
				}
				var published, looks, pulses int
				var last time.Time
				beat(ctx, news, func() { looks++ }, func() {
					published++
					if d := time.Since(last); d < statusEvery {
						t.Errorf("published again after %s", d)
					}
					last = time.Now()
				}, func() { pulses++ })
				within := func(what string, got, want int) {
					if got < want-1 || got > want+1 {
						t.Errorf("%s %d times, want %d", what, got, want)
					}
				}
				within("published", published, test.published)
				within("looked", looks, test.looks)
				within("pulsed", pulses, test.pulses)
			})
		})
	}
}

// What changes just after a publication is published too, a little later.
func TestBeatPublishesTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		news := make(chan struct{}, 1)
		var value atomic.Int64
		shown := int64(-1)
		go func() {
			for range 3 {
				time.Sleep(20 * time.Millisecond)
				value.Add(1)
				news <- struct{}{}
			}
		}()
		beat(ctx, news, func() {}, func() { shown = value.Load() }, func() {})
		if shown != 3 {
			t.Errorf("shown %d", shown)
		}
	})
}

func TestLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(2, time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		block := make(chan struct{})
		var ends []error
		wait := func(ctx context.Context) {
			select {
			case <-block:
			case <-ctx.Done():
				ends = append(ends, ctx.Err())
			}
		}
		l.start(ctx, &wg, 1)
		l.offer(wait)
		synctest.Wait() // the worker has it
		for range 2 {
			if !l.offer(wait) {
				t.Error("there was room")
			}
		}
		if l.offer(wait) {
			t.Error("there was no room")
		}
		time.Sleep(1500 * time.Millisecond)
		cancel()
		wg.Wait()
		if len(ends) != 2 || !errors.Is(ends[0], context.DeadlineExceeded) || !errors.Is(ends[1], context.Canceled) {
			t.Errorf("ended with %v", ends)
		}
	})
}

func TestComplaintsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := complaints{log: slog.New(slog.NewTextHandler(&out, nil))}
		c.about(nil)
		for i := range 1000 {
			c.about(errors.New("the same"))
			c.about(fmt.Errorf("another %d", i))
		}
		if n := strings.Count(out.String(), "\n"); n != maxComplaints {
			t.Errorf("%d lines", n)
		}
		out.Reset()
		time.Sleep(complaintsEvery)
		c.about(errors.New("the same"))
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("%d lines after a while", n)
		}
	})
}

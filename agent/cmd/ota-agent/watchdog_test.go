package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// patient is an engine that takes its time to answer, or never does.
type patient struct {
	delay atomic.Int64
	fault atomic.Bool
}

func (p *patient) Alive(ctx context.Context) error {
	if p.fault.Load() {
		return errors.New("stuck")
	}
	t := time.NewTimer(time.Duration(p.delay.Load()))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestWatchdogIsFedByProgressAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const within = 2 * time.Minute
		core := new(patient)
		var last time.Time
		longest := time.Duration(0)
		start := time.Now()
		last = start
		w := watchdog{within: within, log: slog.New(slog.DiscardHandler), feed: func() {
			longest, last = max(longest, time.Since(last)), time.Now()
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := w.run(ctx, core); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(time.Hour)
		core.delay.Store(int64(59 * time.Second)) // slow, not dead
		time.Sleep(time.Hour)
		synctest.Wait()
		if longest >= within {
			t.Errorf("fed only after %s", longest)
		}
		for _, stop := range []func(){func() { core.delay.Store(int64(time.Hour)) }, func() { core.delay.Store(0); core.fault.Store(true) }} {
			stop()
			time.Sleep(2 * within)
			synctest.Wait()
			if quiet := time.Since(last); quiet < within {
				t.Errorf("a stuck engine was fed for %s ago", quiet)
			}
			core.fault.Store(false)
			core.delay.Store(0)
			time.Sleep(within)
			synctest.Wait()
			if quiet := time.Since(last); quiet > within/2 {
				t.Errorf("one that recovered was last fed %s ago", quiet)
			}
		}
		cancel()
		<-done
	})
}

func TestNoWatchdogNoFood(t *testing.T) {
	w := watchdog{feed: func() { t.Error("fed") }}
	if err := w.run(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// TestWatchdogOfSystemd speaks with a socket as systemd's.
func TestWatchdogOfSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", "120000000")
	w, err := newWatchdog(slog.New(slog.DiscardHandler))
	if err != nil || w.within != 2*time.Minute {
		t.Fatalf("%+v, %v", w, err)
	}
	w.feed()
	buf := make([]byte, 64)
	if n, err := socket.Read(buf); err != nil || string(buf[:n]) != "WATCHDOG=1" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	if _, err := newWatchdog(w.log); err == nil {
		t.Error("nonsense was taken")
	}
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// living can tell that it gets on; *engine.Engine does.
type living interface {
	Alive(ctx context.Context) error
}

// watchdog feeds systemd's watchdog (sd_watchdog_enabled(3)) for as long as
// core gets on. When that ends systemd kills and restarts the agent, which
// then takes the update up where the journal says.
type watchdog struct {
	within time.Duration // food must come as often; 0: nobody watches
	feed   func()
	log    *slog.Logger
}

// newWatchdog is the one that systemd asked for in the environment.
func newWatchdog(log *slog.Logger) (watchdog, error) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return watchdog{}, fmt.Errorf("what systemd says of its watchdog (WATCHDOG_USEC) is not understood: %w", err)
	}
	return watchdog{within: within, log: log, feed: func() { notify(log, daemon.SdNotifyWatchdog) }}, nil
}

// run asks four times in the time allowed, and takes at most half of it for an
// answer: an engine that does answer is never too late.
func (w watchdog) run(ctx context.Context, core living) error {
	if w.within <= 0 {
		return nil
	}
	tick := time.NewTicker(w.within / 4)
	defer tick.Stop()
	stuck := false
	for {
		err := w.ask(ctx, core)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !stuck:
			w.log.Error("not feeding the watchdog: systemd will restart the agent unless this ends", "err", err)
		case err == nil && stuck:
			w.log.Warn("the agent gets on again")
		}
		if stuck = err != nil; !stuck {
			w.feed()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (w watchdog) ask(ctx context.Context, core living) error {
	ctx, cancel := context.WithTimeout(ctx, w.within/2)
	defer cancel()
	return core.Alive(ctx)
}

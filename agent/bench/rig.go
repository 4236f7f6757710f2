package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/link"
)

const (
	// runLimit bounds one run, the slowest of which takes about three minutes.
	runLimit = 10 * time.Minute
	// bootLimit bounds a boot of the simulated chip.
	bootLimit = 5 * time.Second
	// pollEvery is how finely the traffic is looked at.
	pollEvery = time.Millisecond
)

// once lets one rival update a chip of its own, and sees that it did.
func once(ctx context.Context, kind linkKind, timing espsim.Timing, flash []byte, f files, r rival) (s sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	chip, err := espsim.New(espsim.Config{Flash: flash, Rollback: true, Timing: timing})
	if err != nil {
		return s, err
	}
	defer chip.Close()
	port, stop, err := serve(ctx, chip, kind, f.dir)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := awaitApp(ctx, chip, runningVersion); err != nil {
		return s, err
	}
	cmd, err := r.start(ctx, port)
	if err != nil {
		return s, err
	}
	if kind == overRFC2217 {
		s, err = timeByReset(ctx, chip, cmd)
	} else {
		s, err = timeByTraffic(ctx, chip, cmd)
	}
	if err != nil {
		return s, err
	}
	if got := chip.Flash()[slotOffset:][:len(f.update)]; !bytes.Equal(got, f.update) {
		return s, errors.New("ota_0 does not hold the image that was written")
	}
	s.proof = timing.Read * time.Duration(len(f.update)) / 1024
	return s, nil
}

// serve serves the chip's line; the function that is returned ends it.
func serve(ctx context.Context, chip *espsim.Chip, kind linkKind, dir string) (port string, stop func() error, err error) {
	log := slog.New(slog.DiscardHandler)
	var l interface{ Serve(context.Context) error }
	switch kind {
	case overPTY:
		p, err := link.OpenPTY(chip, filepath.Join(dir, "tty"), log)
		if err != nil {
			return "", nil, err
		}
		port, l = p.Path(), p
	default:
		s, err := link.ListenRFC2217(ctx, chip, "127.0.0.1:0", log)
		if err != nil {
			return "", nil, err
		}
		port, l = "rfc2217://"+s.Addr(), s
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	return port, func() error { cancel(); return <-done }, nil
}

func awaitApp(ctx context.Context, chip *espsim.Chip, version string) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	s, err := chip.WaitApp(ctx, func(s espsim.AppStatus) bool { return s.Running && s.Version == version })
	if err != nil {
		return fmt.Errorf("firmware %s does not run (the chip: %s, version %q): %w", version, s.Mode, s.Version, err)
	}
	return nil
}

// timeByReset times from the reset that ends the old application to the new
// one's first word.
func timeByReset(ctx context.Context, chip *espsim.Chip, cmd *exec.Cmd) (s sample, err error) {
	chip.SetFaults(espsim.Faults{}) // counters to zero
	began := make(chan time.Time, 1)
	var watch sync.WaitGroup
	watching, stop := context.WithCancel(ctx)
	watch.Go(func() {
		if _, err := chip.WaitApp(watching, func(s espsim.AppStatus) bool { return !s.Running }); err == nil {
			began <- time.Now()
		}
	})
	defer watch.Wait()
	defer stop()
	running := make(chan time.Time, 1)
	watch.Go(func() {
		if _, err := chip.WaitApp(watching, func(s espsim.AppStatus) bool { return s.Running && s.Version == newVersion }); err == nil {
			running <- time.Now()
		}
	})
	if s.whole, err = timed(cmd); err != nil {
		return s, err
	}
	if err := awaitApp(ctx, chip, newVersion); err != nil {
		return s, err
	}
	start, end := <-began, <-running
	s.work = end.Sub(start)
	return s.count(chip), nil
}

// timeByTraffic times from the first byte on the line to the last. The resets
// are made here, before and after.
func timeByTraffic(ctx context.Context, chip *espsim.Chip, cmd *exec.Cmd) (s sample, err error) {
	chip.ResetToBootloader()
	chip.SetFaults(espsim.Faults{}) // counters to zero
	done := make(chan struct{})
	var first, last time.Time
	var watch sync.WaitGroup
	watch.Go(func() { first, last = traffic(chip, done) })
	s.whole, err = timed(cmd)
	close(done)
	watch.Wait()
	if err != nil {
		return s, err
	}
	s.work = last.Sub(first)
	s = s.count(chip)
	chip.ResetToApp()
	return s, awaitApp(ctx, chip, newVersion)
}

// traffic looks at the counters until done, and tells when the host's first
// byte and when the last byte of either came.
func traffic(chip *espsim.Chip, done <-chan struct{}) (first, last time.Time) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var seen espsim.Counters
	for {
		now, c := time.Now(), chip.Counters()
		if c.BytesToChip > 0 && first.IsZero() {
			first = now
		}
		if c != seen {
			seen, last = c, now
		}
		select {
		case <-tick.C:
		case <-done:
			return first, last
		}
	}
}

func (s sample) count(chip *espsim.Chip) sample {
	c := chip.Counters()
	s.toChip, s.toHost, s.writing = c.BytesToChip, c.BytesToHost, c.WriteTime
	return s
}

// timed runs cmd, which has to succeed.
func timed(cmd *exec.Cmd) (time.Duration, error) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		_, _ = io.Copy(os.Stderr, &said)
		return took, fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return took, nil
}

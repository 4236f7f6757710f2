package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
)

// lookEvery is how often the watches look when nothing new is heard.
const lookEvery = 250 * time.Millisecond

// await lets the chip go and waits for the first word of the new firmware. A
// session that is open is the update's own, and leaving it is the boot; where
// there is none the agent was restarted, and it must not touch the chip: a
// reset would end a trial that goes on.
func (e *Engine) await(ctx context.Context, m update.Memory, out emit) error {
	resumed := e.session == nil
	start := time.Now()
	if !resumed {
		if err := e.leave(ctx); err != nil {
			return fmt.Errorf("boot the new firmware: %w", err)
		}
		start = time.Now()
	}
	if err := e.giveBack(ctx); err != nil {
		return err
	}
	out(update.Released{})

	j := m.Job
	e.trial = e.newTrial(j, start)
	v, err := e.follow(ctx, e.cfg.Trial.BootTimeout, func(v watch.Verdict) bool { return v.Phase != watch.Waiting })
	if err != nil {
		return err
	}
	if v.Phase == watch.Failed {
		if resumed && (v.Code == watch.CodeNoSign || v.Code == watch.CodeBack) {
			v.Code, v.Text = update.CodeInterrupted, "the agent was interrupted during the trial; "+v.Text
		}
		out(verdict(v))
		return nil
	}
	out(update.Up{})
	return nil
}

// newIdentity is by what the new firmware is known.
func newIdentity(j update.Job) watch.Identity {
	return watch.Identity{Slot: j.To, Version: j.Image.Version, AppSHA256: j.Image.AppSHA256}
}

// giveBack gives the line back, and tries for as long as a boot may take:
// without its owner the trial cannot be seen.
func (e *Engine) giveBack(ctx context.Context) error {
	bound, cancel := context.WithTimeout(ctx, e.cfg.Trial.BootTimeout)
	defer cancel()
	if err := e.persist(bound, "giving the serial line back", e.ports.Line.Give); err != nil {
		return fmt.Errorf("give the serial line back: %w", err)
	}
	return nil
}

func verdict(v watch.Verdict) update.Event {
	if v.Phase == watch.Passed {
		return update.TrialPassed{Evidence: v.Evidence}
	}
	return update.TrialFailed{Code: v.Code, Text: v.Text, Back: v.Back, Evidence: v.Evidence}
}

// watch follows the trial window to its end.
func (e *Engine) watch(ctx context.Context, _ update.Memory, out emit) error {
	v, err := e.follow(ctx, e.cfg.Trial.Window, func(v watch.Verdict) bool { return v.Phase == watch.Passed || v.Phase == watch.Failed })
	if err != nil {
		return err
	}
	out(verdict(v))
	return nil
}

// follow looks at the trial at every news until its verdict is what is waited
// for; whole is the time of which the rest is shown as progress.
func (e *Engine) follow(ctx context.Context, whole time.Duration, until func(watch.Verdict) bool) (watch.Verdict, error) {
	var v watch.Verdict
	err := e.look(ctx, func(f robot.Facts, now time.Time) bool {
		e.trial, v = e.trial.Look(f, now)
		if whole > 0 && !until(v) {
			e.board.part(1-float64(v.Left)/float64(whole), fmt.Sprintf("%.0f s left", v.Left.Seconds()))
		}
		return until(v)
	})
	return v, err
}

// look calls see at every news of the robot, and now and then without, until
// it has seen enough.
func (e *Engine) look(ctx context.Context, see func(robot.Facts, time.Time) bool) error {
	news, end := e.ports.Robot.News()
	defer end()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		e.pulse.beat(0)
		f, now := e.ports.Robot.Facts(), time.Now()
		f.EStop.Announced = e.announced(now)
		if see(f, now) {
			return nil
		}
		select {
		case <-news:
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// observe watches the confirmed firmware for the rest of its observation.
func (e *Engine) observe(ctx context.Context, m update.Memory, out emit) error {
	start, known := time.Now(), e.ports.Robot.Facts()
	if !e.cfg.Trial.SelfConfirm {
		known.Firmware = robot.Firmware{} // it was reset to be confirmed, and that is not its fault
	}
	if m.Job.ID == e.found { // a stop that is on may have begun while no agent lived: not what was on before
		known.EStop = robot.EStop{}
	}
	o := watch.NewObservation(e.cfg.Observe, newIdentity(m.Job), known, start).Against(e.baseline.now())
	var alarm *watch.Alarm
	err := e.look(ctx, func(f robot.Facts, now time.Time) bool {
		o, alarm = o.Look(f, now)
		return alarm != nil || now.After(e.observedUntil(m, start))
	})
	switch {
	case err != nil:
		return err
	case alarm != nil:
		out(update.Fired{Code: alarm.Code, Text: alarm.Text, Evidence: alarm.Evidence})
	default:
		e.log.Info("the observation is over", "job", m.Job.ID, "seen", o.Evidence())
		out(update.ObservationOver{})
	}
	return nil
}

// observedUntil is the end of the observation; a clock that has jumped back
// meanwhile does not make it longer than it may be.
func (e *Engine) observedUntil(m update.Memory, start time.Time) time.Time {
	whole := e.ObserveFor()
	if end := m.Job.ConfirmedAt.Add(whole); end.Before(start.Add(whole)) {
		return end
	}
	return start.Add(whole)
}

// hearOld waits, for as long as a boot may take, until the old firmware says
// that it runs. The slot is back either way; the history tells whether it was
// heard.
func (e *Engine) hearOld(ctx context.Context, m update.Memory, booted time.Time) (yes bool, said string) {
	want := m.Job.From.Version
	var heard robot.Firmware
	bound, cancel := context.WithTimeout(ctx, e.cfg.Trial.BootTimeout)
	defer cancel()
	err := e.look(bound, func(f robot.Facts, _ time.Time) bool {
		heard = f.Firmware
		return heard.At.After(booted) && heard.Version == want
	})
	if err != nil {
		return false, fmt.Sprintf("the old slot %s is back, but its firmware %s was not heard within %s", m.Job.From.Slot, want, e.cfg.Trial.BootTimeout)
	}
	return true, fmt.Sprintf("firmware %s heard again from %s, %.1fs after the reset", heard.Version, heard.Slot, heard.At.Sub(booted).Seconds())
}

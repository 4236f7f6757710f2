package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// visits is whoever waits for the visit that goes on.
type visits struct {
	mu    sync.Mutex
	reply chan visited // nil: nobody waits
}

type visited struct {
	visit update.Visit
	err   error
}

// begin registers who waits; nil: somebody does already.
func (v *visits) begin() chan visited {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reply != nil {
		return nil
	}
	v.reply = make(chan visited, 1)
	return v.reply
}

func (v *visits) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reply = nil
}

// tell answers who waits; the first answer counts.
func (v *visits) tell(visit update.Visit, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reply == nil {
		return
	}
	select {
	case v.reply <- visited{visit, err}:
	default:
	}
}

// Visit brings the chip into its loader, reads its slots, and brings it back
// into its application: a trial of the cable, the reset lines and the
// hand-over. It restarts the firmware, so it is done only when nothing else
// goes on and the robot stands still. When ctx ends the visit goes on to its
// end all the same. Errors: *update.NotNowError, *update.BusyError,
// update.ErrObserved, and what went wrong on the way.
func (e *Engine) Visit(ctx context.Context) (update.Visit, error) {
	e.board.mu.Lock()
	m := e.board.mem
	e.board.mu.Unlock()
	if _, _, err := update.Next(m, update.VisitAsked{}, time.Now()); err != nil {
		return update.Visit{}, err // which is worth more than what gates say of an update that goes on
	}
	if reasons := e.unsafe(time.Now()); len(reasons) > 0 {
		return update.Visit{}, &update.NotNowError{Reasons: reasons}
	}
	reply := e.visits.begin()
	if reply == nil {
		return update.Visit{}, &update.BusyError{State: update.Idle, Held: true}
	}
	defer e.visits.end()
	if err := e.ask(ctx, update.VisitAsked{}); err != nil {
		return update.Visit{}, err
	}
	select {
	case v := <-reply:
		return v.visit, v.err
	case <-e.ended:
		return update.Visit{}, ErrStopped
	case <-ctx.Done():
		return update.Visit{}, ctx.Err()
	}
}

// unsafe are the gates that a restart of the chip alone has to respect: those
// about motion and safety. What is not known counts against it.
func (e *Engine) unsafe(now time.Time) []preflight.Reason {
	return slices.DeleteFunc(e.gates(update.Job{}, now), func(r preflight.Reason) bool {
		switch r.Code {
		case preflight.EStopUnknown, preflight.EStopActive, preflight.FirmwareOnTrial, preflight.FirmwareUnsafe,
			preflight.MotorsBusy, preflight.Moving, preflight.Commanded, preflight.Inhibited:
			return false
		default:
			return true
		}
	})
}

// borrow takes the line for a visit. Where that does not work nothing has
// happened to the chip.
func (e *Engine) borrow(ctx context.Context, m update.Memory, out emit) error {
	e.board.say("trying the way into the chip's loader and back")
	err := error(nil)
	if reasons := e.unsafe(time.Now()); len(reasons) > 0 {
		err = &update.NotNowError{Reasons: reasons}
	} else if err = e.ports.Line.Take(ctx); err == nil {
		out(update.LineTaken{})
		return nil
	}
	e.visits.tell(update.Visit{}, err)
	return e.release(ctx, m, out)
}

// visit goes into the loader and comes back. The way back is tried until it
// works, as after an update.
func (e *Engine) visit(ctx context.Context, m update.Memory, out emit) error {
	v, err := e.enter(ctx)
	if err != nil {
		e.visits.tell(v, err)
	}
	if err := e.release(ctx, m, out); err != nil {
		e.visits.tell(v, err)
		return err
	}
	back := time.Now()
	bound, cancel := context.WithTimeout(ctx, e.cfg.Trial.BootTimeout)
	defer cancel()
	err = e.hear(bound, back)
	if err == nil {
		v.Back = time.Since(back).Seconds()
	}
	e.visits.tell(v, nil)
	return nil
}

// enter reads what the chip boots, from its loader.
func (e *Engine) enter(ctx context.Context) (update.Visit, error) {
	start := time.Now()
	e.hangUp(ctx, false)
	s, err := e.ports.Chip.Connect(ctx, image.Verified{})
	if err != nil {
		return update.Visit{}, err
	}
	e.session = s
	l, err := s.Inspect(ctx)
	if err != nil {
		return update.Visit{}, errors.Join(errors.New("the loader answers, but the chip's slots cannot be read"), err)
	}
	return update.Visit{Boots: l.Installed, Connect: time.Since(start).Seconds()}, nil
}

// hear waits for the firmware's next word after a moment.
func (e *Engine) hear(ctx context.Context, after time.Time) error {
	return e.look(ctx, func(f robot.Facts, _ time.Time) bool { return f.Firmware.At.After(after) })
}

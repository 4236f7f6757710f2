package serialport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Resetter puts the chip into its serial loader, or into its application. It
// is bound to one port and used by the goroutine that uses the port.
type Resetter interface {
	// Bootloader resets into the loader. attempt, from 0, picks the
	// sequence: boards differ in what they need.
	Bootloader(ctx context.Context, attempt int) error
	// Run resets into the application.
	Run(ctx context.Context) error
}

// NewResetter gives the resetter that r asks for on port p. Auto looks at the
// USB id of the adapter. Nothing moves yet. Errors wrap ErrConfig.
func NewResetter(r Reset, p *Port) (Resetter, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	log := orDiscard(r.Log)
	switch r.method() {
	case None:
		return byHand{log}, nil
	case ByCmd:
		return command{cfg: r.Command, port: p.path, log: log}, nil
	case ByGPIO:
		return gpio{cfg: r.GPIO, request: requestPins, plan: planFor(ByGPIO, USB{}, false), log: log}, nil
	default:
		return modem{port: p, method: r.method(), log: log}, nil
	}
}

// liner is what a sequence is performed on.
type liner interface {
	setLines(lines) error
}

// perform runs s on l. However it ends before its end, both lines are let go.
func perform(ctx context.Context, l liner, s sequence) error {
	for i, st := range s.steps {
		err := l.setLines(st.lines)
		if err == nil {
			err = wait(ctx, st.wait)
		}
		if err != nil {
			_ = l.setLines(letGo) // the first error tells more
			return fmt.Errorf("reset (%s), step %d of %d: %w", s.name, i+1, len(s.steps), err)
		}
	}
	return nil
}

// wait waits d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// How a port that vanishes during a reset is waited for.
const (
	usbTries  = 3
	usbReturn = 5 * time.Second
)

// resettable is a Port as modem needs it.
type resettable interface {
	liner
	probe() error
	Reopen(ctx context.Context) error
}

// modem resets by DTR and RTS.
type modem struct {
	port   *Port
	method Method
	log    *slog.Logger
}

func (m modem) plan() plan { return planFor(m.method, m.port.usb, m.port.cfg.remote()) }

func (m modem) Bootloader(ctx context.Context, attempt int) error {
	return resetAlive(ctx, m.port, m.plan().attempt(attempt), m.log)
}

func (m modem) Run(ctx context.Context) error {
	return resetAlive(ctx, m.port, m.plan().run, m.log)
}

// resetAlive performs s and leaves an open port behind. A chip that speaks
// USB itself may drop off the bus when it resets, at the end of a sequence or
// in the middle: then the port is opened anew, and a sequence that was cut
// off starts over.
func resetAlive(ctx context.Context, p resettable, s sequence, log *slog.Logger) error {
	log.Debug("reset", "sequence", s.name)
	var err error
	for range usbTries {
		if err = perform(ctx, p, s); err == nil {
			err = p.probe()
			if err == nil || !errors.Is(err, ErrGone) {
				return err
			}
			log.Debug("the port went away with the reset, waiting for it")
			return reopen(ctx, p)
		}
		if !errors.Is(err, ErrGone) || ctx.Err() != nil {
			return err
		}
		log.Debug("the port went away during the reset, waiting for it", "err", err)
		if again := reopen(ctx, p); again != nil {
			return errors.Join(err, again)
		}
	}
	return err
}

func reopen(ctx context.Context, p resettable) error {
	ctx, cancel := context.WithTimeout(ctx, usbReturn)
	defer cancel()
	return p.Reopen(ctx)
}

// byHand is for a chip that someone puts into its loader by its buttons.
type byHand struct{ log *slog.Logger }

func (h byHand) Bootloader(ctx context.Context, attempt int) error {
	if attempt == 0 {
		h.log.Info("reset method none: the chip must be in its serial loader already (hold BOOT, press EN)")
	}
	return ctx.Err()
}

func (h byHand) Run(ctx context.Context) error {
	h.log.Warn("reset method none: reset the chip by hand now, so that it runs its application")
	return ctx.Err()
}

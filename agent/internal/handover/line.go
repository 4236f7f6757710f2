package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// Sentinels for decisions.
var (
	// ErrConfig is in the chain of every error about a configuration.
	ErrConfig = errors.New("hand-over configuration")
	// ErrBusy: the port is held, and not by an owner that could be stopped.
	ErrBusy = errors.New("the serial port is not free")
	// ErrNoUnit: systemd knows no unit of that name.
	ErrNoUnit = errors.New("no such unit")
	// ErrDenied: systemd does not let this user stop or start units.
	ErrDenied = errors.New("not allowed to manage units")
	// ErrMarker: the marker file cannot be written, read or understood.
	ErrMarker = errors.New("hand-over marker")
)

// Defaults and bounds of the times in Config.
const (
	DefaultTimeout = 30 * time.Second
	DefaultWait    = 10 * time.Second
	maxTime        = 5 * time.Minute

	pollPeriod = 100 * time.Millisecond
	startTries = 3
	startPause = time.Second
)

// Config says who owns the port in normal life. Either Unit or Stop and Start
// are set, or none of them.
type Config struct {
	Unit string // systemd service, such as micro-ros-agent.service

	// Commands as argument lists, read by no shell. Stop returns when the
	// owner is stopped. Start returns when it is started; what it leaves
	// running keeps the agent's standard error, so that a unit is the better
	// choice. Status, where given, tells by exit code 0 that the owner runs;
	// without it an owner runs when somebody holds the port.
	Stop, Start, Status []string

	// Timeout bounds each stop, start and status; 0: DefaultTimeout.
	Timeout time.Duration
	// Wait bounds how long the port may stay held after the stop; 0: DefaultWait.
	Wait time.Duration
	// Marker is the file that outlives a crash, in the state directory.
	Marker string
	// Disk is where Marker lies.
	Disk disk.Disk
	// Log takes what is worth knowing and no error; nil discards it.
	Log *slog.Logger
}

// Holder says who holds the port, "" when nobody does.
type Holder func(ctx context.Context) (string, error)

// owner is the program that has the port in normal life.
type owner interface {
	fmt.Stringer
	// state says whether it runs, and its state in its own words.
	state(ctx context.Context) (running bool, state string, err error)
	stop(ctx context.Context) error
	start(ctx context.Context) error
}

// Error is a failed hand-over: what was being done with whom, and what state
// that one was in.
type Error struct {
	Op    string // "ask", "stop", "wait for", "start"
	Owner string
	State string // as systemd or the status command says; "" unknown
	Err   error
}

// Error says what failed, with whom, and why.
func (e *Error) Error() string {
	state := ""
	if e.State != "" {
		state = " (it was " + e.State + ")"
	}
	return fmt.Sprintf("hand-over of the serial port: %s %s%s: %v", e.Op, e.Owner, state, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Line is the serial line as the engine borrows it. Its methods may be called
// from any goroutine, one at a time gets on.
type Line struct {
	cfg    Config
	holder Holder
	bus    Systemd
	owner  owner // nil: none configured
	log    *slog.Logger

	mu    chan struct{} // a lock that a ctx can end the wait for
	taken bool
}

// New gives the line of cfg. bus is asked for units only; nil is the system's
// own (Bus). Nothing is stopped yet. Errors wrap ErrConfig.
func New(cfg Config, holder Holder, bus Systemd) (*Line, error) {
	if err := cfg.normalize(); err != nil {
		return nil, err
	}
	if holder == nil {
		return nil, fmt.Errorf("%w: nobody to ask who holds the port", ErrConfig)
	}
	if bus == nil {
		bus = Bus{}
	}
	l := &Line{cfg: cfg, holder: holder, bus: bus, log: cfg.Log, mu: make(chan struct{}, 1)}
	switch {
	case cfg.Unit != "":
		l.owner = unit{name: cfg.Unit, bus: bus}
	case len(cfg.Stop) > 0:
		l.owner = commands{cfg: cfg, holder: holder}
	}
	return l, nil
}

func (c *Config) normalize() error {
	commands := len(c.Stop) + len(c.Start) + len(c.Status)
	switch {
	case c.Unit != "" && commands > 0:
		return fmt.Errorf("%w: unit %s and commands are both set: keep one", ErrConfig, c.Unit)
	case c.Unit != "":
		if err := checkUnit(c.Unit); err != nil {
			return err
		}
	case commands > 0 && (len(c.Stop) == 0 || len(c.Start) == 0):
		return fmt.Errorf("%w: stop and start commands go together", ErrConfig)
	}
	if (c.Unit != "" || commands > 0) && c.Marker == "" {
		return fmt.Errorf("%w: no marker file: it belongs in the state directory", ErrConfig)
	}
	for _, d := range []time.Duration{c.Timeout, c.Wait} {
		if d < 0 || d > maxTime {
			return fmt.Errorf("%w: %v is not within 0 to %v", ErrConfig, d, maxTime)
		}
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Wait == 0 {
		c.Wait = DefaultWait
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

func (l *Line) lock(ctx context.Context) error {
	select {
	case l.mu <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Line) unlock() { <-l.mu }

// Take stops the owner, if it runs, and returns when nobody holds the port. A
// line that is taken already is looked at anew: somebody may have started the
// owner meanwhile.
// After an error all is as it was: the owner has been started again. Errors
// are *Error, ErrBusy (the port is held by somebody else), ErrMarker (then
// nothing was stopped) or ctx's.
func (l *Line) Take(ctx context.Context) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.unlock()
	if l.owner == nil {
		return l.free(ctx)
	}
	running, state, err := l.ask(ctx)
	if err != nil {
		return err
	}
	if !running {
		l.log.Debug("the port's owner does not run, nothing to stop", "owner", l.owner.String(), "state", state)
		return l.free(ctx)
	}
	if err := writeMarker(l.cfg.Disk, l.cfg.Marker, mark{Unit: l.cfg.Unit}); err != nil {
		return err
	}
	l.taken = true
	l.log.Info("stopping the port's owner", "owner", l.owner.String(), "state", state)
	err = bounded(ctx, l.cfg.Timeout, l.owner.stop)
	if err != nil {
		err = &Error{Op: "stop", Owner: l.owner.String(), State: state, Err: err}
	} else {
		err = l.await(ctx, state)
	}
	if err != nil {
		return errors.Join(err, l.give(ctx, l.owner))
	}
	return nil
}

func (l *Line) ask(ctx context.Context) (running bool, state string, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	running, state, err = l.owner.state(ctx)
	if err != nil {
		err = &Error{Op: "ask", Owner: l.owner.String(), State: state, Err: err}
	}
	return running, state, err
}

// free reports ErrBusy when somebody holds the port.
func (l *Line) free(ctx context.Context) error {
	who, err := l.holder(ctx)
	if err != nil {
		return fmt.Errorf("hand-over of the serial port: ask who holds it: %w", err)
	}
	if who == "" {
		return nil
	}
	if l.owner == nil {
		return fmt.Errorf("%w: %s has it: set microros.unit, or microros.stop and .start, in the configuration, or end it", ErrBusy, who)
	}
	return fmt.Errorf("%w: %s has it, although %s does not run: end it, or correct microros in the configuration", ErrBusy, who, l.owner)
}

// await waits until the port is free. An owner needs a moment to end, and a
// kernel one to close its files.
func (l *Line) await(ctx context.Context, state string) error {
	bound, cancel := context.WithTimeout(ctx, l.cfg.Wait)
	defer cancel()
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	var who string
	for {
		now, err := l.holder(bound)
		switch {
		case err == nil && now == "":
			return nil
		case err == nil:
			who = now
		case bound.Err() == nil:
			return &Error{Op: "wait for", Owner: l.owner.String(), State: state, Err: err}
		}
		select {
		case <-tick.C:
			continue
		case <-bound.Done():
		}
		if ctx.Err() != nil {
			return &Error{Op: "wait for", Owner: l.owner.String(), State: state, Err: ctx.Err()}
		}
		return &Error{Op: "wait for", Owner: l.owner.String(), State: state,
			Err: fmt.Errorf("%w: %v after the stop %s still has it", ErrBusy, l.cfg.Wait, who)}
	}
}

// Give starts the owner again if Take stopped it, in this process or in one
// that crashed. It does so even when ctx has ended, in bounded time. The port
// must be closed before. Without anything to give back it does nothing. After
// an error the marker stays, and the next Give tries again.
func (l *Line) Give(ctx context.Context) error {
	return l.restore(ctx, "giving the port back")
}

// Recover does what Give does, for the start of the agent: an owner that a
// crashed agent left stopped is started.
func (l *Line) Recover(ctx context.Context) error {
	return l.restore(ctx, "the agent ended while it had the port; giving it back")
}

func (l *Line) restore(ctx context.Context, why string) error {
	ctx = context.WithoutCancel(ctx)
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.unlock()
	m, found, err := readMarker(l.cfg.Disk, l.cfg.Marker)
	if !found && !l.taken && err == nil {
		return nil
	}
	o := l.owner
	if m.Unit != "" && m.Unit != l.cfg.Unit { // the configuration changed since
		o = unit{name: m.Unit, bus: l.bus}
	}
	if o == nil {
		return fmt.Errorf("%w: %s says that the port's owner was stopped, and not which (%w): start it by hand, then remove the file",
			ErrMarker, l.cfg.Marker, errors.Join(err, errors.New("no owner is configured")))
	}
	l.log.Info(why, "owner", o.String())
	return l.give(ctx, o)
}

// give starts o, more than once if it must, and only then removes the marker.
func (l *Line) give(ctx context.Context, o owner) error {
	ctx = context.WithoutCancel(ctx)
	var err error
	for try := range startTries {
		if try > 0 {
			pause(ctx, startPause)
		}
		if err = bounded(ctx, l.cfg.Timeout, o.start); err == nil {
			break
		}
		l.log.Warn("the port's owner does not start", "owner", o.String(), "try", try+1, "err", err)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
		defer cancel()
		_, state, _ := o.state(ctx) // only to say it
		return &Error{Op: "start", Owner: o.String(), State: state, Err: err}
	}
	l.taken = false
	return removeMarker(l.cfg.Disk, l.cfg.Marker)
}

func bounded(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

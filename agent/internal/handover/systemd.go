package handover

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
)

// Systemd is the part of the service manager that a hand-over needs.
type Systemd interface {
	// State gives the ActiveState of a unit (active, reloading, inactive,
	// failed, activating, deactivating), or ErrNoUnit.
	State(ctx context.Context, unit string) (string, error)
	// Stop returns when the unit is stopped, Start when it is started.
	Stop(ctx context.Context, unit string) error
	Start(ctx context.Context, unit string) error
}

// unitName is what systemd.unit(5) allows, for services alone.
var unitName = regexp.MustCompile(`^[A-Za-z0-9:_.\\@-]{1,247}\.service$`)

func checkUnit(name string) error {
	if unitName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%w: unit %q is not the name of a service: write it in full, such as micro-ros-agent.service", ErrConfig, name)
}

// unit is an owner that systemd runs.
type unit struct {
	name string
	bus  Systemd
}

func (u unit) String() string { return u.name }

// state counts a unit that is on its way up as running: a service that waits
// for its restart (activating) would take the port in the midst of the flash.
func (u unit) state(ctx context.Context) (running bool, state string, err error) {
	state, err = u.bus.State(ctx, u.name)
	switch state {
	case "active", "reloading", "refreshing", "activating":
		running = true
	}
	return running, state, err
}

func (u unit) stop(ctx context.Context) error  { return u.bus.Stop(ctx, u.name) }
func (u unit) start(ctx context.Context) error { return u.bus.Start(ctx, u.name) }

// Bus is systemd over the system's D-Bus (org.freedesktop.systemd1(5)). It
// connects for each call: calls are rare, and a bus or systemd that was
// restarted meanwhile does no harm.
type Bus struct{}

// State implements Systemd.
func (Bus) State(ctx context.Context, unit string) (state string, err error) {
	err = withBus(ctx, func(c *dbus.Conn) error {
		load, err := property(ctx, c, unit, "LoadState")
		if err != nil {
			return err
		}
		if load == "not-found" {
			return fmt.Errorf("%w: %s: set microros.unit to the one that has the port (`systemctl list-units --type=service`), or to \"\" when none has", ErrNoUnit, unit)
		}
		state, err = property(ctx, c, unit, "ActiveState")
		return err
	})
	return state, err
}

// Stop implements Systemd.
func (Bus) Stop(ctx context.Context, unit string) error {
	return withBus(ctx, func(c *dbus.Conn) error { return job(ctx, c.StopUnitContext, unit) })
}

// Start implements Systemd. A unit that failed too often may start again: the
// count that stands against it stems from times without a port.
func (Bus) Start(ctx context.Context, unit string) error {
	return withBus(ctx, func(c *dbus.Conn) error {
		err := job(ctx, c.StartUnitContext, unit)
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrDenied) {
			return err
		}
		if c.ResetFailedUnitContext(ctx, unit) != nil {
			return err // the first error tells more
		}
		return job(ctx, c.StartUnitContext, unit)
	})
}

func withBus(ctx context.Context, f func(*dbus.Conn) error) error {
	c, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("systemd over D-Bus: %w: is the system bus there and open to this user? else set microros.stop and .start to commands, or microros.unit to \"\" when nobody else uses the port", err)
	}
	defer c.Close()
	return f(c)
}

func property(ctx context.Context, c *dbus.Conn, unit, name string) (string, error) {
	p, err := c.GetUnitPropertyContext(ctx, unit, name)
	if err != nil {
		return "", fmt.Errorf("systemd: %s of %s: %w", name, unit, err)
	}
	s, _ := p.Value.Value().(string)
	return s, nil
}

type jobFunc func(ctx context.Context, name, mode string, ch chan<- string) (int, error)

// job starts a job and waits for its result: done, canceled, timeout, failed,
// dependency or skipped. "replace" takes the place of a job that contradicts.
func job(ctx context.Context, f jobFunc, unit string) error {
	result := make(chan string, 1)
	if _, err := f(ctx, unit, "replace", result); err != nil {
		return denied(unit, err)
	}
	select {
	case r := <-result:
		if r != "done" {
			return fmt.Errorf("systemd's job ended as %q: `journalctl -u %s` tells why", r, unit)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("systemd's job is not done: %w", ctx.Err())
	}
}

// denied makes the answer of polkit one that says what to do.
func denied(unit string, err error) error {
	for _, s := range []string{"authentication required", "Access denied", "Permission denied", "AccessDenied"} {
		if strings.Contains(err.Error(), s) {
			return fmt.Errorf("%w: %s (%w): a polkit rule must let the agent's user do org.freedesktop.systemd1.manage-units for it",
				ErrDenied, unit, err)
		}
	}
	return fmt.Errorf("systemd: %s: %w", unit, err)
}

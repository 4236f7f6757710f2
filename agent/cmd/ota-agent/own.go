package main

import (
	"context"
	"net"
	"slices"

	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
)

// own makes this process the one agent that has its socket, its state
// directory and its chip, until it calls release.
func (a agent) own(ctx context.Context) (l net.Listener, store *journal.Journal, release func(), err error) {
	var held []func()
	release = func() {
		for _, f := range slices.Backward(held) {
			f()
		}
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	if l, err = control.Listen(ctx, a.cfg.ControlSocket); err != nil {
		return nil, nil, nil, err
	}
	held = append(held, func() { _ = l.Close() }) // the server has closed it before, but where it never ran
	if store, err = journal.Open(a.cfg.StateDir); err != nil {
		return nil, nil, nil, err
	}
	directory, err := store.Claim()
	if err != nil {
		return nil, nil, nil, err
	}
	held = append(held, directory)
	port, err := serialport.Claim(a.cfg.Serial.Port)
	if err != nil {
		return nil, nil, nil, err
	}
	held = append(held, func() { _ = port.Close() })
	return l, store, release, nil
}

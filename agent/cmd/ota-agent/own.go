package main

import (
	"context"
	"net"
	"slices"

	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
)

// property is what one agent alone has: its socket, its state directory, and
// its chip.
type property struct {
	listener net.Listener
	store    *journal.Journal
	release  []func() // the last one first
}

// own takes what this agent alone may have, or says who has it.
func (a agent) own(ctx context.Context) (p property, err error) {
	defer func() {
		if err != nil {
			p.leave()
		}
	}()
	if p.listener, err = control.Listen(ctx, a.cfg.ControlSocket); err != nil {
		return p, err
	}
	p.release = append(p.release, func() { _ = p.listener.Close() }) // the server has closed it before, but where it never ran
	free, err := journal.Claim(a.cfg.StateDir)
	if err != nil {
		return p, err
	}
	p.release = append(p.release, free)
	if p.store, err = journal.Open(a.cfg.StateDir); err != nil {
		return p, err
	}
	port, err := serialport.Claim(a.cfg.Serial.Port)
	if err != nil {
		return p, err
	}
	p.release = append(p.release, func() { _ = port.Close() })
	return p, nil
}

// leave lets go of all of it.
func (p property) leave() {
	for _, f := range slices.Backward(p.release) {
		f()
	}
}

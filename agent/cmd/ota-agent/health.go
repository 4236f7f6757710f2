package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// hearing is the ROS node as far as it hears; *rosnode.Node is one.
type hearing interface {
	Hearing() (robot.Hearing, bool)
}

// subject is the running agent as the doctor examines it.
type subject struct {
	cfg       config.Config
	version   string
	ring      *keys
	started   time.Time
	foundHeld bool   // by the memory at the start
	damaged   string // where a damaged memory was put aside then
	dog       watchdog

	core  *engine.Engine
	store *journal.Journal
	board *robot.Board
	node  hearing        // nil: this build has no ROS
	link  *mqttlink.Link // nil: no broker is configured
	lists lists          // release metadata
}

// examinee is the agent made of these parts, with what was found at its start.
func (a agent) examinee(m update.Memory, damaged *journal.DamagedError, dog watchdog, core *engine.Engine, store *journal.Journal, board *robot.Board, link *mqttlink.Link, ring *keys) *subject {
	s := &subject{
		cfg: a.cfg, version: a.version, ring: ring, started: time.Now(), foundHeld: m.Held || m.Loader, dog: dog,
		core: core, store: store, board: board, link: link,
	}
	if damaged != nil {
		s.damaged = damaged.Path
	}
	if _, err := store.Verify(); err != nil {
		a.log.Error("ota-agent doctor says what to do", "err", err)
	}
	return s
}

// Health is what only the running agent knows.
func (s *subject) Health(ctx context.Context) control.Health {
	groups, err := os.Getgroups()
	if err != nil {
		groups = nil
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	h := control.Health{
		Goroutines: runtime.NumGoroutine(), Heap: memory.HeapAlloc,
		At: time.Now(), Version: s.version, PID: os.Getpid(), UID: os.Getuid(), Groups: append(groups, os.Getgid()), Started: s.started,
		Damaged: s.damaged, FoundHeld: s.foundHeld, Status: s.core.Status(), Keys: s.ring.Report(), Metadata: s.lists.report(),
		LastCheck: s.core.LastCheck(), Watchdog: s.dog.within.Seconds(), Firmware: s.firmware(),
	}
	if err := s.core.Alive(ctx); err != nil && ctx.Err() == nil {
		h.Stuck = err.Error()
	}
	if s.node != nil {
		if heard, up := s.node.Hearing(); up {
			h.ROS = &heard
		}
	}
	if s.link != nil && s.cfg.MQTT.URL != "" {
		l := s.link.Health()
		h.Broker = &control.Broker{Connected: l.Connected, Since: l.Since, Err: l.Err, Waiting: l.Waiting}
	}
	if s.cfg.DTLS.Address != "" {
		d := s.board.Facts().DTLS
		h.DTLS = &control.DTLS{Tries: d.Tries, Failures: d.Failures, Latency: d.Latency.Seconds(), Err: d.Err, At: d.At}
	}
	return h
}

// firmware is its own status as it came; nil: never.
func (s *subject) firmware() *control.Spoken { return spoken(s.board.Facts(), s.cfg.FirmwareStatus()) }

func spoken(f robot.Facts, name string) *control.Spoken {
	d, heard := f.Diagnostics[name]
	if !heard {
		return nil
	}
	return &control.Spoken{At: d.At, Level: d.Level.String(), Message: d.Message, Values: d.Values}
}

// Verify looks through the history.
func (s *subject) Verify() (update.Audit, error) {
	a, err := s.store.Verify()
	if errors.Is(err, journal.ErrTampered) {
		return a, nil // which the audit tells
	}
	return a, err
}

// Visit brings the chip into its loader and back.
func (s *subject) Visit(ctx context.Context) (update.Visit, error) { return s.core.Visit(ctx) }

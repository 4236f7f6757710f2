// Package esp32 puts serial port, loader session and slots together: the chip
// as the engine needs it.
//
// Each Connect opens the port, each Close gives it back, so that between two
// sessions the port belongs to whoever owns it in normal life. It adds no
// decisions of its own: who may have the port is serialport's matter, what may
// be written is that of slots.
package esp32

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/agent/internal/slots"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// Config says where the chip is and how to talk to it.
type Config struct {
	Serial serialport.Config
	Reset  serialport.Reset
	Chip   image.ChipID
	Baud   int // while flashing, bits a second
	NoStub bool
	// Pack deflates what Prepare is given; nil: esprom.PackSmall.
	Pack func([]byte) *esprom.Ahead
	// Open, where given, opens the line in place of Serial and Reset.
	Open func(context.Context) (Port, esprom.Resetter, error)
	// Speeds may be nil: then each session finds out anew what the line takes.
	Speeds Speeds
	// Helds may be nil: then each write asks the chip what its slot holds.
	Helds Helds
	Log   *slog.Logger
}

// Port is an open line to the chip.
type Port interface {
	esprom.Port
	esprom.Baud
	esprom.Input
	io.Closer
}

// Chip is the robot's ESP32. It is not safe for concurrent use.
type Chip struct {
	cfg   Config
	ahead *esprom.Ahead // of the image whose MD5 is sum; nil: of none
	sum   [16]byte
}

// New makes a Chip; nothing is opened yet.
func New(cfg Config) *Chip { return &Chip{cfg: cfg} }

// Prepare deflates v as small as it can, so that this is done when the chip
// leaves its firmware. It takes about a second a megabyte. The zero image frees
// what was prepared.
func (c *Chip) Prepare(v image.Verified) error {
	how := c.cfg.Pack
	if how == nil {
		how = esprom.PackSmall
	}
	ahead := c.pack(v, how)
	ahead.Wait()
	c.ahead, c.sum = ahead, v.MD5()
	return nil
}

// pack gives what was prepared, or begins with it by how.
func (c *Chip) pack(v image.Verified, how func([]byte) *esprom.Ahead) *esprom.Ahead {
	if v.IsZero() {
		return nil
	}
	if c.ahead != nil && c.sum == v.MD5() {
		return c.ahead
	}
	return how(v.Bytes())
}

// line is an open port and the way to reset what hangs on it.
func (c *Chip) line(ctx context.Context) (Port, esprom.Resetter, error) {
	if c.cfg.Open != nil {
		return c.cfg.Open(ctx)
	}
	port, err := serialport.Open(ctx, c.cfg.Serial)
	if err != nil {
		return nil, nil, err
	}
	reset, err := serialport.NewResetter(c.cfg.Reset, port)
	if err != nil {
		return nil, nil, errors.Join(err, port.Close())
	}
	return port, reset, nil
}

// Connect brings the chip into its loader. ahead is the image that will be
// written, if one will be: where Prepare was not asked before, it is deflated
// while the chip connects.
func (c *Chip) Connect(ctx context.Context, ahead image.Verified) (engine.Session, error) {
	packed := c.pack(ahead, esprom.Pack)
	port, reset, err := c.line(ctx)
	if err != nil {
		return nil, err
	}
	baud := c.speed()
	s, err := esprom.Connect(ctx, port, reset, esprom.Options{
		Chip: c.cfg.Chip, Baud: c.cfg.Baud, Begin: baud, NoStub: c.cfg.NoStub, Ahead: packed, Log: c.cfg.Log,
	})
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	info := s.Info()
	c.cfg.Log.Info("connected to the chip", "chip", info.Chip, "mac", fmt.Sprintf("%x", info.MAC),
		"flash_bytes", info.FlashSize, "stub", info.Stub, "baud", info.Baud)
	return &session{Device: slots.New(s, info.FlashSize, info.Chip), loader: s, port: port, chip: c, baud: baud}, nil
}

// Reset starts the application, whatever the chip is doing.
func (c *Chip) Reset(ctx context.Context) error {
	port, reset, err := c.line(ctx)
	if err != nil {
		return err
	}
	return errors.Join(reset.Run(ctx), port.Close())
}

// session is a chip in its loader, with the port that leads there.
type session struct {
	*slots.Device
	loader *esprom.Session
	port   Port
	chip   *Chip
	baud   int // that the line was to be raised to
	wrote  *wrote
}

func (s *session) Close(ctx context.Context, run bool) error {
	err := errors.Join(s.loader.Close(ctx, run), s.port.Close())
	s.chip.learn(s.baud, s.loader.Info().Baud)
	s.remember()
	return err
}

// Inspect is the part of what slots sees that the engine decides by.
func (s *session) Inspect(ctx context.Context) (engine.Layout, error) {
	v, err := s.Device.Inspect(ctx)
	if err != nil {
		return engine.Layout{}, err
	}
	inactive, _ := v.Table.Slot(v.Inactive)
	return engine.Layout{Next: v.Boots, Inactive: v.Inactive, State: v.State, Installed: installed(v), SlotSize: inactive.Size}, nil
}

// installed reads the outline of the app that boots: what it says of itself.
func installed(v slots.View) update.Installed {
	i := update.Installed{Slot: v.Boots.String()}
	if v.App.Size == 0 {
		return i // no slot holds an app
	}
	i.AppSHA256 = hex.EncodeToString(v.App.Digest[:])
	if version, err := compat.ParseVersion(v.App.Desc.Version); err == nil {
		i.Version = version
	}
	return i
}

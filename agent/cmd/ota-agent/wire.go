package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/esp32"
	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/hawkbit"
	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/rosnode"
	"github.com/robot-platform/robot-ota/agent/internal/schedule"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// wire builds the agent out of its parts and runs it until ctx ends.
func wire(ctx context.Context, a agent) error {
	mine, err := a.own(ctx)
	if err != nil {
		return err
	}
	defer mine.leave()
	store := mine.store
	memory, err := store.Load()
	var damaged *journal.DamagedError
	switch {
	case errors.As(err, &damaged):
		a.log.Error("going on without it: the chip is reset and the serial line given back, to be sure", "err", err)
	case err != nil:
		return err
	}
	board := robot.NewBoard()
	ring, err := a.ring(board)
	if err != nil {
		return err
	}
	updates, http, err := a.http()
	if err != nil {
		return err
	}
	var core *engine.Engine
	ports, err := a.ports(ctx, updates, http, memory, board, store, ring, func(err error, again time.Duration) { core.Hitch(err, again) })
	if err != nil {
		return err
	}
	signed, err := a.lists(http)
	if err != nil {
		return err
	}
	signed.into(&ports)
	link, err := a.link(updates, http, memory, ring, board)
	if err != nil {
		return err
	}
	deployments, _ := ports.Source.(*hawkbit.Link) // nil: another kind of update server
	ports.Observer = observing(link, deployments)
	plan := schedule.New(schedule.Config{Period: a.checkEvery(), File: filepath.Join(a.cfg.StateDir, "schedule.json")}, a.log)
	ports.Checks = plan
	probe, err := a.probe(board)
	if err != nil {
		return err
	}
	core = engine.New(a.engineConfig(), ports, memory, a.log)
	if deployments != nil {
		deployments.Attach(core)
	}
	dog, err := newWatchdog(a.log)
	if err != nil {
		return err
	}
	self := a.examinee(memory, damaged, dog, core, store, board, link, ring)
	self.lists = signed
	all := crew{subject: self, plan: plan, source: ports.Source, deployments: deployments, probe: probe, listener: mine.listener}
	if withROS {
		node, err := rosnode.New(signed.onNode(ring.onNode(a.nodeConfig(core, plan, board))), core, board, a.log)
		if err != nil {
			return err
		}
		self.node, all.ros = node, node
	}
	return all.run(ctx, a)
}

// http is the way to the update server, and its address.
func (a agent) http() (*url.URL, *httpguard.Client, error) {
	server, err := url.Parse(a.cfg.Server.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("server.url: %w", err)
	}
	http, err := httpguard.New(httpguard.Config{
		Server: server, AllowHosts: a.cfg.Server.AllowHosts, AllowPrivate: a.cfg.Server.AllowPrivate,
		CAFile: a.cfg.Server.CAFile, TokenFile: a.cfg.Server.TokenFile, TokenScheme: a.cfg.TokenScheme(),
		CertFile: a.cfg.Server.CertFile, KeyFile: a.cfg.Server.KeyFile, UserAgent: "ota-agent/" + a.version,
	})
	return server, http, err
}

// ports are the engine's ways to the outside.
func (a agent) ports(ctx context.Context, server *url.URL, http *httpguard.Client, m update.Memory, board *robot.Board, store *journal.Journal, ring *keys, hitch func(error, time.Duration)) (engine.Ports, error) {
	var none engine.Ports
	id, err := image.ParseChip(a.cfg.Serial.Chip)
	if err != nil {
		return none, fmt.Errorf("serial.chip: %w", err)
	}
	images, err := fetch.New(fetch.Config{
		Dir: filepath.Join(a.cfg.StateDir, "images"), Keys: ring.Ring,
		Files: a.cfg.Server.Files, Robot: image.Policy{Chip: id, SKU: a.cfg.Robot.SKU},
		MaxSize: int64(a.cfg.Download.MaxSize), MinSpeed: int64(a.cfg.Download.MinSpeed),
		Patience: a.cfg.Download.Patience.Std(), GiveUp: a.cfg.Download.GiveUp.Std(), OnRetry: hitch, Keep: a.cfg.Download.Keep, Patches: a.cfg.Download.Patches,
	}, http, a.log)
	if err != nil {
		return none, err
	}
	chip, err := a.chip(store)
	if err != nil {
		return none, err
	}
	line, err := a.line()
	if err != nil {
		return none, err
	}
	if !m.Held { // else the engine gives it back, once the chip is out of its loader
		if err := line.Recover(ctx); err != nil {
			a.log.Error("the owner of the serial line, which a crashed agent left stopped, could not be started", "err", err)
		}
	}
	source, err := a.source(server, http, board, m, ring, images)
	if err != nil {
		return none, err
	}
	return engine.Ports{
		Source: source, Images: images, Line: line, Chip: chip, Robot: board, Journal: store, Baselines: store,
	}, nil
}

// link is the line to the fleet: its broker or, without one, the update server;
// nil: there is none.
func (a agent) link(server *url.URL, http *httpguard.Client, m update.Memory, ring *keys, board *robot.Board) (*mqttlink.Link, error) {
	cfg := a.brokerConfig()
	cfg.Keys = ring.onBroker
	cfg.About = func() mqttlink.About {
		w := board.Facts().Firmware
		return mqttlink.About{Companion: a.cfg.Robot.CompanionVersion, Protocol: w.Protocol, OTAState: w.OTAState}
	}
	switch {
	case a.cfg.MQTT.URL != "":
		return mqttlink.New(cfg, m, a.log)
	case a.cfg.Server.Report:
		return mqttlink.NewReporter(cfg, server, http, m, a.log)
	}
	return nil, nil //nolint:nilnil // no link is no error
}

func (a agent) brokerConfig() mqttlink.Config {
	c := a.cfg.MQTT
	return mqttlink.Config{
		URL: c.URL, RobotID: a.cfg.Robot.ID, SKU: a.cfg.Robot.SKU, StateDir: a.cfg.StateDir,
		CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
		Username: c.Username, PasswordFile: c.PasswordFile, KeepAlive: c.KeepAlive.Std(), Version: a.version,
	}
}

// lockDir is where the serial port's lock file goes; "" lets serialport choose.
const lockDir = ""

// known is what is kept of the serial line and of the flash behind it.
type known interface {
	esp32.Speeds
	esp32.Helds
}

func (a agent) chip(k known) (*esp32.Chip, error) {
	id, err := image.ParseChip(a.cfg.Serial.Chip)
	if err != nil {
		return nil, fmt.Errorf("serial.chip: %w", err)
	}
	s := a.cfg.Serial
	return esp32.New(esp32.Config{
		Serial: serialport.Config{Port: s.Port, LockDir: lockDir, Log: a.log},
		Reset: serialport.Reset{
			Method: serialport.Method(s.Reset.Method),
			GPIO:   serialport.GPIO{Chip: s.Reset.GPIO.Chip, EN: s.Reset.GPIO.EN, Boot: s.Reset.GPIO.Boot},
			Command: serialport.Command{
				Bootloader: s.Reset.Command.Bootloader, Run: s.Reset.Command.Run, Timeout: s.Reset.Command.Timeout.Std(),
			},
			Log: a.log,
		},
		Chip: id, Baud: s.Baud, NoStub: !s.Stub, Speeds: k, Helds: k, Log: a.log,
	}), nil
}

func (a agent) engineConfig() engine.Config {
	chip, _ := image.ParseChip(a.cfg.Serial.Chip) // validated with the configuration
	trial := watch.DefaultTrialPolicy()
	trial.Window, trial.BootTimeout = a.cfg.Trial.Window.Std(), a.cfg.Trial.BootTimeout.Std()
	trial.SelfConfirm = a.cfg.Trial.Confirm == config.ConfirmFirmware
	observe := watch.DefaultObservePolicy()
	for _, m := range []*watch.MeterPolicy{&trial.Meter, &observe.Meter} {
		m.MinLearned, m.MinDischarge, m.Floor = a.cfg.Drain.Learned.Std(), a.cfg.Drain.Seen.Std(), a.cfg.Drain.Floor
	}
	return engine.Config{
		Chip: chip, SKU: a.cfg.Robot.SKU,
		Gates: a.cfg.Policy(),
		Trial: trial, Observe: observe, ObserveFor: a.cfg.ObserveFor.Std(),
		StandWithin: a.cfg.StandWithin.Std(), Baud: a.cfg.Serial.Baud,
	}
}

// ears are what a node needs to hear the robot.
func (a agent) ears() rosnode.Config {
	t := a.cfg.ROS.Topics
	return rosnode.Config{
		RobotID: a.cfg.Robot.ID, Version: a.version, Namespace: a.cfg.ROS.Namespace, Args: append([]string{os.Args[0]}, a.rosArgs...),
		Topics:         rosnode.Topics{Battery: t.Battery, EStop: t.EStop, Odom: t.Odom, CmdVel: t.CmdVel, Diagnostics: t.Diagnostics, Dock: t.Dock},
		FirmwareStatus: a.cfg.FirmwareStatus(), SystemStatus: a.cfg.SystemStatus(), Keys: a.cfg.FirmwareKeys(),
	}
}

func (a agent) nodeConfig(core *engine.Engine, plan *schedule.Schedule, board *robot.Board) rosnode.Config {
	c := a.ears()
	c.Parameters, c.Vitals = a.parameters(core, plan), a.vitals(board)
	return c
}

package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/doctor/check"
	"github.com/robot-platform/robot-ota/agent/internal/handover"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/rosnode"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// exam is what the doctor's checks are made of. The zero value makes checks
// that can be listed.
type exam struct {
	path   string // of the configuration
	cfg    config.Config
	cfgErr error

	client *control.Client
	health *control.Health // nil: nobody told
	asked  error           // why not

	socket  string // as given, "" for the configuration's
	rosArgs []string
	service rosService
}

// examine reads the configuration and asks the agent, if one runs.
func (a *app) examine(ctx context.Context) *exam {
	e := &exam{path: a.configPath, socket: a.socket, rosArgs: a.ros, service: installed()}
	e.cfg, e.cfgErr = config.Load(a.configPath)
	e.client = control.NewClient(cmp.Or(a.socket, e.cfg.ControlSocket, config.DefaultSocket))
	h, err := e.client.Health(ctx)
	if err == nil {
		e.health = &h
		return e
	}
	e.asked = err
	return e
}

func (e *exam) close() { e.client.Close() }

// checks are all there are, in the order in which they are told. A new one is a
// line here.
func (e *exam) checks(o doctorOptions) []doctor.Check {
	var h control.Health // what it does not know is zero
	who := check.Myself()
	if e.path == config.DefaultPath {
		who = check.Service()
	}
	if e.health != nil {
		h, who = *e.health, check.Running(e.health.UID, e.health.Groups)
	}
	bus := handover.Bus{}
	var ask func(context.Context) check.Answer
	if e.cfgErr == nil {
		ask = check.AskServer(e.cfg, h.Status.Running.Version, "ota-agent/"+build()+" (doctor)")
	}
	checks := []doctor.Check{
		check.Config(e.path, e.cfg, e.cfgErr, h.Started, who),
		e.configured(check.Keys(e.cfg, who, h.Started, e.ring())),
		e.configured(check.Metadata(e.cfg, who, e.lists(), time.Now)),
		check.Agent(e.health, e.asked, build(), bus, e.cfg.StateDir),
		e.configured(check.State(e.cfg, who)),
		e.configured(check.History(e.verify, e.lastRecord)),
		e.configured(check.Port(e.cfg, who, h.PID)),
		e.configured(check.Reset(e.cfg.Serial, who, serialport.Pins)),
		e.configured(check.MicroROS(e.cfg.MicroROS, who, bus, check.PolkitRules())),
		e.configured(e.ros(o.listen)),
		e.configured(check.Server(e.cfg, ask, h.LastCheck)),
		e.configured(check.Broker(agent{cfg: e.cfg, version: build()}.brokerConfig(), h.Broker)),
		e.configured(check.DTLS(e.cfg.DTLS, h.DTLS)),
		check.Clock(time.Now, check.Synchronised, ask),
	}
	if o.reset {
		checks = append(checks, check.Loader(e.visit()))
	}
	return checks
}

// ring is what the running agent goes by; nil: none runs.
func (e *exam) ring() *keyring.Report {
	if e.health == nil {
		return nil
	}
	return &e.health.Keys
}

// lists is what the running agent has of release metadata; nil: none runs.
func (e *exam) lists() *tuf.Report {
	if e.health == nil {
		return nil
	}
	return &e.health.Metadata
}

// configured is a check that needs the configuration.
func (e *exam) configured(c doctor.Check) doctor.Check {
	if e.cfgErr != nil {
		c.Run = func(context.Context) []doctor.Finding {
			return []doctor.Finding{doctor.Skip("the configuration cannot be used")}
		}
	}
	return c
}

// verify lets the agent look through its history, or does it where none runs.
func (e *exam) verify(ctx context.Context) (update.Audit, error) {
	if e.health != nil {
		return e.client.Verify(ctx)
	}
	return journal.Look(e.cfg.StateDir).Verify()
}

func (e *exam) lastRecord(ctx context.Context) ([]update.Record, error) {
	if e.health != nil {
		return e.client.History(ctx, 1)
	}
	return journal.Look(e.cfg.StateDir).History(1)
}

// visit is nil where no agent runs.
func (e *exam) visit() func(context.Context) (update.Visit, error) {
	switch {
	case e.health != nil:
		return e.client.Visit
	case e.asked == nil || errors.Is(e.asked, control.ErrUnreachable):
		return nil
	}
	return func(context.Context) (update.Visit, error) { return update.Visit{}, e.asked }
}

// How long a node must have listened for its silence to mean something, and
// how often it is asked until then.
const (
	settled  = 6 * time.Second
	askAgain = 500 * time.Millisecond
)

// ros judges what is heard of the robot. Where no agent runs, and this process
// was not started in the environment of ROS 2, the service's own build listens.
func (e *exam) ros(span time.Duration) doctor.Check {
	c := check.ROS(e.cfg, func(ctx context.Context) (check.Heard, doctor.Finding) { return e.hear(ctx, span) })
	if e.health == nil && (!withROS || os.Getenv("AMENT_PREFIX_PATH") == "") && e.service.there() {
		args := []string{"--config", e.path, "--listen", span.String()}
		if e.socket != "" {
			args = append(args, "--socket", e.socket)
		}
		args = append(args, e.rosArgs...)
		c.Run = func(ctx context.Context) []doctor.Finding { return e.service.examine(ctx, c.Name, args...) }
	}
	return c
}

// hear is what the running agent hears, or a node of the doctor's own.
func (e *exam) hear(ctx context.Context, span time.Duration) (check.Heard, doctor.Finding) {
	var none check.Heard
	switch {
	case e.health != nil:
		return e.agentHears(ctx)
	case !withROS:
		return none, doctor.Skip("no agent runs, and this build of ota-agent has no ROS 2 to listen by")
	}
	board := robot.NewBoard()
	ears := agent{cfg: e.cfg, version: build(), rosArgs: e.rosArgs}.ears()
	h, err := rosnode.Listen(ctx, ears, board, span, slog.New(slog.DiscardHandler))
	if err != nil {
		return none, doctor.Bad("run it in the ROS 2 environment of the robot: source its setup.bash, with the ROS_DOMAIN_ID of the robot", "no node could be made to listen: %v", err)
	}
	return check.Heard{Hearing: h, Firmware: spoken(board.Facts(), e.cfg.FirmwareStatus()), At: time.Now()}, doctor.Finding{}
}

// agentHears asks the agent until its node has listened long enough.
func (e *exam) agentHears(ctx context.Context) (check.Heard, doctor.Finding) {
	h := *e.health
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for tries := 0; h.At.Sub(h.Started) < settled && tries < int(settled/askAgain); tries++ { // the clock may have been set meanwhile
		select {
		case <-ctx.Done():
			return check.Heard{}, doctor.Skip("the agent has only just been started")
		case <-tick.C:
		}
		again, err := e.client.Health(ctx)
		if err != nil {
			return check.Heard{}, doctor.Bad("journalctl -u robot-ota", "the agent went away meanwhile: %v", err)
		}
		h = again
	}
	if h.ROS == nil {
		return check.Heard{}, doctor.Bad("install the package that was built with ROS 2, or build with -tags ros2; `ota-agent version` tells", "the agent that runs has no ROS node: it hears nothing of the robot, and no gate will open")
	}
	return check.Heard{Hearing: *h.ROS, Firmware: h.Firmware, At: h.At}, doctor.Finding{}
}

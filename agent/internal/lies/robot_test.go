package lies

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/esp32"
	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/metadata"
	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/agent/internal/trust"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/updateserver"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/link"
)

var quiet = slog.New(slog.DiscardHandler)

// Secrets and names that a robot has, to be looked for where they must not be.
const (
	robotID = "robot-seventeen"
	token   = "t0ken-of-the-robot"
)

// settings are what a cell wants to be configured otherwise.
type settings struct {
	address string // of the update server, as configured; "": the server's own
	open    bool   // other hosts may have private addresses, and the attacker's authority counts
	hasty   bool   // nothing is tried again
	burst   int    // jobs at once; 0: as many as the agent allows by itself
	listed  bool   // metadata.required
}

// subject is a robot to be lied to: the whole agent, and a chip.
type subject struct {
	t      *testing.T
	world  *world
	cfg    config.Config
	core   *engine.Engine
	trust  *trust.Store
	board  *robot.Board
	chip   *espsim.Chip
	broker *broker
	flash  []byte   // the chip's own, in place
	before [32]byte // its sum at the start
	taken  atomic.Int32
	late   atomic.Int64 // how far the clock that metadata expires by is ahead
	done   func()       // ends it all; the flash may be read then
}

// newSubject starts a robot that runs 0.2.0 from factory.
func newSubject(t *testing.T, w *world, s settings) *subject {
	t.Helper()
	r := &subject{t: t, world: w, board: robot.NewBoard(), flash: bytes.Clone(w.flash), broker: newBroker(t)}
	r.before = r.sum()
	r.configure(s)
	chip, err := espsim.New(espsim.Config{Memory: r.flash, Rollback: true, Unpaced: true,
		AppStart: 20 * time.Millisecond, SelfTest: 500 * time.Millisecond, Restart: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r.chip = chip
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	r.done = sync.OnceFunc(func() { cancel(); wg.Wait(); r.broker.close(); chip.Close() })
	t.Cleanup(r.done)
	line, err := link.ListenRFC2217(ctx, chip, "127.0.0.1:0", quiet)
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { _ = line.Serve(ctx) })
	wg.Go(func() { r.publish(ctx) })
	r.start(ctx, &wg, "rfc2217://"+line.Addr(), s)
	r.eventually("the firmware was heard", func() bool { return r.board.Facts().Firmware.Heard() })
	return r
}

// configure reads a real configuration file.
func (r *subject) configure(s settings) {
	r.t.Helper()
	w, dir := r.world, r.t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			r.t.Fatal(err)
		}
		return path
	}
	for i, k := range w.keys {
		write(fmt.Sprintf("%d.pem", i), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.Public.DER()}))
	}
	ca, address := w.ca.pem, s.address
	if s.open {
		ca = append(bytes.Clone(ca), w.evilCA.pem...)
	}
	if address == "" {
		address = w.server.URL
	}
	text := fmt.Sprintf(`
robot: {id: %s, sku: standard, companion_version: 0.2.0}
state_dir: %s
server: {url: %q, ca_file: %s, token_file: %s, allow_private: %v}
download: {min_speed: 16KiB, patience: 1s, give_up: 2s}
trust: {keys: [%s/0.pem, %s/1.pem], threshold: 2}
microros: {unit: ""}
gates: {settle: 2s}
`, robotID, filepath.Join(dir, "state"), address, write("ca.crt", ca), write("token", []byte(token)), s.open, dir, dir)
	var err error
	if r.cfg, err = config.Parse("agent.yaml", []byte(text)); err != nil {
		r.t.Fatal(err)
	}
	if s.hasty {
		r.cfg.Download.GiveUp = config.Duration(time.Millisecond)
	}
}

// start wires the agent as the program does it.
func (r *subject) start(ctx context.Context, wg *sync.WaitGroup, port string, s settings) {
	r.t.Helper()
	must := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	store, err := journal.Open(r.cfg.StateDir)
	must(err)
	base, err := r.cfg.Base()
	must(err)
	r.trust, err = trust.Open(trust.Config{Dir: r.cfg.StateDir, Base: base}, quiet)
	must(err)
	server, err := url.Parse(r.cfg.Server.URL)
	must(err)
	guard, err := httpguard.New(httpguard.Config{Server: server, AllowHosts: r.cfg.Server.AllowHosts, AllowPrivate: r.cfg.Server.AllowPrivate,
		CAFile: r.cfg.Server.CAFile, TokenFile: r.cfg.Server.TokenFile, TokenScheme: r.cfg.TokenScheme(), UserAgent: "ota-agent/test"})
	must(err)
	r.t.Cleanup(guard.CloseIdleConnections)
	images, err := fetch.New(fetch.Config{Dir: filepath.Join(r.cfg.StateDir, "images"), Keys: r.trust.Ring,
		Robot:   image.Policy{Chip: image.ESP32S3, SKU: r.cfg.Robot.SKU},
		MaxSize: int64(r.cfg.Download.MaxSize), MinSpeed: int64(r.cfg.Download.MinSpeed), Patience: r.cfg.Download.Patience.Std(),
		GiveUp: r.cfg.Download.GiveUp.Std()}, guard, quiet)
	must(err)
	var owner engine.Vouchers
	if s.listed {
		r.world.list(r.world.repo)
		lists, err := metadata.New(metadata.Config{Dir: r.cfg.StateDir, Root: r.world.repo.First(), URL: server.JoinPath("v1", "tuf"), SKU: r.cfg.Robot.SKU,
			Now: func() time.Time { return time.Now().Add(time.Duration(r.late.Load())) }}, guard, quiet)
		must(err)
		must(lists.Renew(ctx))
		owner = lists
	}
	fleet, err := mqttlink.New(mqttlink.Config{URL: "mqtts://broker", RobotID: robotID, SKU: r.cfg.Robot.SKU, StateDir: r.cfg.StateDir,
		KeepAlive: 30 * time.Second, Dial: r.broker.dial}, update.New(), quiet)
	must(err)
	r.core = engine.New(engine.Config{Chip: image.ESP32S3, SKU: r.cfg.Robot.SKU, Gates: r.cfg.Policy(),
		Trial:   watch.TrialPolicy{Window: 2 * time.Second, BootTimeout: 3 * time.Second, Silence: 2 * time.Second, SelfConfirm: true},
		Observe: watch.DefaultObservePolicy(), ObserveFor: time.Hour, Baud: 921600, Burst: s.burst,
	}, engine.Ports{
		Source: updateserver.New(updateserver.Config{URL: server, RobotID: robotID, SKU: r.cfg.Robot.SKU, Companion: r.cfg.Robot.CompanionVersion,
			MaxSize: int64(r.cfg.Download.MaxSize), Keyring: r.trust}, guard),
		Vouchers: owner, Images: images, Line: line{r}, Robot: r.board, Journal: store, Observer: fleet,
		Chip: esp32.New(esp32.Config{Serial: serialport.Config{Port: port, LockDir: r.t.TempDir()}, Chip: image.ESP32S3, Baud: 921600, Log: quiet}),
	}, update.New(), quiet)
	wg.Go(func() { _ = r.core.Run(ctx) })
	wg.Go(func() { _ = fleet.Run(ctx, r.core) })
	r.broker.wait(r.t)
}

// line counts how often it is taken.
type line struct{ *subject }

func (l line) Take(context.Context) error { l.taken.Add(1); return nil }
func (line) Give(context.Context) error   { return nil }

// publish is the robot's ROS side, whose word is the chip's.
func (r *subject) publish(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		now := time.Now()
		r.board.Post(robot.Battery{Fraction: 0.9, At: now})
		r.board.Post(robot.EStop{At: now})
		if a := r.chip.App(); a.Publishing {
			v, _ := compat.ParseVersion(a.Version)
			r.board.Post(robot.Diagnostic{Name: robotID + "/firmware", At: now})
			r.board.Post(robot.Firmware{Version: v, AppSHA256: a.SHA256, Slot: a.Slot, OTAState: a.OTAState, BootCount: a.BootCount,
				ResetReason: a.ResetReason, SafetyState: a.SafetyState, Motors: a.Motors, SelfTest: a.SelfTest, At: now})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sum is over OTA data, factory and both slots: all of the flash that an update
// may change. The rest is the firmware's own.
func (r *subject) sum() [32]byte { return sha256.Sum256(r.flash[0x18000:0x620000]) }

func (r *subject) eventually(what string, ok func() bool) {
	r.t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Fatalf("this did not happen: %s; %+v", what, r.core.Status())
}

// accepted is the answer that no lie may get: the image was proven, and waits
// for the robot to stand.
const accepted = "accepted"

// trigger asks for an update, and gives the answer: "code: text" of a refusal.
func (r *subject) trigger(q update.Request) string {
	r.t.Helper()
	id, err := r.core.Trigger(r.t.Context(), q)
	if err != nil {
		return "trigger: " + err.Error()
	}
	return r.answer(id)
}

// check has it ask the update server.
func (r *subject) check() string {
	r.t.Helper()
	return r.trigger(update.Request{Origin: update.FromCLI})
}

// answer waits for what becomes of a job.
func (r *subject) answer(id string) (said string) {
	r.t.Helper()
	r.eventually("an answer of job "+id, func() bool {
		s := r.core.Status()
		switch {
		case s.JobID != id:
			said = "another job: " + s.JobID
		case s.State == update.Failed:
			said = s.Failure.Code + ": " + s.Failure.Text
		case s.State == update.Idle:
			said = "nothing to do"
		case s.State == update.Checking, s.State == update.Downloading, s.State == update.Verifying:
			return false
		default:
			said = accepted
		}
		return true
	})
	return said
}

// drop gives up the job that waits.
func (r *subject) drop() {
	r.t.Helper()
	if err := r.core.Cancel(r.t.Context()); err != nil {
		r.t.Errorf("what waits cannot be cancelled: %v", err)
	}
	r.eventually("the chip is left alone", func() bool { s := r.core.Status(); return s.State.Terminal() && !s.Held })
}

// untouched says what a lie has changed of the robot; "": nothing.
func (r *subject) untouched() string {
	a := r.chip.App()
	switch {
	case a.Version != "0.2.0" || a.Slot != "factory" || !a.Running:
		return fmt.Sprintf("%s runs from %s", a.Version, a.Slot)
	case a.BootCount != 1:
		return fmt.Sprintf("the chip was reset: %d boots", a.BootCount)
	case r.taken.Load() != 0:
		return "the serial line was taken"
	case r.chip.Report().NextBoot != "factory":
		return "another slot boots next"
	}
	return ""
}

// signer is a pair of keys.
type signer = keyringtest.Signer

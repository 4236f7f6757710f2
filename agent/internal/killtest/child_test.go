package killtest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/esp32"
	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/updateserver"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

// childEnv holds, as JSON, what this test binary is to do as an agent.
const childEnv = "KILLTEST_AGENT"

// task is a life of an agent.
type task struct {
	State, Locks string // folders
	Line         string // host:port of the chip's
	World        string // address of the server, and of who tells how the robot is
	Key          string // DER in base64
	Die          int    // at this operation on a file; 0: at none
}

// result is what an agent tells that has lived on.
type result struct {
	Outcome update.State
	Failure *update.Failure // why; nil: none
	Ops     int             // on files
	Err     string
}

func TestMain(m *testing.M) {
	raw := os.Getenv(childEnv)
	if raw == "" {
		os.Exit(m.Run())
	}
	var t task
	r := result{}
	err := json.Unmarshal([]byte(raw), &t)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		r, err = t.live(ctx)
		cancel()
	}
	if err != nil {
		r.Err = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
	os.Exit(0)
}

// live is an agent until its update has ended.
func (t task) live(ctx context.Context) (result, error) {
	layer := &deadly{Layer: disk.Disk{}, die: t.Die}
	core, board, log, err := t.agent(disk.On(layer))
	if err != nil {
		return result{Ops: layer.count()}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- core.Run(ctx) }()
	go t.hear(ctx, board)
	s, err := ends(ctx, core, board, log)
	cancel()
	return result{Outcome: s.Outcome(), Failure: s.Failure, Ops: layer.count()}, errors.Join(err, ignore(<-ended))
}

func ignore(error) error { return nil }

// agent is wired as the program is.
func (t task) agent(d disk.Disk) (*engine.Engine, *robot.Board, *journal.Journal, error) {
	none := func(err error) (*engine.Engine, *robot.Board, *journal.Journal, error) { return nil, nil, nil, err }
	if _, err := journal.Claim(t.State); err != nil { // until the process ends
		return none(err)
	}
	log, err := journal.OpenOn(d, t.State)
	if err != nil {
		return none(err)
	}
	m, err := log.Load()
	if err != nil {
		return none(err)
	}
	der, err := base64.StdEncoding.DecodeString(t.Key)
	if err != nil {
		return none(err)
	}
	keys, err := image.ParseKeys(der)
	if err != nil {
		return none(err)
	}
	quiet, web, board := slog.New(slog.DiscardHandler), web{t.World}, robot.NewBoard()
	images, err := fetch.New(fetch.Config{Disk: d, Dir: filepath.Join(t.State, "images"),
		Keys: func() image.Keyring { return image.NewKeyring(keys...) }}, web, quiet)
	if err != nil {
		return none(err)
	}
	link, err := mqttlink.New(mqttlink.Config{URL: "mqtts://broker", RobotID: "r1", SKU: "standard", StateDir: t.State, Disk: d, KeepAlive: time.Minute}, m, quiet)
	if err != nil {
		return none(err)
	}
	cfg := engine.Config{Chip: image.ESP32S3, SKU: "standard", Gates: preflight.DefaultPolicy(), Observe: watch.DefaultObservePolicy(),
		Trial:      watch.TrialPolicy{Window: 300 * time.Millisecond, BootTimeout: 5 * time.Second, Silence: 5 * time.Second, SelfConfirm: true},
		ObserveFor: time.Hour, Baud: 921600}
	cfg.Gates.Companion, cfg.Gates.Settle = compat.Version{Minor: 2}, 0
	server := &url.URL{Scheme: "https", Host: "updates.example"}
	core := engine.New(cfg, engine.Ports{
		Source: updateserver.New(updateserver.Config{URL: server, RobotID: "r1", SKU: "standard"}, web),
		Images: images, Line: nobody{}, Robot: board, Journal: log, Baselines: log, Observer: link,
		Chip: esp32.New(esp32.Config{Serial: serialport.Config{Port: "rfc2217://" + t.Line, LockDir: t.Locks},
			Chip: image.ESP32S3, Baud: 921600, Speeds: log, Log: quiet}),
	}, m, quiet)
	return core, board, log, nil
}

// ends asks for the update, unless one has been taken on, and waits for its
// end, and until it is in the history.
func ends(ctx context.Context, core *engine.Engine, board *robot.Board, log *journal.Journal) (update.Status, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s := core.Status()
		if s.Outcome() != "" {
			rs, err := log.History(1)
			if err != nil || len(rs) > 0 && rs[0].JobID == s.JobID {
				return s, err
			}
		}
		if s.State == update.Idle && !board.Facts().Firmware.At.IsZero() {
			_, _ = core.Trigger(ctx, update.Request{Origin: update.FromCLI})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s, fmt.Errorf("no end: %+v", s)
		}
	}
}

// hear posts how the robot is.
func (t task) hear(ctx context.Context, board *robot.Board) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		var a espsim.AppStatus
		resp, err := http.Get(t.World + "/robot")
		if err == nil {
			err = errors.Join(json.NewDecoder(resp.Body).Decode(&a), resp.Body.Close())
		}
		now := time.Now()
		board.Post(robot.Battery{Fraction: 0.9, At: now})
		board.Post(robot.EStop{At: now})
		if err == nil && a.Publishing {
			board.Post(robot.Diagnostic{Name: "r1/firmware", At: now})
			v, _ := compat.ParseVersion(a.Version)
			board.Post(robot.Firmware{Version: v, AppSHA256: a.SHA256, Slot: a.Slot, OTAState: a.OTAState, BootCount: a.BootCount,
				ResetReason: a.ResetReason, SafetyState: a.SafetyState, Motors: a.Motors, SelfTest: a.SelfTest, At: now})
		}
		<-tick.C
	}
}

// web asks the world whatever is asked of the update server.
type web struct{ world string }

func (w web) Allow(*url.URL) error { return nil }

func (w web) Do(req *http.Request) (*http.Response, error) {
	at, err := url.Parse(w.world)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host = at.Scheme, at.Host
	return http.DefaultTransport.RoundTrip(req)
}

// nobody owns the line.
type nobody struct{}

func (nobody) Take(context.Context) error { return nil }
func (nobody) Give(context.Context) error { return nil }

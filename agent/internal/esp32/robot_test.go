package esp32_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/esp32"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/link"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// bench is a simulated chip behind RFC 2217 on loopback, and everything of the
// agent but ROS and the network: what the application would publish is posted
// on the board directly.
type bench struct {
	chip   *espsim.Chip
	board  *robot.Board
	engine *engine.Engine
	files  *files
}

func build(t *testing.T, version, behaviour string) []byte {
	t.Helper()
	img, err := testimage.Build(testimage.Spec{Version: version, Behaviour: behaviour, Size: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// newBench starts a robot that runs 0.2.0 from factory.
func newBench(t *testing.T, rollback bool) *bench {
	t.Helper()
	flash, err := espsim.Provision(espsim.DefaultFlashSize, 0, map[string][]byte{"factory": build(t, "0.2.0", "good")})
	if err != nil {
		t.Fatal(err)
	}
	chip, err := espsim.New(espsim.Config{Flash: flash, Rollback: rollback, Unpaced: true,
		AppStart: 50 * time.Millisecond, SelfTest: 500 * time.Millisecond, Restart: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chip.Close)
	state, locks := t.TempDir(), t.TempDir() // before the clean-up that ends who uses them
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	line, err := link.ListenRFC2217(ctx, chip, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { _ = line.Serve(ctx) })

	b := &bench{chip: chip, board: robot.NewBoard(), files: newFiles(t)}
	wg.Go(func() { b.publish(ctx) })
	b.start(ctx, t, &wg, line.Addr(), state, locks)
	return b
}

func (b *bench) start(ctx context.Context, t *testing.T, wg *sync.WaitGroup, addr, state, locks string) {
	t.Helper()
	j, err := journal.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	cfg := engine.Config{Chip: image.ESP32S3, SKU: "standard", Gates: preflight.DefaultPolicy(), Observe: watch.DefaultObservePolicy(),
		Trial:      watch.TrialPolicy{Window: 2 * time.Second, BootTimeout: 3 * time.Second, Silence: 2 * time.Second, SelfConfirm: true},
		ObserveFor: time.Hour, Baud: 921600}
	cfg.Gates.Companion = compat.Version{Minor: 2}
	b.engine = engine.New(cfg, engine.Ports{
		Source: b.files, Images: b.files, Line: nobody{}, Robot: b.board, Journal: j,
		Chip: esp32.New(esp32.Config{Serial: serialport.Config{Port: "rfc2217://" + addr, LockDir: locks},
			Chip: image.ESP32S3, Baud: 921600, Log: log}),
	}, update.New(), log)
	wg.Go(func() { _ = b.engine.Run(ctx) })
}

// publish is the robot's ROS side.
func (b *bench) publish(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		b.board.Post(robot.Battery{Fraction: 0.9, At: now})
		b.board.Post(robot.EStop{At: now})
		a := b.chip.App()
		if !a.Publishing {
			continue
		}
		b.board.Post(robot.Diagnostic{Name: "r/firmware", At: now})
		v, _ := compat.ParseVersion(a.Version)
		b.board.Post(robot.Firmware{Version: v, AppSHA256: a.SHA256, Slot: a.Slot, OTAState: a.OTAState, BootCount: a.BootCount,
			ResetReason: a.ResetReason, SafetyState: a.SafetyState, Motors: a.Motors, SelfTest: a.SelfTest, At: now})
	}
}

// files stands in for update server and store: one signed image.
type files struct {
	key    *ecdsa.PrivateKey
	keys   image.Keyring
	mu     sync.Mutex
	signed []byte
}

func newFiles(t *testing.T) *files {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := image.NewKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &files{key: key, keys: image.NewKeyring(pub)}
}

func (f *files) offer(t *testing.T, app []byte) {
	t.Helper()
	signed, err := image.Sign(app, f.key)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signed = signed
}

func (f *files) Check(context.Context, compat.Version) (update.Offer, bool, error) {
	return update.Offer{}, false, nil
}

func (f *files) Fetch(context.Context, update.Offer, func(done, total int64)) (update.Fetched, error) {
	return update.Fetched{SHA256: "f00d", Size: int64(len(f.signed))}, nil
}

func (f *files) Verify(_ context.Context, _ string, p image.Policy) (image.Verified, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return image.Verify(f.signed, f.keys, p)
}

// nobody owns the line.
type nobody struct{}

func (nobody) Take(context.Context) error { return nil }
func (nobody) Give(context.Context) error { return nil }

// update installs an image and returns how it ended.
func (b *bench) update(t *testing.T, app []byte, meanwhile func(update.Status)) update.Status {
	t.Helper()
	b.files.offer(t, app)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	news, stop := b.engine.News()
	defer stop()
	id := ""
	for id == "" { // until everything has been heard, or the last job's debt is paid
		var err error
		if id, err = b.engine.Trigger(ctx, update.Request{URL: "https://u/i", Origin: update.FromROS}); err != nil {
			t.Log(err)
			select {
			case <-news:
			case <-ctx.Done():
				t.Fatal("never took the job")
			}
		}
	}
	for {
		s := b.engine.Status()
		if s.JobID == id && s.Outcome() != "" {
			return s
		}
		if meanwhile != nil {
			meanwhile(s)
		}
		select {
		case <-news:
		case <-ctx.Done():
			t.Fatalf("no end: %+v", b.engine.Status())
		}
	}
}

// runs waits until the chip runs a version from a slot.
func (b *bench) runs(t *testing.T, version, slot string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if a, err := b.chip.WaitApp(ctx, func(a espsim.AppStatus) bool { return a.Version == version && a.Slot == slot }); err != nil {
		t.Fatalf("%s does not run from %s: %+v", version, slot, a)
	}
	if next := b.chip.Report().NextBoot; next != slot {
		t.Errorf("%s would boot next, not %s", next, slot)
	}
}

func TestUpdatesOfASimulatedChip(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.runs(t, "0.2.0", "factory")
	steps := []struct {
		version, behaviour string
		outcome            update.State
		code               string
		runs, slot         string
	}{
		{"0.2.1", "fail_self_test", update.RolledBack, "self_test_failed", "0.2.0", "factory"},
		{"0.2.2", "good", update.Confirmed, "", "0.2.2", "ota_0"},
		{"0.2.3", "crash_early", update.RolledBack, "rolled_back_by_itself", "0.2.2", "ota_0"},
		{"0.2.4", "hang", update.RolledBack, "not_confirmed", "0.2.2", "ota_0"},
		{"0.2.5", "wrong_version", update.RolledBack, "wrong_firmware", "0.2.2", "ota_0"},
		{"0.2.6", "good", update.Confirmed, "", "0.2.6", "ota_1"},
		{"0.2.7", "silent", update.RolledBack, "no_sign_of_life", "0.2.6", "ota_1"},
		{"0.2.8", "good", update.Confirmed, "", "0.2.8", "ota_0"},
	}
	for _, s := range steps {
		got := b.update(t, build(t, s.version, s.behaviour), nil)
		code := ""
		if got.Failure != nil {
			code = got.Failure.Code
		}
		if code == "rolled_back_by_itself" && s.code == "self_test_failed" {
			code = s.code // it was gone before its word of it was heard
		}
		if got.Outcome() != s.outcome || code != s.code {
			t.Errorf("%s (%s): %s %q (%+v), want %s %q", s.version, s.behaviour, got.Outcome(), code, got.Failure, s.outcome, s.code)
		}
		b.runs(t, s.runs, s.slot)
	}
}

// A bootloader that was built without rollback never goes back by itself: the
// agent does it.
func TestABootloaderWithoutRollback(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	if got := b.update(t, build(t, "0.2.1", "crash_early"), nil); got.Outcome() != update.RolledBack {
		t.Errorf("%+v", got)
	}
	b.runs(t, "0.2.0", "factory")
}

func TestACablePulledInTheWrite(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	before := sum(b.chip.Report(), "factory")
	pulled := false
	got := b.update(t, build(t, "0.2.1", "good"), func(s update.Status) {
		if s.State == update.Writing && s.BytesDone > 0 && !pulled {
			pulled = true
			b.chip.Unplug()
		}
	})
	if !pulled || got.State != update.Failed {
		t.Fatalf("pulled %v: %+v", pulled, got)
	}
	b.chip.Plug()
	b.runs(t, "0.2.0", "factory")
	if after := sum(b.chip.Report(), "factory"); after != before {
		t.Error("the running slot was touched")
	}
}

func sum(r espsim.FlashReport, slot string) string {
	for _, s := range r.Slots {
		if s.Slot == slot {
			return s.Sum
		}
	}
	return ""
}

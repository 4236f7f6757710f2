package hawkbit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func version(s string) compat.Version {
	v, err := compat.ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// engine is the real state machine with effects that the test performs: what
// happens, it says by happen.
type engine struct {
	t      *testing.T
	source interface {
		Check(ctx context.Context, running compat.Version) (update.Offer, bool, error)
	}
	observer interface {
		Stepped(before, after update.Memory, event string)
	}
	board *robot.Board
	news  chan struct{}

	mu        sync.Mutex
	mem       update.Memory
	progress  float64
	inhibited map[string]string
	leases    map[string]time.Time
	triggers  int
	cancels   int
	lag       func() // before a cancellation is followed
}

func (e *engine) Trigger(ctx context.Context, r update.Request) (string, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	e.do(func() { e.triggers++ })
	id := "job-" + time.Now().Format("150405.000000")
	if err := e.apply(update.Trigger{ID: id, Request: r}); err != nil {
		return "", err
	}
	e.check(ctx, r)
	return id, nil
}

// check is the engine's effect of that name.
func (e *engine) check(ctx context.Context, r update.Request) {
	if r.URL != "" {
		e.happen(update.Resolved{Offer: update.Offer{URL: r.URL, Version: r.Version}})
		return
	}
	o, found, err := e.source.Check(ctx, e.board.Facts().Firmware.Version)
	switch {
	case err != nil:
		e.happen(update.EffectFailed{Code: "bad_answer", Text: err.Error()})
	case !found:
		e.happen(update.NothingNewer{})
	default:
		e.happen(update.Resolved{Offer: o})
	}
}

func (e *engine) Cancel(context.Context) error {
	if e.lag != nil {
		e.lag()
	}
	e.do(func() { e.cancels++ })
	return e.apply(update.CancelAsked{})
}

func (e *engine) Inhibit(_ context.Context, owner, reason string, lease time.Duration) error {
	e.do(func() {
		e.leases[owner] = time.Now().Add(lease)
		if e.inhibited[owner] = reason; lease == 0 {
			delete(e.inhibited, owner)
		}
	})
	return nil
}

// held is why hawkBit holds the engine back; "": it does not.
func (e *engine) held() (reason string) {
	e.do(func() {
		if time.Now().Before(e.leases[owner]) {
			reason = e.inhibited[owner]
		}
	})
	return reason
}

func (e *engine) Status() (s update.Status) {
	e.do(func() {
		j := e.mem.Job
		s = update.Status{State: j.State, JobID: j.ID, Target: j.Image.Version, Reasons: j.Reasons, Progress: e.progress,
			BytesDone: int64(e.progress * 1000), BytesTotal: 1000, Message: "the message of " + string(j.State), Held: e.mem.Held}
	})
	return s
}

func (e *engine) News() (<-chan struct{}, func()) { return e.news, func() {} }

func (e *engine) do(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

func (e *engine) apply(ev update.Event) error {
	var before, after update.Memory
	var err error
	e.do(func() {
		before = e.mem
		if after, _, err = update.Next(e.mem, ev, time.Now()); err == nil {
			e.mem, e.progress = after, 0
		}
	})
	if err == nil {
		e.observer.Stepped(before, after, "test")
	}
	return err
}

func (e *engine) happen(events ...update.Event) {
	e.t.Helper()
	for _, ev := range events {
		if err := e.apply(ev); err != nil {
			e.t.Errorf("%T: %v", ev, err)
		}
	}
}

// moves publishes progress.
func (e *engine) moves(to float64) {
	e.do(func() { e.progress = to })
	select {
	case e.news <- struct{}{}:
	default:
	}
}

func (e *engine) state() update.State { return e.Status().State }

// rig is a robot with its server, in fake time.
type rig struct {
	*engine
	hawk    *hawk
	dir     string
	confirm bool
	link    *Link
	stop    func()
}

const newApp = "bb"

// play runs f with a robot that runs 0.2.0.
func play(t *testing.T, h *hawk, f func(t *testing.T, r *rig), change ...func(*rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{hawk: h, dir: dir, confirm: true, engine: &engine{
			t: t, board: robot.NewBoard(), news: make(chan struct{}, 1), mem: update.New(),
			inhibited: map[string]string{}, leases: map[string]time.Time{},
		}}
		r.runs("0.2.0", "ota_0", "aa")
		for _, c := range change {
			c(r)
		}
		r.start()
		defer func() { r.stop() }()
		f(t, r)
	})
}

// assigned is play with one deployment, of 0.2.1.
func assigned(t *testing.T, f func(t *testing.T, r *rig, h *hawk, a *assignment), change ...func(*rig)) {
	t.Helper()
	a := &assignment{id: "3", version: "0.2.1"}
	h := newHawk(a)
	play(t, h, func(t *testing.T, r *rig) { f(t, r, h, a) }, change...)
}

// start starts the agent, or starts it again: with the memory that it saved.
func (r *rig) start() {
	u, _ := url.Parse("https://hawk.example")
	l, err := New(Config{Server: u, Tenant: "DEFAULT", Controller: "r1", Confirm: r.confirm, RobotID: "r1", SKU: "standard",
		Companion: "0.2.0", Agent: "1.0", StateDir: r.dir}, r.hawk, r.board, r.mem, slog.New(slog.NewTextHandler(r.t.Output(), nil)))
	if err != nil {
		r.t.Fatal(err)
	}
	r.link, r.source, r.observer = l, l, l
	r.inhibited, r.leases = map[string]string{}, map[string]time.Time{}
	l.Attach(r.engine)
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// crash ends the agent without a word, and starts it again.
func (r *rig) crash() {
	r.stop()
	r.start()
	_ = r.apply(update.Restarted{}) // where there is nothing to take up again, it does not fit
}

// runs is what the firmware says of itself.
func (r *rig) runs(v, slot, app string) {
	r.board.Post(robot.Firmware{Version: version(v), Slot: slot, AppSHA256: app, OTAState: "valid", At: time.Now()})
}

// wait lets time pass. What the test has read was read before.
func (r *rig) wait(d time.Duration) {
	r.do(func() {})
	r.hawk.do(func() {})
	time.Sleep(d)
	synctest.Wait()
}

// until lets time pass until ok.
func (r *rig) until(what string, limit time.Duration, ok func() bool) {
	r.t.Helper()
	synctest.Wait()
	for end := time.Now().Add(limit); !ok(); r.wait(100 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s took longer than %s; the engine is in %s, the server was asked %q", what, limit, r.state(), r.hawk.log)
		}
	}
}

// begun waits until a job has been begun.
func (r *rig) begun() {
	r.t.Helper()
	r.until("the job's begin", 6*time.Minute, func() bool { return r.state() == update.Downloading })
}

// proof is what verification finds.
func proof(v string) update.Proven {
	return update.Proven{Image: update.Image{Version: version(v), AppSHA256: newApp}}
}

// ready takes a job from the download to the gates.
func (r *rig) ready() {
	r.t.Helper()
	r.happen(update.Fetched{SHA256: "cc", Size: 20_000}, proof("0.2.1"))
}

// flashes takes a job from the gates into the trial.
func (r *rig) flashes() {
	r.t.Helper()
	r.happen(update.Clear{}, update.LineTaken{}, update.Connected{From: update.Installed{Slot: "ota_0", Version: version("0.2.0")}, To: "ota_1"},
		update.Written{}, update.Attested{}, update.Switched{}, update.Released{}, update.Up{})
}

// passes takes a job from the trial to the observation.
func (r *rig) passes() {
	r.t.Helper()
	r.runs("0.2.1", "ota_1", newApp)
	r.happen(update.TrialPassed{Evidence: []string{"healthy for 30 s"}}, update.Kept{})
}

// installs takes a job from the download to its good end.
func (r *rig) installs() {
	r.t.Helper()
	r.ready()
	r.flashes()
	r.passes()
}

// fails ends the trial.
func (r *rig) fails() {
	r.t.Helper()
	r.runs("0.2.0", "ota_0", "aa")
	r.happen(update.TrialFailed{Code: "self_test_failed", Text: "the self-test failed", Back: true, Evidence: []string{"self_test failed"}})
}

func lowBattery() update.Blocked {
	return update.Blocked{Reasons: []preflight.Reason{{Code: preflight.BatteryLow, Text: "the battery is at 40 %", Lift: "charge above 50 %"}}}
}

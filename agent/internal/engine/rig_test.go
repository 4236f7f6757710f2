package engine_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
)

// nature is what a firmware does once it is booted on trial.
type nature int

const (
	good   nature = iota
	crash         // resets before its first word; the bootloader aborts it
	sick          // speaks, fails its self-test, resets
	hang          // speaks, never confirms
	silent        // runs, says nothing
)

// firmware in a slot of the fake chip.
type firmware struct {
	version compat.Version
	sha     string
	nature  nature
	state   flashmap.OTAState
}

// rig is a robot of which everything but the engine is faked: two slots, a
// line that has an owner, a chip that is in its loader or runs.
type rig struct {
	t     *testing.T
	board *robot.Board

	mu       sync.Mutex
	slots    [2]*firmware
	boot     int // slot that boots next
	running  int // slot that runs, -1 in the loader
	bootedAt time.Time
	boots    uint64
	owner    bool           // of the line runs
	dead     bool           // cable
	failAt   map[string]int // operation → how often it still fails
	log      []string       // operations in order
	battery  float64
	charging bool
	moving   float64
	estop    robot.EStop // but for its time
	driven   float64     // by commands
	fidgets  bool        // it stands every other second
	blind    bool        // there is no odometry any more
	motors   string      // "": idle
	quiet    bool        // the firmware that runs says nothing any more
	next     nature      // of the image that is offered
	file     []byte
	key      *ecdsa.PrivateKey
	keys     image.Keyring
	mem      update.Memory
	saves    int
	noSpace  bool
	history  []update.Record
	vouchers engine.Vouchers // nil: nobody is asked
	owed     []update.Record // to the history
	nothing  bool            // the server has nothing
	patched  bool            // it has a patch
	slow     bool            // a download takes two seconds
	answer   error           // of the server; nil: what it has
	dieAt    string          // state or operation at which the agent dies
	frozen   bool            // the agent is dead: nothing it still does has an effect
	onSave   func(update.State)
	onOp     func(op string)         // at its begin, without the lock
	gates    func(*preflight.Policy) // changes the engine's policy
	steps    []step
	prepared image.Verified
	asked    []update.Check // the server, and how it went
}

func version(t *testing.T, s string) compat.Version {
	t.Helper()
	v, err := compat.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// step is what the engine's observer was told.
type step struct {
	before, after update.Memory
	event         string
}

func (r *rig) Stepped(before, after update.Memory, event string) {
	r.do(func() { r.steps = append(r.steps, step{before, after, event}) })
}

var errFake = errors.New("it broke")

func newRig(t *testing.T) *rig {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := image.NewKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.Sign(imagetest.App(imagetest.Options{Version: "0.2.1"}), key)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, key: key, board: robot.NewBoard(), owner: true, battery: 0.9, running: 0, boots: 3, failAt: map[string]int{},
		file: file, keys: image.NewKeyring(pub), mem: update.New(),
	}
	r.slots[0] = &firmware{version: compat.Version{Minor: 2}, sha: "aa", state: flashmap.Valid}
	r.slots[1] = &firmware{version: compat.Version{Minor: 1}, sha: "00", state: flashmap.Valid}
	return r
}

// largeImage is the size of a large one, in bytes.
const largeImage = 1800 << 10

// large lets the server have a large image.
func (r *rig) large() {
	file, err := image.Sign(imagetest.App(imagetest.Options{Version: "0.2.1", Body: make([]byte, largeImage)}), r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.file = file
}

// live is the robot's own life: what runs publishes twice a second.
func (r *rig) live(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, o := range r.words() {
			r.board.Post(o)
		}
	}
}

func (r *rig) words() []robot.Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	stop := r.estop
	stop.At = now
	out := []robot.Observation{robot.Battery{Fraction: r.battery, Charging: r.charging, At: now}, stop, robot.Command{Linear: r.driven, At: now}}
	if !r.blind {
		o := robot.Odometry{Linear: r.moving, At: now}
		if r.fidgets && now.Second()%2 == 0 {
			o.Linear = 0
		}
		out = append(out, o)
	}
	if r.running < 0 || !r.owner || r.quiet {
		return out
	}
	f := r.slots[r.running]
	up := now.Sub(r.bootedAt)
	w := robot.Firmware{Version: f.version, AppSHA256: f.sha, Slot: flashmap.Slot(r.running).String(), BootCount: r.boots,
		SafetyState: "normal", Motors: "idle", SelfTest: "passed", At: now}
	if f.state == flashmap.PendingVerify {
		w.SelfTest = "running"
		switch {
		case f.nature == silent:
			return out
		case f.nature == crash, f.nature == sick && up > 3*time.Second:
			f.state = flashmap.Aborted
			r.start(1 - r.running)
			return out
		case f.nature == good && up > 5*time.Second:
			f.state, w.SelfTest = flashmap.Valid, "passed"
		}
	}
	if r.motors != "" {
		w.Motors = r.motors
	}
	w.OTAState = f.state.String()
	return append(out, w, robot.Diagnostic{Name: "r/firmware", At: now})
}

// start boots a slot, as the bootloader does it.
func (r *rig) start(slot int) {
	r.boot, r.running, r.bootedAt = slot, slot, time.Now()
	r.boots++
	r.quiet, r.motors = false, ""
	f := r.slots[slot]
	switch f.state {
	case flashmap.PendingVerify:
		f.state = flashmap.Aborted
		r.start(1 - slot)
	case flashmap.New:
		f.state = flashmap.PendingVerify
	default:
	}
}

// die kills the agent when its memory first says that it is in the state at,
// or right after the first operation of that name.
func (r *rig) die(at string) { r.do(func() { r.dieAt = at }) }

// do changes or reads the rig while it lives.
func (r *rig) do(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// later changes the rig after a while.
func (r *rig) later(d time.Duration, f func()) { time.AfterFunc(d, func() { r.do(f) }) }

// did says whether an operation was asked for.
func (r *rig) did(op string) (yes bool) {
	r.do(func() { yes = slices.Contains(r.log, op) })
	return yes
}

// records is the history.
func (r *rig) records() (out []update.Record) {
	r.do(func() { out = slices.Clone(r.history) })
	return out
}

func (r *rig) killed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.frozen
}

// thaw lets the next agent work.
func (r *rig) thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dieAt, r.frozen = "", false
}

// done is called with the lock held after an operation had its effect.
func (r *rig) done(name string) error {
	if r.frozen = r.dieAt == name; r.frozen {
		return errFake
	}
	return nil
}

// op notes an operation and fails it if it was told to.
func (r *rig) op(ctx context.Context, name string) error {
	r.mu.Lock()
	begun := r.onOp
	r.mu.Unlock()
	if begun != nil {
		begun(name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen {
		return errFake
	}
	r.log = append(r.log, name)
	if r.dead {
		return fmt.Errorf("%s: cable: %w", name, errFake)
	}
	if r.failAt[name] > 0 {
		r.failAt[name]--
		return fmt.Errorf("%s: %w", name, errFake)
	}
	return ctx.Err()
}

// The ports of the engine.

// asker keeps what is told of questions to the update server.
type asker struct{ *rig }

func (a asker) Checked(c update.Check) { a.do(func() { a.asked = append(a.asked, c) }) }

func (a asker) Last() (c update.Check) {
	a.do(func() {
		if n := len(a.asked); n > 0 {
			c = a.asked[n-1]
		}
	})
	return c
}

func (asker) Next() time.Time { return time.Now().Add(time.Hour) }

func (r *rig) Check(ctx context.Context, running compat.Version) (update.Offer, bool, error) {
	if err := r.op(ctx, "check"); err != nil {
		return update.Offer{}, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answer != nil {
		return update.Offer{}, false, r.answer
	}
	o := update.Offer{URL: "https://u/i", Version: compat.Version{Minor: 2, Patch: 1}}
	if r.patched {
		o.Patch = update.Patch{URL: "https://u/p", Size: patchBytes}
	}
	return o, !r.nothing, nil
}

// patchBytes is the size of the server's patch.
const patchBytes = 700

func (r *rig) Fetch(ctx context.Context, o update.Offer, progress func(done, total int64)) (update.Fetched, error) {
	if err := r.op(ctx, "download"); err != nil {
		return update.Fetched{}, err
	}
	n := int64(len(r.file))
	got := update.Fetched{SHA256: "feed", Size: n, Downloaded: n}
	if got.Patched = o.Patch.URL != ""; got.Patched {
		got.Downloaded = o.Patch.Size
	}
	progress(got.Downloaded, got.Downloaded)
	slow := false
	r.do(func() { slow = r.slow })
	if slow {
		time.Sleep(2 * time.Second)
	}
	return got, nil
}

func (r *rig) Verify(ctx context.Context, _ string, p image.Policy) (image.Verified, error) {
	if err := r.op(ctx, "verify"); err != nil {
		return image.Verified{}, err
	}
	return image.Verify(r.file, r.keys, p)
}

func (r *rig) Take(ctx context.Context) error {
	if err := r.op(ctx, "take"); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owner = false
	return r.done("take")
}

func (r *rig) Give(ctx context.Context) error {
	if err := r.op(ctx, "give"); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owner = true
	return r.done("give")
}

func (r *rig) Prepare(v image.Verified) error {
	r.do(func() { r.prepared = v })
	return nil
}

func (r *rig) Connect(ctx context.Context, _ image.Verified) (engine.Session, error) {
	if err := r.op(ctx, "connect"); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = -1
	return session{r}, r.done("connect")
}

func (r *rig) Reset(ctx context.Context) error {
	if err := r.op(ctx, "reset"); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.start(r.boot)
	return r.done("reset")
}

type session struct{ *rig }

func (s session) Inspect(ctx context.Context) (engine.Layout, error) {
	err := s.op(ctx, "inspect")
	s.mu.Lock()
	defer s.mu.Unlock()
	l := engine.Layout{Next: flashmap.Slot(s.boot), Inactive: flashmap.Slot(1 - s.boot), State: s.slots[s.boot].state, SlotSize: 2 << 20}
	f := s.slots[s.boot]
	l.Installed = update.Installed{Slot: l.Next.String(), Version: f.version, AppSHA256: f.sha}
	return l, err
}

func (s session) Write(ctx context.Context, to flashmap.Slot, v image.Verified, progress func(done, total int64)) error {
	s.mu.Lock()
	if int(to) == s.boot {
		s.t.Error("the running slot is written")
	}
	s.slots[to] = &firmware{version: v.Version(), sha: "torn", state: flashmap.Invalid}
	s.mu.Unlock()
	if err := s.op(ctx, "write"); err != nil {
		return err
	}
	select {
	case <-time.After(3 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	progress(int64(v.Size()), int64(v.Size()))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[to] = &firmware{version: v.Version(), sha: fmt.Sprintf("%x", v.App().Digest), nature: s.next, state: flashmap.Invalid}
	return s.done("write")
}

func (s session) Attest(ctx context.Context, to flashmap.Slot, _ image.Verified) error {
	err := s.op(ctx, "attest")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots[to].sha == "torn" {
		return errors.New("the slot does not hold the image")
	}
	return err
}

func (s session) Switch(ctx context.Context, _, to flashmap.Slot) error {
	s.mu.Lock()
	if !s.mem.Job.Switched {
		s.t.Error("the slot is switched before the journal knows")
	}
	s.mu.Unlock()
	if err := s.op(ctx, "switch"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[to].state, s.boot = flashmap.New, int(to)
	return s.done("switch")
}

func (s session) Restore(ctx context.Context, bad, good flashmap.Slot) error {
	if err := s.op(ctx, "restore"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[bad].state, s.boot = flashmap.Invalid, int(good)
	return s.done("restore")
}

func (s session) Confirm(ctx context.Context, to flashmap.Slot) error {
	if err := s.op(ctx, "confirm"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[to].state = flashmap.Valid
	return nil
}

func (s session) Close(ctx context.Context, run bool) error {
	if !run {
		return s.op(ctx, "close")
	}
	return s.Reset(ctx)
}

func (r *rig) Facts() robot.Facts              { return r.board.Facts() }
func (r *rig) News() (<-chan struct{}, func()) { return r.board.News() }

func (r *rig) Save(m update.Memory, ended ...update.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen {
		return errFake
	}
	if r.noSpace {
		r.owed = append(r.owed, ended...)
		return errors.New("no space left on device")
	}
	if r.onSave != nil && m.Job.State != r.mem.Job.State {
		r.onSave(m.Job.State)
	}
	r.mem, r.owed = m, append(r.owed, ended...)
	r.saves++
	return r.done(string(m.Job.State))
}

func (r *rig) Settle() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen || r.dieAt == "record" && len(r.owed) > 0 {
		r.frozen = true
		return len(r.owed), errFake
	}
	if r.noSpace {
		return len(r.owed), errors.New("no space left on device")
	}
	r.history, r.owed = append(r.history, r.owed...), nil
	return 0, nil
}

// engine starts an engine over the rig's journal; the returned function kills
// it: its effects end, and nothing it learns is kept.
func (r *rig) engine(ctx context.Context) (*engine.Engine, func()) {
	cfg := engine.Config{Chip: image.ESP32S3, SKU: "standard", Gates: preflight.DefaultPolicy(), Trial: watch.DefaultTrialPolicy(),
		Observe: watch.DefaultObservePolicy(), ObserveFor: time.Hour, StandWithin: 10 * time.Minute, Baud: 921600}
	cfg.Gates.Companion = compat.Version{Minor: 2}
	r.mu.Lock()
	m := r.mem
	if r.gates != nil {
		r.gates(&cfg.Gates)
	}
	r.mu.Unlock()
	e := engine.New(cfg, engine.Ports{Vouchers: r.vouchers, Source: r, Images: r, Line: r, Chip: r, Robot: r, Journal: r, Checks: asker{r}, Observer: r}, m, slog.New(slog.DiscardHandler))
	run, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.Run(run)
	}()
	return e, func() { cancel(); <-done }
}

// play runs f with a robot that lives and an engine that runs, in fake time.
func play(t *testing.T, f func(t *testing.T, r *rig, e *engine.Engine)) {
	t.Helper()
	playWith(t, nil, f)
}

// playWith is play with an owner of the fleet who is asked what he stands for.
func playWith(t *testing.T, owner engine.Vouchers, f func(t *testing.T, r *rig, e *engine.Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.vouchers = owner
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.live(ctx)
		e, kill := r.engine(ctx)
		defer kill()
		time.Sleep(2 * time.Second) // until everything has been heard
		f(t, r, e)
	})
}

// wait sleeps until the engine is in one of the states, for an hour at most.
func wait(t *testing.T, e *engine.Engine, states ...update.State) update.Status {
	t.Helper()
	for range 36000 {
		s := e.Status()
		for _, want := range states {
			if s.State == want {
				synctest.Wait() // until what belongs to it is done as well, such as the history
				return s
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("never got to %v; it is %+v", states, e.Status())
	return update.Status{}
}

func trigger(t *testing.T, e *engine.Engine) string {
	t.Helper()
	id, err := e.Trigger(t.Context(), update.Request{URL: "https://u/i", Origin: update.FromROS})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

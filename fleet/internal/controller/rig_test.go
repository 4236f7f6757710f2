package controller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(envDir) != "" {
		os.Exit(live())
	}
	storetest.Main(m)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func v(text string) compat.Version { return must(compat.ParseVersion(text)) }

const (
	releaseName = "basic-0.2.1"
	appSum      = "0a"
)

// quick is a plan whose stages take hours: 12 canaries and 8 more of 40.
const quick = `{"schema":1,"seed":"7","stages":{
	"internal":{"watch":"2h","patience":"6h"},"canary":{"share":0.3,"watch":"2h","patience":"6h"},
	"wide":{"watch":"2h","patience":"6h"},"full":{"watch":"2h","patience":"6h"}},
	"limits":{"detect":0.25,"safety_margin":0.2,"away":"2h"}}`

// rig is a fleet with its controller, whose robots live by the hour. All that it
// knows is in the store, the time included.
type rig struct {
	ctx  context.Context
	s    *store.Store
	c    *Controller
	e    *emergency.Service
	time *time.Time
	// harm says what a robot with the release counts in an hour, besides health.
	harm func(id string) rollout.Counters
	// away robots say nothing.
	away map[string]bool
}

// newRig is one over a store that was opened with the clock.
func newRig(ctx context.Context, s *store.Store, now *time.Time) *rig {
	e := emergency.New(s, func() time.Time { return *now })
	log := slog.New(slog.DiscardHandler)
	return &rig{ctx: ctx, s: s, e: e, time: now, c: New(Config{Now: func() time.Time { return *now }, Every: 10 * time.Millisecond}, s, e, log)}
}

// open is a rig for a test, with its fleet.
func open(t *testing.T, env storetest.Env, robots int) *rig {
	t.Helper()
	now := storetest.Noon()
	s := env.Open(t, func(o *store.Options) { o.Now = func() time.Time { return now } })
	r := newRig(t.Context(), s, &now)
	if err := r.found(robots, keyringtest.Signers(1)[0].Public); err != nil {
		t.Fatal(err)
	}
	return r
}

// found registers test robots and others, with some hours behind them, and
// publishes what they run and what they are to run.
func (r *rig) found(robots int, key image.Key) error {
	err := r.s.Update(r.ctx, "found", func(tx *store.Tx) error {
		if _, err := tx.AddKey(r.ctx, key, "pub.der"); err != nil {
			return err
		}
		for i := range robots + 2 {
			robot := store.Robot{ID: fmt.Sprintf("r%03d", i), SKU: "basic", Tags: []string{fmt.Sprint("site-", i%2)}}
			if i >= robots {
				robot.ID, robot.Internal = fmt.Sprint("lab-", i-robots), true
			}
			if err := r.register(tx, robot); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for seed, version := range map[byte]string{1: "0.2.0", 2: "0.2.1"} {
		file := bytes.Repeat([]byte{seed}, 1000)
		sum := sha256.Sum256(file)
		of := release.Release{
			SKU: "basic", Version: v(version), SHA256: hex.EncodeToString(sum[:]), Size: 1000, Protocol: 1, Name: "basic-" + version,
			AppSHA256: strings.Repeat(appSum, 32), Key: key.ID, Published: *r.time, Changed: *r.time, Status: release.Published,
		}
		if err := r.s.Publish(r.ctx, file, []release.Release{of}); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) register(tx *store.Tx, robot store.Robot) error {
	if err := tx.AddRobot(r.ctx, robot); err != nil {
		return err
	}
	state := store.RobotState{Version: v("0.2.0"), Companion: v("0.2.0"), Received: *r.time, Online: true}
	if err := tx.SetState(r.ctx, robot.ID, state); err != nil {
		return err
	}
	for h := 1; h <= 4; h++ {
		if err := tx.AddHealth(r.ctx, hour(robot.ID, r.time.Add(-time.Duration(h)*time.Hour), v("0.2.0"), rollout.Counters{})); err != nil {
			return err
		}
	}
	return nil
}

// hour is one without a fault, and what there is besides.
func hour(id string, begin time.Time, firmware compat.Version, more rollout.Counters) store.Hour {
	c := rollout.Counters{OK: 60, Odometry: 180000, Diagnostics: 7200, Battery: 3600, Discharging: 1800, Used: 0.05}.Add(more)
	c.OK -= more.Warn + more.Error + more.Silent
	return store.Hour{Robot: id, Begin: begin, Firmware: firmware, First: begin, Last: begin.Add(time.Hour - time.Second), Counters: store.Counters(c)}
}

// start begins the quick rollout.
func (r *rig) start(id string) error {
	p, err := r.c.Plan(r.ctx, id, []byte(quick), 0)
	if err != nil {
		return err
	}
	_, err = r.c.Start(r.ctx, p, "ann", "a better odometry")
	return err
}

// life lets every robot live for an hour, once: it takes what it is offered,
// does what it is told, and counts.
func (r *rig) life() error {
	robots, err := r.s.Robots(r.ctx, store.RobotQuery{})
	if err != nil {
		return err
	}
	begin := *r.time
	err = r.s.Update(r.ctx, "life", func(tx *store.Tx) error {
		for _, robot := range robots {
			if r.away[robot.ID] {
				continue
			}
			if err := r.lives(tx, robot, begin); err != nil {
				return err
			}
		}
		return tx.SetLedger(r.ctx, robots[0].ID, must(json.Marshal(begin.Add(time.Hour))))
	})
	*r.time = begin.Add(time.Hour)
	return err
}

func (r *rig) lives(tx *store.Tx, robot store.Robot, begin time.Time) error {
	offered, err := tx.Offered(r.ctx, robot.SKU, robot.ID)
	if err != nil {
		return err
	}
	outcome, code := rollout.Pending, ""
	next, ok := release.Choose(offered, release.Robot{ID: robot.ID, SKU: robot.SKU, Running: robot.State.Version, Companion: robot.CompanionVersion()})
	if ok {
		robot.State.Version, outcome = next.Version, rollout.Confirmed
	}
	told, err := tx.Commands(r.ctx, store.CommandQuery{Robot: robot.ID, Open: true})
	if err != nil {
		return err
	}
	for _, c := range told {
		if c.Verb == store.VerbRollback && c.Version == robot.State.Version {
			robot.State.Version, outcome, code = v("0.2.0"), rollout.RolledBack, "asked"
		}
	}
	robot.State.Received = begin.Add(time.Hour)
	if err := tx.SetState(r.ctx, robot.ID, robot.State); err != nil {
		return err
	}
	if err := r.comesTo(tx, robot.ID, outcome, code, begin); err != nil {
		return err
	}
	more := rollout.Counters{}
	if robot.State.Version == v("0.2.1") && r.harm != nil {
		more = r.harm(robot.ID)
	}
	return tx.AddHealth(r.ctx, hour(robot.ID, begin, robot.State.Version, more))
}

// comesTo is what the intake writes of a robot.
func (r *rig) comesTo(tx *store.Tx, robot string, outcome rollout.Outcome, code string, at time.Time) error {
	parts, err := tx.AssignmentsOf(r.ctx, robot)
	if err != nil || len(parts) == 0 || outcome == rollout.Pending {
		return err
	}
	a, p := parts[0], progress(parts[0]).With(outcome, code, at)
	a.Outcome, a.Code, a.Trigger = string(p.Outcome), p.Code, p.Trigger
	a.Trying, a.Confirmed, a.Failed, a.RolledBack = p.Trying, p.Confirmed, p.Failed, p.RolledBack
	return tx.SaveAssignment(r.ctx, a)
}

// until lets hours pass, with a look in each, until the rollout is so.
func (r *rig) until(t *testing.T, l store.Lease, id string, is func(o store.Rollout) bool) store.Rollout {
	t.Helper()
	for range 100 {
		if err := r.c.Tick(r.ctx, l); err != nil {
			t.Fatal(err)
		}
		o := must(r.s.Rollout(r.ctx, id))
		if is(o) {
			return o
		}
		if err := r.life(); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("it comes to no end: %s", told(must(r.s.Decisions(r.ctx, id, 0))))
	return store.Rollout{}
}

func (r *rig) lease(t *testing.T) store.Lease {
	t.Helper()
	return must(r.s.Acquire(r.ctx, Lease, t.Name(), 100*time.Hour))
}

func ended(o store.Rollout) bool { return !o.Active }

func in(phase rollout.Phase, stage rollout.Stage) func(o store.Rollout) bool {
	return func(o store.Rollout) bool { return o.Phase == string(phase) && o.Stage == string(stage) }
}

// verdicts are those of decisions, without waiting.
func verdicts(all []store.Decision) string {
	var out []string
	for _, d := range all {
		if d.Verdict != string(rollout.Wait) {
			out = append(out, d.Stage+":"+d.Verdict)
		}
	}
	return strings.Join(out, " ")
}

func told(all []store.Decision) string {
	var out strings.Builder
	for _, d := range all {
		fmt.Fprintf(&out, "%d %s %s %s: %s\n", d.Number, d.At.Format(time.DateTime), d.Stage, d.Verdict, d.Text)
	}
	return out.String()
}

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// A good release goes through all four stages and becomes stable.
func TestFourStages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		r := open(t, env, 40)
		if err := r.start(releaseName); err != nil {
			t.Fatal(err)
		}
		l := r.lease(t)
		took := map[string]int{}
		for _, stage := range rollout.Stages() {
			r.until(t, l, releaseName, in(rollout.Running, stage))
			n := 0
			if err := r.s.EachAssignment(r.ctx, releaseName, func(a store.Assignment) error {
				if a.Outcome == string(rollout.Confirmed) {
					n++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			took[string(stage)] = n
		}
		o := r.until(t, l, releaseName, ended)
		if o.Phase != string(rollout.Stable) || o.Ended.IsZero() {
			t.Errorf("%+v", o)
		}
		if took["internal"] != 0 || took["canary"] != 2 || took["wide"] != 14 || took["full"] != 22 {
			t.Errorf("when a stage was opened so many had it: %v", took)
		}
		all := must(r.s.Decisions(r.ctx, releaseName, 0))
		if got, want := verdicts(all), "internal:start internal:advance canary:advance wide:advance full:complete"; got != want {
			t.Errorf("got %s\n%s", got, told(all))
		}
		var d rollout.Decision
		for _, s := range all {
			if s.Stage == "canary" && s.Verdict == "advance" {
				if err := json.Unmarshal(s.Decision, &d); err != nil || s.Epoch != l.Epoch {
					t.Errorf("%+v, %v", s, err)
				}
			}
		}
		compared := slices.IndexFunc(d.Checks, func(c rollout.Check) bool { return c.Name == "error_minutes" })
		if compared < 0 || d.Counts.Confirmed != 14 || d.Checks[compared].Tests[0].Treated != 12 || d.Checks[compared].Tests[0].Control != 28 {
			t.Errorf("the canary's evidence: %+v", d)
		}
		if of := must(r.s.ReleaseNamed(r.ctx, releaseName)); of.Status != release.Stable {
			t.Errorf("%+v", of)
		}
	})
}

// A bad one is stopped by the canary's gate; those that took it are told, and go back.
func TestCanaryStopsHarm(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		r := open(t, env, 40)
		r.harm = func(id string) rollout.Counters {
			if strings.HasPrefix(id, "lab") {
				return rollout.Counters{}
			}
			return rollout.Counters{Error: 20}
		}
		if err := r.start(releaseName); err != nil {
			t.Fatal(err)
		}
		l := r.lease(t)
		o := r.until(t, l, releaseName, ended)
		all := must(r.s.Decisions(r.ctx, releaseName, 0))
		if o.Phase != string(rollout.Halted) || o.Stage != string(rollout.Canary) || !strings.HasSuffix(verdicts(all), "internal:advance canary:halt") {
			t.Errorf("%+v\n%s", o, told(all))
		}
		if of := must(r.s.ReleaseNamed(r.ctx, releaseName)); of.Status != release.Withdrawn {
			t.Errorf("%+v", of)
		}
		open := must(r.s.Incidents(r.ctx, true))
		if len(open) != 1 || open[0].Kind != emergency.KindRollback || open[0].OpenedBy != "rollout "+releaseName || !strings.Contains(open[0].Reason, "ERROR or silent") {
			t.Fatalf("%+v", open)
		}
		for range 3 {
			if err := errors.Join(r.e.Follow(r.ctx, emergency.NoFence), r.life(), r.c.Tick(r.ctx, l)); err != nil {
				t.Fatal(err)
			}
		}
		p := must(r.e.Progress(r.ctx, open[0].ID))
		if !p.Done || p.Complied != 14 {
			t.Errorf("%+v", p)
		}
		if n := len(must(r.s.Decisions(r.ctx, releaseName, 0))); n != len(all) {
			t.Error("a halted rollout decides no more")
		}
	})
}

// What a robot reports halts at once, whatever the stage's clock says.
func TestTriggerHalts(t *testing.T) {
	r := open(t, storetest.SQLite(t), 40)
	if err := r.start(releaseName); err != nil {
		t.Fatal(err)
	}
	l := r.lease(t)
	r.until(t, l, releaseName, in(rollout.Running, rollout.Canary))
	if err := r.life(); err != nil {
		t.Fatal(err)
	}
	if err := r.s.Update(r.ctx, "event", func(tx *store.Tx) error {
		return r.comesTo(tx, "lab-0", rollout.RolledBack, "unexplained_estop", *r.time)
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.c.Tick(r.ctx, l); err != nil {
		t.Fatal(err)
	}
	if o := must(r.s.Rollout(r.ctx, releaseName)); o.Phase != string(rollout.Halted) {
		t.Errorf("%+v", o)
	}
}

func TestOrders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		r := open(t, env, 10)
		if err := r.start(releaseName); err != nil {
			t.Fatal(err)
		}
		l := r.lease(t)
		if err := r.start(releaseName); !errors.Is(err, store.ErrExists) {
			t.Errorf("a second one: %v", err)
		}
		offers := func() int { return len(must(r.s.Offered(r.ctx, "basic", "lab-0"))) }
		if offers() != 1 {
			t.Error("a test robot is offered nothing")
		}
		order := func(v rollout.Verdict) error {
			_, err := r.c.Order(r.ctx, releaseName, rollout.Order{Verdict: v, By: "eve", Reason: "let me see"})
			return err
		}
		if err := order(rollout.Pause); err != nil || offers() != 0 {
			t.Errorf("paused: %v, %d offers", err, offers())
		}
		if err := r.c.Tick(r.ctx, l); err != nil {
			t.Fatal(err)
		}
		var refused *rollout.OrderError
		if err := order(rollout.Advance); !errors.As(err, &refused) {
			t.Errorf("promote while paused: %v", err)
		}
		if err := order(rollout.Resume); err != nil || offers() != 1 {
			t.Errorf("resumed: %v", err)
		}
		for range 4 {
			if err := order(rollout.Advance); err != nil {
				t.Fatal(err)
			}
		}
		if of := must(r.s.ReleaseNamed(r.ctx, releaseName)); of.Status != release.Stable || of.By != "eve" {
			t.Errorf("promoted to the end: %+v", of)
		}
		if err := order(rollout.Halt); !errors.As(err, &refused) {
			t.Errorf("halt what is stable: %v", err)
		}
		all := must(r.s.Decisions(r.ctx, releaseName, 0))
		if got, want := verdicts(all), "internal:start internal:pause internal:resume internal:advance canary:advance wide:advance full:complete"; got != want {
			t.Errorf("got %s", got)
		}
		for _, d := range all[1:] {
			if d.Verdict != string(rollout.Wait) && (d.By != "eve" || d.Reason != "let me see") {
				t.Errorf("%+v", d)
			}
		}
	})
}

func TestOrderedHaltCallsBack(t *testing.T) {
	r := open(t, storetest.SQLite(t), 10)
	if err := r.start(releaseName); err != nil {
		t.Fatal(err)
	}
	if _, err := r.c.Order(r.ctx, releaseName, rollout.Order{Verdict: rollout.Halt, By: "eve", Reason: "it bites\nhard"}); err != nil {
		t.Fatal(err)
	}
	if open := must(r.s.Incidents(r.ctx, true)); len(open) != 1 || open[0].OpenedBy != "eve" || open[0].Reason != "it bites hard" {
		t.Errorf("%+v", open)
	}
	if err := r.start(releaseName); err == nil || !strings.Contains(err.Error(), "give the new build a new version") {
		t.Errorf("the same release again: %v", err)
	}
}

// A release that somebody withdraws, or whose key is revoked, is not rolled out
// any more. What robots have installed stays there: who withdraws it says so.
func TestWithdrawn(t *testing.T) {
	r := open(t, storetest.SQLite(t), 10)
	if err := r.start(releaseName); err != nil {
		t.Fatal(err)
	}
	if err := r.s.Update(r.ctx, "withdraw", func(tx *store.Tx) error {
		return tx.SetStatus(r.ctx, "basic", v("0.2.1"), release.Withdrawn, "eve", "a typo")
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.c.Tick(r.ctx, r.lease(t)); err != nil {
		t.Fatal(err)
	}
	o := must(r.s.Rollout(r.ctx, releaseName))
	if d := must(r.s.Decisions(r.ctx, releaseName, 1)); o.Phase != string(rollout.Halted) || len(d) != 1 || !strings.Contains(d[0].Text, "a typo") {
		t.Errorf("%+v %+v", o, d)
	}
	if open := must(r.s.Incidents(r.ctx, true)); len(open) != 0 {
		t.Errorf("%+v", open)
	}
}

// Robots that come later get a place, those that are away hold nobody up for
// ever, and small fleets ask.
func TestNewcomersAndAbsent(t *testing.T) {
	r := open(t, storetest.SQLite(t), 10)
	if err := r.start(releaseName); err != nil {
		t.Fatal(err)
	}
	l := r.lease(t)
	if err := r.s.Update(r.ctx, "register", func(tx *store.Tx) error {
		return r.register(tx, store.Robot{ID: "late", SKU: "basic"})
	}); err != nil {
		t.Fatal(err)
	}
	r.away = map[string]bool{"r001": true, "r002": true, "r003": true}
	r.until(t, l, releaseName, in(rollout.Running, rollout.Canary))
	if a := must(r.s.Assignment(r.ctx, releaseName, "late")); a.Stage == "" || a.Stage == "internal" {
		t.Errorf("%+v", a)
	}
	o := r.until(t, l, releaseName, in(rollout.Asking, rollout.Canary))
	s := must(rollout.ParseState(o.State))
	if s.Latest.Code != rollout.CodeTooFew {
		t.Errorf("%+v", s.Latest)
	}
	for range 30 { // nobody answers: it does not ask again, and promotes nobody
		if err := errors.Join(r.life(), r.c.Tick(r.ctx, l)); err != nil {
			t.Fatal(err)
		}
	}
	if o := must(r.s.Rollout(r.ctx, releaseName)); o.Phase != string(rollout.Asking) {
		t.Errorf("%+v", o)
	}
	if got := verdicts(must(r.s.Decisions(r.ctx, releaseName, 0))); strings.Count(got, "ask") != 1 {
		t.Errorf("got %s", got)
	}
	if _, err := r.c.Order(r.ctx, releaseName, rollout.Order{Verdict: rollout.Advance, By: "eve", Reason: "ten robots, I looked at them"}); err != nil {
		t.Fatal(err)
	}
	r.until(t, l, releaseName, in(rollout.Running, rollout.Wide))
}

// A robot that says itself, by hash and state, that it runs the release has it,
// also where no update was heard of.
func TestAttested(t *testing.T) {
	r := open(t, storetest.SQLite(t), 10)
	runs := func(id, version, app, state string) {
		t.Helper()
		if err := r.s.Update(r.ctx, "state", func(tx *store.Tx) error {
			return tx.SetState(r.ctx, id, store.RobotState{Version: v(version), AppSHA256: app, OTAState: state, Received: *r.time})
		}); err != nil {
			t.Fatal(err)
		}
	}
	app := strings.Repeat(appSum, 32)
	runs("lab-0", "0.2.1", app, "valid")
	runs("r000", "0.2.1", strings.Repeat("0b", 32), "valid")
	runs("r001", "0.2.1", app, "pending_verify")
	runs("r002", "0.3.0", app, "valid")
	if err := r.start(releaseName); err != nil {
		t.Fatal(err)
	}
	l := r.lease(t)
	for range 2 {
		if err := r.c.Tick(r.ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	if a := must(r.s.Assignment(r.ctx, releaseName, "lab-0")); a.Outcome != string(rollout.Confirmed) || a.Confirmed.IsZero() {
		t.Errorf("%+v", a)
	}
	for _, id := range []string{"lab-1", "r000", "r001"} {
		if a := must(r.s.Assignment(r.ctx, releaseName, id)); a.Outcome != "" {
			t.Errorf("%+v", a)
		}
	}
	if _, err := r.s.Assignment(r.ctx, releaseName, "r002"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one that runs something newer has a place: %v", err)
	}
}

// Robots whose companion does not fit are named, and waited for.
func TestCompanions(t *testing.T) {
	of := release.Release{SKU: "basic", Version: v("1.0.0"), Protocol: 2, Status: release.Published, Name: "basic-1.0.0"}
	robot := func(companion string) store.Robot {
		r := store.Robot{ID: "r", SKU: "basic", State: store.RobotState{Version: v("0.2.0")}}
		if companion != "" {
			r.State.Companion = v(companion)
		}
		return r
	}
	for companion, want := range map[string]string{"1.0.0": "", "1.2.0": "", "0.2.0": "0.2.0", "": "not known"} {
		if got := unfit(robot(companion), of); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("companion %q: %q", companion, got)
		}
	}
	of.Version, of.Protocol = v("0.2.1"), 1
	if got := unfit(robot(""), of); got != "" {
		t.Errorf("the same protocol: %q", got)
	}
}

// A server that lost the lease changes nothing any more.
func TestFenced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		r := open(t, env, 10)
		if err := r.start(releaseName); err != nil {
			t.Fatal(err)
		}
		l := r.lease(t)
		l.Epoch--
		was := must(r.s.Rollout(r.ctx, releaseName))
		if err := r.c.Tick(r.ctx, l); !errors.Is(err, store.ErrFenced) {
			t.Errorf("got %v", err)
		}
		if is := must(r.s.Rollout(r.ctx, releaseName)); is.Revision != was.Revision {
			t.Error("it wrote")
		}
	})
}

// Several servers take turns at leading, and look with leases that they have lost
// as well; each decision is made once, under one lease.
func TestSeveralControllers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		var now, looks atomic.Int64
		clock := func() time.Time { return time.Unix(now.Load(), 0).UTC() }
		first := open(t, env, 40)
		now.Store(first.time.Unix())
		if err := first.start(releaseName); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var servers sync.WaitGroup
		for _, name := range []string{"a", "b", "c"} {
			s := env.Open(t, func(o *store.Options) { o.Now = clock })
			c := New(Config{Now: clock}, s, emergency.New(s, clock), first.c.log)
			servers.Go(func() {
				var l store.Lease
				for ctx.Err() == nil {
					if fresh, err := s.Acquire(ctx, Lease, name, 100*time.Hour); err == nil {
						l = fresh
					}
					if l.Epoch > 0 { // the one that it has, or had
						if err := c.Tick(ctx, l); err == nil {
							looks.Add(1)
						}
					}
					_ = s.GiveUp(ctx, l)
				}
			})
		}
		deadline := time.Now().Add(5 * time.Minute)
		for !ended(must(first.s.Rollout(t.Context(), releaseName))) {
			if time.Now().After(deadline) {
				t.Errorf("it comes to no end: %s", told(must(first.s.Decisions(t.Context(), releaseName, 0))))
				break
			}
			if err := first.life(); err != nil {
				t.Fatal(err)
			}
			now.Store(first.time.Unix())
			for seen := looks.Load(); looks.Load() < seen+6 && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
		}
		stop()
		servers.Wait()
		all := must(first.s.Decisions(t.Context(), releaseName, 0))
		if got, want := verdicts(all), "internal:start internal:advance canary:advance wide:advance full:complete"; got != want {
			t.Errorf("got %s\n%s", got, told(all))
		}
		for i := 1; i < len(all); i++ {
			if all[i].Epoch < all[i-1].Epoch || all[i].Number != all[i-1].Number+1 {
				t.Errorf("%+v after %+v", all[i], all[i-1])
			}
		}
	})
}

// Run looks by itself until it is ended.
func TestRun(t *testing.T) {
	r := open(t, storetest.SQLite(t), 10)
	if err := r.start(releaseName); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.c.Run(ctx, "a", time.Minute) }()
	for deadline := time.Now().Add(time.Minute); len(must(r.s.Decisions(r.ctx, releaseName, 1))) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not look")
		}
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if l := must(r.s.Lease(r.ctx, Lease)); l.Holder == "a" && l.Until.After(storetest.Noon().Add(time.Second)) {
		t.Errorf("it holds on to the lease: %+v", l)
	}
}

func TestPlanForTheFleet(t *testing.T) {
	r := open(t, storetest.SQLite(t), 10)
	p := must(r.c.Plan(r.ctx, releaseName, nil, 5))
	if len(p.Internal) != 2 || p.Seed != 5 || p.SKU != "basic" || p.Version != v("0.2.1") {
		t.Errorf("%+v", p)
	}
	drawn := must(r.c.Draw(r.ctx, p))
	if len(drawn) != 12 {
		t.Errorf("%d have a place", len(drawn))
	}
	for given, want := range map[string]string{
		`{"schema":1,"internal":["nobody"]}`:       "not registered",
		`{"schema":1,"version":"0.2.2"}`:           "the plan is for",
		`{"schema":1,"sku":"standard"}`:            "the plan is for",
		`{"schema":1,"limits":{"detect":7}}`:       "limits.detect",
		`{"schema":1,"stages":{"canary":{"x":1}}}`: "unknown field",
	} {
		if _, err := r.c.Plan(r.ctx, releaseName, []byte(given), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", given, err)
		}
	}
	if _, err := r.c.Plan(r.ctx, "basic-9.9.9", nil, 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

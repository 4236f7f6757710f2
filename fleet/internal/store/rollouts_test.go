package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func start(t testing.TB, s *store.Store, id, version string, skus ...string) store.Rollout {
	t.Helper()
	var r store.Rollout
	update(t, s, func(tx *store.Tx) (err error) {
		r, err = tx.StartRollout(t.Context(), store.Rollout{ID: id, Release: version, Version: v(version), SKUs: skus, Phase: "running", Stage: "internal",
			Plan: json.RawMessage(`{"p":1}`), State: json.RawMessage(`{"s":1}`), By: "ann"})
		return err
	})
	return r
}

func save(t testing.TB, s *store.Store, r store.Rollout) store.Rollout {
	t.Helper()
	update(t, s, func(tx *store.Tx) (err error) { r, err = tx.SaveRollout(t.Context(), r); return err })
	return r
}

func TestRollouts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		first := start(t, s, "o1", "0.2.1", "basic", "standard")
		same(t, "stored", must(s.Rollout(t.Context(), "o1")), first)

		env.Clock.Add(time.Hour)
		first.Stage, first.State = "canary", json.RawMessage(`{"s":2}`)
		stale := first
		first = save(t, s, first)
		if first.Revision != 2 || !first.Updated.Equal(env.Clock.Now()) {
			t.Errorf("got %+v", first)
		}
		same(t, "changed", must(s.Rollout(t.Context(), "o1")), first)
		is(t, "changed meanwhile", s.Update(t.Context(), "x", func(tx *store.Tx) error { _, err := tx.SaveRollout(t.Context(), stale); return err }), store.ErrConflict)
		same(t, "unharmed", must(s.Rollout(t.Context(), "o1")), first)

		first.Phase, first.Active = "halted", false
		first = save(t, s, first)
		if !first.Ended.Equal(env.Clock.Now()) {
			t.Errorf("got %+v", first)
		}
		second := start(t, s, "o2", "0.2.2", "standard")
		same(t, "all", must(s.Rollouts(t.Context())), []store.Rollout{second, first})
		same(t, "active", must(s.ActiveRollouts(t.Context())), []store.Rollout{second})
		_, err := s.Rollout(t.Context(), "o3")
		is(t, "one that is not there", err, store.ErrNotFound)
	})
}

func TestOneRolloutPerSKU(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		begin := func(id string, skus ...string) error {
			return s.Update(t.Context(), "start", func(tx *store.Tx) error {
				_, err := tx.StartRollout(t.Context(), store.Rollout{ID: id, Version: v("0.2.1"), SKUs: skus, Phase: "running", Stage: "internal"})
				return err
			})
		}
		is(t, "the first", begin("o1", "basic", "standard"), nil)
		err := begin("o2", "industrial", "standard")
		var active *store.ActiveError
		if !errors.As(err, &active) || active.Rollout != "o1" || active.SKU != "standard" || !errors.Is(err, store.ErrExists) {
			t.Errorf("got %v", err)
		}
		is(t, "the same id", begin("o1", "industrial"), store.ErrExists)
		is(t, "another SKU", begin("o2", "industrial"), nil)
		if err := begin("o3"); err == nil {
			t.Error("a rollout for nobody")
		}
		// Of many at once one begins, and one that ended may not come back beside another.
		first := must(s.Rollout(t.Context(), "o1"))
		first.Active = false
		first = save(t, s, first)
		var wg sync.WaitGroup
		var mu sync.Mutex
		begun := 0
		for i := range 6 {
			wg.Go(func() {
				if err := begin(fmt.Sprint("many", i), "basic"); err == nil {
					mu.Lock()
					begun++
					mu.Unlock()
				} else if !errors.Is(err, store.ErrExists) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if begun != 1 {
			t.Errorf("%d rollouts began", begun)
		}
		first.Active = true
		is(t, "back", s.Update(t.Context(), "x", func(tx *store.Tx) error { _, err := tx.SaveRollout(t.Context(), first); return err }), store.ErrExists)
	})
}

func TestAssignments(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		start(t, s, "o1", "0.2.1", "basic")
		var want []store.Assignment
		for i := range 1200 { // more than go into one statement
			want = append(want, store.Assignment{Rollout: "o1", Robot: fmt.Sprintf("r%04d", i), SKU: "basic", Stratum: "basic", Stage: []string{"internal", "canary", "wide", "full"}[i%4]})
		}
		moved := slices.Clone(want)
		for i := range moved {
			moved[i].Stage = "internal"
		}
		update(t, s, func(tx *store.Tx) error { return tx.Assign(t.Context(), want...) })
		update(t, s, func(tx *store.Tx) error { return tx.Assign(t.Context(), moved...) }) // each keeps its place
		want[7].Outcome, want[7].Code, want[7].Trigger = "rolled_back", "silent", "silent"
		want[7].Offered, want[7].Trying, want[7].Confirmed, want[7].Failed = storetest.Noon(), storetest.Noon().Add(1), storetest.Noon().Add(time.Second), storetest.Noon().Add(time.Minute)
		want[7].Trying, want[7].RolledBack, want[7].Split, want[7].Before = storetest.Noon(), storetest.Noon(), storetest.Noon(), json.RawMessage(`{"seconds":1}`)
		update(t, s, func(tx *store.Tx) error { return tx.SaveAssignment(t.Context(), want[7]) })
		var got []store.Assignment
		if err := s.EachAssignment(t.Context(), "o1", func(a store.Assignment) error { got = append(got, a); return nil }); err != nil {
			t.Fatal(err)
		}
		same(t, "assignments", got, want)
		same(t, "one", must(s.Assignment(t.Context(), "o1", "r0007")), want[7])
		same(t, "a robot's", must(s.AssignmentsOf(t.Context(), "r0007")), want[7:8])
		is(t, "nobody's", s.Update(t.Context(), "x", func(tx *store.Tx) error {
			return tx.SaveAssignment(t.Context(), store.Assignment{Rollout: "o1", Robot: "x"})
		}), store.ErrNotFound)
		if err := s.Update(t.Context(), "x", func(tx *store.Tx) error {
			return tx.Assign(t.Context(), store.Assignment{Rollout: "o1", Robot: "x", Stage: "moon"})
		}); err == nil {
			t.Error("a stage that is none")
		}
	})
}

// A robot is offered a release of a rollout when it has its turn.
func TestOffered(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		know(t, s, key)
		publish(t, s, file(1), of("basic", "0.2.1", file(1), release.Stable), of("standard", "0.2.2", file(1), release.Stable))
		publish(t, s, file(2), of("basic", "0.2.2", file(2), release.Published))
		offered := func(robot string) []string {
			names := []string{}
			for _, r := range must(s.Offered(t.Context(), "basic", robot)) {
				names = append(names, r.Version.String())
			}
			slices.Sort(names)
			return names
		}
		stable, both := []string{"0.2.1"}, []string{"0.2.1", "0.2.2"}
		same(t, "without a rollout", offered("r1"), stable)
		r := start(t, s, "o1", "0.2.2", "basic")
		update(t, s, func(tx *store.Tx) error {
			return tx.Assign(t.Context(), store.Assignment{Rollout: "o1", Robot: "r1", SKU: "basic", Stage: "internal"},
				store.Assignment{Rollout: "o1", Robot: "r2", SKU: "basic", Stage: "canary"}, store.Assignment{Rollout: "o1", Robot: "other", SKU: "standard", Stage: "internal"})
		})
		for _, step := range []struct {
			name    string
			change  func()
			r1, r2  []string
			nobody  []string
			elsewho []string
		}{
			{"internal", func() {}, both, stable, stable, stable},
			{"paused", func() { r.Phase = "paused" }, stable, stable, stable, stable},
			{"canary", func() { r.Phase, r.Stage = "running", "canary" }, both, both, stable, stable},
			{"asking", func() { r.Phase = "asking" }, both, both, stable, stable},
			{"halted", func() { r.Phase, r.Active = "halted", false }, stable, stable, stable, stable},
		} {
			step.change()
			r = save(t, s, r)
			same(t, step.name+": r1", offered("r1"), step.r1)
			same(t, step.name+": r2", offered("r2"), step.r2)
			same(t, step.name+": nobody", offered(""), step.nobody)
			same(t, step.name+": one of another SKU", offered("other"), step.elsewho)
		}
		// A robot that put it back does not get it, stable or not.
		r.Phase, r.Active = "running", true
		r = save(t, s, r)
		env.Clock.Add(time.Minute)
		update(t, s, func(tx *store.Tx) error {
			for range 2 {
				if err := tx.NoteCheck(t.Context(), "r1", v("0.2.2")); err != nil {
					return err
				}
			}
			return nil
		})
		a := must(s.Assignment(t.Context(), "o1", "r1"))
		if !a.Offered.Equal(env.Clock.Now()) {
			t.Errorf("offered %v", a.Offered)
		}
		a.Outcome = "rolled_back"
		update(t, s, func(tx *store.Tx) error { return tx.SaveAssignment(t.Context(), a) })
		same(t, "put back", offered("r1"), stable)
		same(t, "not put back", offered("r2"), both)
		update(t, s, func(tx *store.Tx) error {
			return tx.SetStatus(t.Context(), "basic", v("0.2.2"), release.Stable, "", "the rollout is done")
		})
		same(t, "put back, and stable", offered("r1"), stable)
		same(t, "stable", offered("r3"), both)
		update(t, s, func(tx *store.Tx) error {
			return tx.SetStatus(t.Context(), "basic", v("0.2.2"), release.Withdrawn, "", "")
		})
		same(t, "withdrawn", offered("r2"), stable)
	})
}

func TestDecisions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		start(t, s, "o1", "0.2.1", "basic")
		start(t, s, "o2", "0.2.1", "standard")
		var want []store.Decision
		for i := range 3 {
			d := store.Decision{Rollout: "o1", At: storetest.Noon(), Verdict: "keep", Stage: "internal", Text: fmt.Sprint(i), By: "ann", Reason: "why", Epoch: 3, Decision: json.RawMessage(`{"x":1}`)}
			update(t, s, func(tx *store.Tx) (err error) { d, err = tx.AddDecision(t.Context(), d); return err })
			want = append(want, d)
		}
		if want[2].Number != 3 {
			t.Errorf("got %+v", want[2])
		}
		same(t, "decisions", must(s.Decisions(t.Context(), "o1", 0)), want)
		same(t, "later ones", must(s.Decisions(t.Context(), "o1", 2)), want[2:])
		same(t, "another's", len(must(s.Decisions(t.Context(), "o2", 0))), 0)
	})
}

func TestOutbox(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		one := store.Command{ID: "c1", Robot: "r1", Verb: store.VerbRollback, Payload: json.RawMessage(`{"id":"c1"}`), Version: v("0.2.1"), Rollout: "o1", Incident: "i1"}
		two := store.Command{ID: "c2", Robot: "r2", Verb: store.VerbOTA, Payload: json.RawMessage(`{}`)}
		for range 2 { // the second time changes nothing
			update(t, s, func(tx *store.Tx) error { return tx.Enqueue(t.Context(), one, two) })
			one.Created, two.Created = storetest.Noon(), storetest.Noon()
			same(t, "unsent", must(s.Due(t.Context(), time.Time{}, time.Minute, 10)), []store.Command{one, two})
		}
		same(t, "one", must(s.Due(t.Context(), time.Time{}, time.Minute, 1)), []store.Command{one})
		env.Clock.Add(time.Minute)
		update(t, s, func(tx *store.Tx) error { return tx.Sent(t.Context(), "c1", "c2") })
		one.Sent, one.Sends, two.Sent, two.Sends = env.Clock.Now(), 1, env.Clock.Now(), 1
		same(t, "sent", len(must(s.Due(t.Context(), time.Time{}, time.Minute, 10))), 0)
		same(t, "sent long ago", must(s.Due(t.Context(), env.Clock.Now().Add(2*time.Minute), time.Minute, 10)), []store.Command{one, two})

		said := func(f func(tx *store.Tx) (bool, error)) (did bool) {
			update(t, s, func(tx *store.Tx) (err error) { did, err = f(tx); return err })
			return did
		}
		if said(func(tx *store.Tx) (bool, error) { return tx.Acknowledge(t.Context(), "r2", "c1", "accepted", "") }) {
			t.Error("another robot's answer counts")
		}
		for _, first := range []bool{true, false} {
			if said(func(tx *store.Tx) (bool, error) { return tx.Acknowledge(t.Context(), "r1", "c1", "accepted", "x") }) != first {
				t.Error("acknowledged twice")
			}
			if said(func(tx *store.Tx) (bool, error) { return tx.Comply(t.Context(), "r1", "c1") }) != first {
				t.Error("complied twice")
			}
		}
		one.Acknowledged, one.Verdict, one.Code, one.Complied = env.Clock.Now(), "accepted", "x", env.Clock.Now()
		same(t, "complied", must(s.Command(t.Context(), "c1")), one)
		update(t, s, func(tx *store.Tx) error { return tx.Drop(t.Context(), "c1", "c2") })
		two.Dropped = env.Clock.Now()
		same(t, "all", must(s.Commands(t.Context(), store.CommandQuery{})), []store.Command{one, two})
		for name, q := range map[string]store.CommandQuery{"robot": {Robot: "r1"}, "rollout": {Rollout: "o1"}, "incident": {Incident: "i1"}} {
			same(t, name, must(s.Commands(t.Context(), q)), []store.Command{one})
		}
		same(t, "open", len(must(s.Commands(t.Context(), store.CommandQuery{Open: true}))), 0)
	})
}

package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func addRobot(t testing.TB, s *store.Store, id, sku string) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error { return tx.AddRobot(t.Context(), store.Robot{ID: id, SKU: sku}) })
}

func TestRobots(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		full := store.Robot{ID: "r1", SKU: "standard", Companion: v("0.2.0"), Internal: true, Tags: []string{"hall 1", "demo"}, Note: "the old one", Certificate: "robot-one"}
		plain := store.Robot{ID: "r2", SKU: "basic"}
		for _, r := range []store.Robot{plain, full} {
			update(t, s, func(tx *store.Tx) error { return tx.AddRobot(t.Context(), r) })
		}
		full.Added, plain.Added = storetest.Noon(), storetest.Noon()
		same(t, "robots", must(s.Robots(t.Context(), store.RobotQuery{})), []store.Robot{full, plain})
		same(t, "of a SKU", must(s.Robots(t.Context(), store.RobotQuery{SKU: "basic"})), []store.Robot{plain})
		same(t, "after the first", must(s.Robots(t.Context(), store.RobotQuery{After: "r1"})), []store.Robot{plain})
		same(t, "one", must(s.Robots(t.Context(), store.RobotQuery{Limit: 1})), []store.Robot{full})
		brief := full
		brief.State.Status, brief.State.Diagnostics = nil, nil
		same(t, "briefly", must(s.Robots(t.Context(), store.RobotQuery{Brief: true})), []store.Robot{brief, plain})
		same(t, "counts", must(s.CountRobots(t.Context())), map[string]int{"basic": 1, "standard": 1})
		same(t, "by certificate", must(s.RobotWithCertificate(t.Context(), "robot-one")), full)
		same(t, "by its id's certificate", must(s.RobotWithCertificate(t.Context(), "r2")), plain)
		_, err := s.RobotWithCertificate(t.Context(), "r1")
		is(t, "an id whose certificate has another name", err, store.ErrNotFound)

		full.Companion, full.Internal, full.Tags, full.Certificate = compat.Version{}, false, nil, ""
		update(t, s, func(tx *store.Tx) error { return tx.SaveRobot(t.Context(), full) })
		same(t, "changed", must(s.Robot(t.Context(), "r1")), full)
		update(t, s, func(tx *store.Tx) error { return tx.RemoveRobot(t.Context(), "r1") })
		_, err = s.Robot(t.Context(), "r1")
		is(t, "removed", err, store.ErrNotFound)
		is(t, "removed twice", s.Update(t.Context(), "x", func(tx *store.Tx) error { return tx.RemoveRobot(t.Context(), "r1") }), store.ErrNotFound)
		is(t, "saved", s.Update(t.Context(), "x", func(tx *store.Tx) error { return tx.SaveRobot(t.Context(), full) }), store.ErrNotFound)
	})
}

func TestNotARobot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		update(t, s, func(tx *store.Tx) error {
			return tx.AddRobot(t.Context(), store.Robot{ID: "r1", SKU: "basic", Certificate: "c1"})
		})
		add := func(r store.Robot) error {
			return s.Update(t.Context(), "add", func(tx *store.Tx) error { return tx.AddRobot(t.Context(), r) })
		}
		for name, r := range map[string]store.Robot{
			"no id": {SKU: "basic"}, "a path": {ID: "../r", SKU: "basic"}, "long": {ID: strings.Repeat("r", 65), SKU: "basic"}, "topic": {ID: "r/#", SKU: "basic"},
			"no SKU": {ID: "r"}, "unknown SKU": {ID: "r", SKU: "deluxe"}, "many tags": {ID: "r", SKU: "basic", Tags: make([]string, 17)},
			"empty tag": {ID: "r", SKU: "basic", Tags: []string{""}}, "long note": {ID: "r", SKU: "basic", Note: strings.Repeat("x", 501)},
			"bad certificate": {ID: "r", SKU: "basic", Certificate: "a b"},
		} {
			is(t, name, add(r), store.ErrRobot)
		}
		is(t, "twice", add(store.Robot{ID: "r1", SKU: "standard"}), store.ErrExists)
		is(t, "another's certificate", add(store.Robot{ID: "r2", SKU: "standard", Certificate: "c1"}), store.ErrExists)
		is(t, "another's certificate as id", add(store.Robot{ID: "c1", SKU: "standard"}), store.ErrExists)
		update(t, s, func(tx *store.Tx) error { return tx.EnsureRobot(t.Context(), "r1", "standard") })
		if r := must(s.Robot(t.Context(), "r1")); r.SKU != "basic" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		addRobot(t, s, "r1", "basic")
		addRobot(t, s, "r2", "basic")
		set := func(id, token string) {
			update(t, s, func(tx *store.Tx) error { return tx.SetToken(t.Context(), id, token) })
		}
		of := func(token string) string {
			r, err := s.RobotWithToken(t.Context(), token)
			if err != nil {
				is(t, token, err, store.ErrNotFound)
			}
			return r.ID
		}
		set("r1", "one")
		set("r2", "two")
		if of("one") != "r1" || of("two") != "r2" || of("") != "" || of("three") != "" {
			t.Errorf("%q %q %q", of("one"), of("two"), of(""))
		}
		set("r1", "new")
		if of("one") != "" || of("new") != "r1" {
			t.Error("the old token counts")
		}
		set("r1", "")
		set("r2", "")
		if of("new") != "" || of("") != "" || !must(s.Robot(t.Context(), "r1")).TokenAt.IsZero() {
			t.Error("a token that was taken away counts")
		}
	})
}

func TestStates(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		addRobot(t, s, "r1", "basic")
		state := store.RobotState{
			Version: v("0.2.0"), Slot: "ota_0", OTAState: "valid", AppSHA256: "aa", Protocol: 1, SigningKey: "k", Companion: v("0.2.5"), Agent: "1.0", Keyring: 7,
			JobID: "j", JobState: "writing", JobTarget: "0.2.1", Status: json.RawMessage(`{"a":1}`), Diagnostics: json.RawMessage(`{"b":2}`), Diagnosed: storetest.Noon(),
			Online: true, Farewell: "stopped", At: storetest.Noon().Add(-time.Hour), Epoch: "e", Seq: 9, Received: storetest.Noon(), Checked: storetest.Noon(),
		}
		for range 2 {
			update(t, s, func(tx *store.Tx) error { return tx.SetState(t.Context(), "r1", state) })
			same(t, "state", must(s.Robot(t.Context(), "r1")).State, state)
		}
		if c := must(s.Robot(t.Context(), "r1")).CompanionVersion(); c != v("0.2.5") {
			t.Errorf("companion %v", c)
		}
		is(t, "unknown robot", s.Note(t.Context(), "x", func(tx *store.Tx) error { return tx.SetState(t.Context(), "r2", state) }), store.ErrNotFound)

		env.Clock.Add(time.Minute)
		state.Checked = env.Clock.Now()
		update(t, s, func(tx *store.Tx) error {
			if err := tx.NoteCheck(t.Context(), "unknown", v("0.2.1")); err != nil {
				t.Error(err)
			}
			return tx.NoteCheck(t.Context(), "r1", compat.Version{})
		})
		same(t, "after a check", must(s.Robot(t.Context(), "r1")).State, state)
		update(t, s, func(tx *store.Tx) error { return tx.RemoveRobot(t.Context(), "r1") })
	})
}

func TestEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		addRobot(t, s, "r1", "basic")
		addRobot(t, s, "r2", "basic")
		var want []store.Event
		for i := range 5 {
			e := store.Event{
				Robot: "r1", ID: fmt.Sprint("e", i), Kind: "transition", Seq: uint64(i), At: storetest.Noon(), Received: storetest.Noon().Add(time.Duration(i) * time.Second),
				JobID: "j", Command: "c", From: "idle", To: "checking", Code: "x", Text: "because", Body: json.RawMessage(`{"x":1}`),
			}
			want = append([]store.Event{e}, want...)
			for _, fresh := range []bool{true, false} {
				update(t, s, func(tx *store.Tx) error {
					got, err := tx.AddEvent(t.Context(), e)
					if err == nil && got != fresh {
						t.Errorf("event %d is new: %v", i, got)
					}
					return err
				})
			}
		}
		update(t, s, func(tx *store.Tx) error {
			_, err := tx.AddEvent(t.Context(), store.Event{Robot: "r2", ID: "e1", Kind: "x", At: storetest.Noon(), Received: storetest.Noon(), Body: json.RawMessage(`{}`)})
			return err
		})
		same(t, "events", must(s.Events(t.Context(), "r1", time.Time{}, 10)), want)
		same(t, "the latest", must(s.Events(t.Context(), "r1", time.Time{}, 2)), want[:2])
		same(t, "those before", must(s.Events(t.Context(), "r1", want[1].Received, 2)), want[2:4])
	})
}

func TestUpdates(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		addRobot(t, s, "r1", "basic")
		addRobot(t, s, "r2", "basic")
		first := store.Update{Robot: "r1", JobID: "j1", SKU: "basic", From: v("0.2.0"), Version: v("0.2.1"), Rollout: "o", Origin: "schedule", Started: storetest.Noon()}
		second := store.Update{Robot: "r2", JobID: "j1", SKU: "basic", Started: storetest.Noon().Add(time.Hour)}
		save := func(u store.Update) {
			update(t, s, func(tx *store.Tx) error { return tx.SaveUpdate(t.Context(), u) })
		}
		save(second)
		save(first)
		first.Download, first.Ended, first.Outcome, first.Code, first.Text = 12.5, storetest.Noon().Add(time.Minute), "failed", "x", "because"
		save(first)
		list := func(robot string, since time.Time) (out []store.Update) {
			if err := s.EachUpdate(t.Context(), robot, since, func(u store.Update) error { out = append(out, u); return nil }); err != nil {
				t.Error(err)
			}
			return out
		}
		same(t, "all", list("", time.Time{}), []store.Update{first, second})
		same(t, "later", list("", storetest.Noon().Add(time.Second)), []store.Update{second})
		same(t, "of one", list("r1", time.Time{}), []store.Update{first})
		same(t, "by job", must(s.UpdateOf(t.Context(), "r1", "j1")), first)
	})
}

func TestHealth(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		addRobot(t, s, "r1", "basic")
		addRobot(t, s, "r2", "standard")
		c := store.Counters{OK: 1, Warn: 2, Error: 3, Silent: 4, Odometry: 5, Diagnostics: 6, Battery: 7, Used: 0.08, Discharging: 9, EStops: 10, Reboots: 11, Tries: 12, Failures: 13}
		hour := storetest.Noon()
		h := store.Hour{Robot: "r1", Begin: hour.Add(10 * time.Minute), Firmware: v("0.2.0"), First: hour.Add(10 * time.Minute), Last: hour.Add(15 * time.Minute), Gap: 20, Counters: c}
		later := h
		later.First, later.Last, later.Gap = hour.Add(5*time.Minute), hour.Add(12*time.Minute), 10
		other := store.Hour{Robot: "r2", Begin: hour.Add(time.Hour), First: hour.Add(time.Hour), Last: hour.Add(time.Hour), Counters: c}
		for _, add := range []store.Hour{h, later, other} {
			if err := s.Note(t.Context(), "health", func(tx *store.Tx) error { return tx.AddHealth(t.Context(), add) }); err != nil {
				t.Fatal(err)
			}
		}
		h.Begin, h.First = hour, later.First
		h.Counters = store.Counters{OK: 2, Warn: 4, Error: 6, Silent: 8, Odometry: 10, Diagnostics: 12, Battery: 14, Used: 0.16, Discharging: 18, EStops: 20, Reboots: 22, Tries: 24, Failures: 26}
		for name, tt := range map[string]struct {
			q    store.HealthQuery
			want []store.Hour
		}{
			"all":       {store.HealthQuery{}, []store.Hour{h, other}},
			"one robot": {store.HealthQuery{Robot: "r2"}, []store.Hour{other}},
			"one SKU":   {store.HealthQuery{SKU: "basic"}, []store.Hour{h}},
			"from":      {store.HealthQuery{From: hour.Add(time.Hour + time.Minute)}, []store.Hour{other}},
			"to":        {store.HealthQuery{To: hour.Add(time.Hour)}, []store.Hour{h}},
		} {
			var got []store.Hour
			if err := s.EachHour(t.Context(), tt.q, func(h store.Hour) error { got = append(got, h); return nil }); err != nil {
				t.Error(err)
			}
			same(t, name, got, tt.want)
		}

		if l, err := s.Ledger(t.Context(), "r1"); l != nil || err != nil {
			t.Errorf("%s, %v", l, err)
		}
		for _, l := range []string{`{"a":1}`, `{"a":2}`} {
			update(t, s, func(tx *store.Tx) error { return tx.SetLedger(t.Context(), "r1", json.RawMessage(l)) })
			same(t, "ledger", must(s.Ledger(t.Context(), "r1")), json.RawMessage(l))
		}
	})
}

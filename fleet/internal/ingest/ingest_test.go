package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestStatusIsStored(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		f := newFleet(t, env, Config{})
		raw := contract(t, "status")
		f.take(Message{Robot: "r1", Kind: Status, Payload: raw, Received: f.now()})
		s := f.robot("r1").State
		want := store.RobotState{
			Version: version("0.2.0"), Slot: "ota_0", OTAState: "valid", AppSHA256: "aa11", Protocol: 1, SigningKey: "aa", Companion: version("0.2.0"),
			Agent: "1.4.0", Keyring: 7, JobID: "job-1", JobState: "downloading", JobTarget: "0.2.1",
			At: time.Date(2026, 3, 4, 5, 6, 7, 890123000, time.UTC), Epoch: "jk7ucb57h7", Seq: 3<<32 + 5, Received: f.now(),
		}
		if string(s.Status) != string(raw) {
			t.Errorf("it is kept as %s", s.Status)
		}
		s.Status = nil
		if got, expected := fmt.Sprintf("%+v", s), fmt.Sprintf("%+v", want); got != expected {
			t.Errorf("\n got %s\nwant %s", got, expected)
		}
	})
}

// The order of numbers counts, whatever the clocks say; another state directory
// is told by the clock, unless the known one was wrong.
func TestNewestStatus(t *testing.T) {
	f := newFleet(t, storetest.SQLite(t), Config{})
	state := func(epoch string, seq int, at time.Time, state string) {
		f.take(f.say(Status, fields{"epoch": epoch, "seq": seq, "at": at, "state": state}))
	}
	now := f.now()
	for _, tt := range []struct {
		epoch string
		seq   int
		at    time.Time
		is    string
	}{
		{"a", 5, now, "idle"},
		{"a", 4, now.Add(time.Hour), "idle"},            // an older one, late
		{"a", 6, now.Add(-time.Hour), "a6"},             // its clock was put right
		{"b", 1, now.Add(-2 * time.Hour), "a6"},         // an older life of it
		{"b", 2, now, "b2"},                             // a younger one
		{"c", 1, now.Add(100 * 24 * time.Hour), "c1"},   // from the future
		{"d", 1, now.Add(-30 * 24 * time.Hour), "d1"},   // which nothing can be younger than
		{"e", 1, now.Add(-3000 * 24 * time.Hour), "d1"}, // but not from 2017
	} {
		state(tt.epoch, tt.seq, tt.at, fmt.Sprint(tt.epoch, tt.seq))
		want := tt.is
		if want == "idle" {
			want = "a5"
		}
		if s := f.robot("r1").State; s.JobState != want {
			t.Errorf("after %s %d: %s, want %s", tt.epoch, tt.seq, s.JobState, want)
		}
	}
}

func TestOnline(t *testing.T) {
	f := newFleet(t, storetest.SQLite(t), Config{})
	at := f.now()
	say := func(seq int, online bool, reason string) {
		f.take(f.say(Online, fields{"epoch": "a", "seq": seq, "online": online, "reason": reason, "at": at}))
	}
	for _, tt := range []struct {
		seq      int
		online   bool
		reason   string
		want     bool
		farewell string
	}{
		{10, true, "", true, ""},
		{10, false, "connection_lost", false, "connection_lost"},
		{10, true, "", false, "connection_lost"}, // its beginning, again
		{20, true, "", true, ""},
		{10, false, "connection_lost", true, ""}, // the will of the one before
		{20, false, "stopped", false, "stopped"},
	} {
		say(tt.seq, tt.online, tt.reason)
		if s := f.robot("r1").State; s.Online != tt.want || s.Farewell != tt.farewell {
			t.Errorf("after %+v: %v %q", tt, s.Online, s.Farewell)
		}
	}
}

// A robot that was taken for gone because nothing came is back with its next word.
func TestSilent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		f := newFleet(t, env, Config{})
		f.take(f.say(Online, fields{"epoch": "a", "seq": 1, "online": true, "at": f.now()}))
		for _, tt := range []struct {
			wait   time.Duration
			gone   int64
			online bool
		}{{time.Minute, 0, true}, {time.Hour, 1, false}, {time.Minute, 0, false}} {
			env.Clock.Add(tt.wait)
			f.update(func(ctx context.Context, tx *store.Tx) error {
				n, err := tx.Silence(ctx, f.now().Add(-15*time.Minute))
				if n != tt.gone {
					t.Errorf("after %v: %d are gone", tt.wait, n)
				}
				return err
			})
			if s := f.robot("r1").State; s.Online != tt.online || s.Online == (s.Farewell == store.Silent) {
				t.Errorf("after %v: %+v", tt.wait, s)
			}
		}
		f.take(f.say(Health, fields{"schema": 1, "epoch": "h", "seq": 1, "at": f.now()}))
		if s := f.robot("r1").State; !s.Online || s.Farewell != "" {
			t.Errorf("once it speaks: %+v", s)
		}
	})
}

// What the broker kept is no word of now.
func TestRetained(t *testing.T) {
	env := storetest.SQLite(t)
	f := newFleet(t, env, Config{})
	m := f.say(Status, fields{"epoch": "a", "seq": 1, "state": "idle"})
	m.Retained = true
	f.take(m)
	if s := f.robot("r1").State; s.JobState != "idle" || !s.Received.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestDiagnostics(t *testing.T) {
	env := storetest.SQLite(t)
	f := newFleet(t, env, Config{})
	said := func(level int) string {
		f.take(f.say(Diagnostics, fields{"timestamp": float64(f.now().UnixMilli()) / 1000,
			"status": []fields{{"name": "r1/system", "level": level, "message": f.now().String(), "values": fields{}}}}))
		return string(f.robot("r1").State.Diagnostics)
	}
	first := said(0)
	env.Clock.Add(time.Second)
	if again := said(0); again != first {
		t.Error("ten a second are stored")
	}
	env.Clock.Add(time.Second)
	worse := said(2)
	if !strings.Contains(worse, `"level":2`) {
		t.Errorf("that it got worse is not stored: %s", worse)
	}
	env.Clock.Add(diagnoseEvery)
	if later := said(2); later == worse || !f.robot("r1").State.Diagnosed.Equal(f.now()) {
		t.Errorf("after a while: %s", later)
	}
	old := f.say(Diagnostics, fields{"timestamp": 1e9, "status": []fields{{"name": "r1/system", "level": 1}}})
	f.take(old)
	if s := f.robot("r1").State; strings.Contains(string(s.Diagnostics), `"level":1`) {
		t.Errorf("older ones take their place: %s", s.Diagnostics)
	}
}

// A robot that nobody registered is not taken for one; in a laboratory it is.
func TestUnknownRobot(t *testing.T) {
	stranger := func(f *fleet, k Kind, w fields) Message {
		w["robot_id"] = "r9"
		m := f.say(k, w)
		m.Robot = "r9"
		return m
	}
	for _, adopt := range []bool{false, true} {
		t.Run(fmt.Sprint("adopt=", adopt), func(t *testing.T) {
			f := newFleet(t, storetest.SQLite(t), Config{Adopt: adopt})
			f.take(
				stranger(f, Diagnostics, fields{"timestamp": 1.7e9}),
				stranger(f, Status, fields{"epoch": "a", "seq": 1, "state": "idle", "sku": "flying"}),
				f.say(Status, fields{"epoch": "a", "seq": 1, "state": "idle"}), // r1's goes through
			)
			if _, err := f.store.Robot(t.Context(), "r9"); !errors.Is(err, store.ErrNotFound) {
				t.Error("it is registered without a SKU")
			}
			f.take(stranger(f, Status, fields{"epoch": "a", "seq": 1, "state": "idle", "sku": "basic"}))
			r, err := f.store.Robot(t.Context(), "r9")
			if adopt && (err != nil || r.SKU != "basic" || r.State.JobState != "idle") || !adopt && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%+v, %v", r, err)
			}
			if f.robot("r1").State.JobState != "idle" {
				t.Error("the others' messages were not taken")
			}
		})
	}
}

// Commands are answered by verdicts, by the transitions that they cause, and not
// by a robot that has no time; they are complied with when the robot is seen to
// run what they ask for.
func TestCommands(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		f := newFleet(t, env, Config{})
		f.update(func(ctx context.Context, tx *store.Tx) error {
			return tx.Enqueue(ctx,
				store.Command{ID: "take", Robot: "r1", Verb: store.VerbOTA, Version: version("0.2.1"), Payload: json.RawMessage(`{"id":"take"}`)},
				store.Command{ID: "cancel", Robot: "r1", Verb: store.VerbCancel, Payload: json.RawMessage(`{"id":"job-1"}`)},
				store.Command{ID: "back", Robot: "r1", Verb: store.VerbRollback, Version: version("0.2.1"), Payload: json.RawMessage(`{"reason":"because"}`)},
				store.Command{ID: "others", Robot: "r2", Verb: store.VerbOTA, Payload: json.RawMessage(`{"id":"take"}`)})
		})
		status := func(seq int, v, state string) Message {
			return f.say(Status, fields{"epoch": "a", "seq": seq, "state": state, "running": fields{"version": v}})
		}
		expect := func(id, verdict, code string, complied bool) {
			t.Helper()
			c, err := f.store.Command(t.Context(), id)
			if err != nil || c.Verdict != verdict || c.Code != code || c.Acknowledged.IsZero() != (verdict == "") || c.Complied.IsZero() == complied {
				t.Errorf("%s: %+v, %v", id, c, err)
			}
		}
		verdict := func(seq int, topic, id, verdict, code string) Message {
			return f.event(seq, "", "", fields{"kind": "command", "topic": topic, "command_id": id, "verdict": verdict, "code": code})
		}
		f.take(verdict(1, "commands/ota", "take", "refused", "busy"), verdict(2, "commands/rollback", "take", "followed", ""))
		expect("take", "", "", false)
		f.take(f.event(3, "job-1", "checking", fields{"command_id": "take"}))
		expect("take", "followed", "", false)
		f.take(verdict(4, "commands/cancel", "job-1", "refused", "too_late"))
		expect("cancel", "refused", "too_late", false)
		f.take(status(1, "0.2.1", "validating"))
		expect("take", "followed", "", false) // its trial
		f.take(status(2, "0.2.1", "observing"))
		expect("take", "followed", "", true)
		f.take(verdict(5, "commands/rollback", "back", "ignored", "duplicate"), status(3, "0.2.0", "rolling_back"))
		expect("back", "followed", "", false)
		f.take(status(4, "0.2.0", "rolled_back"))
		expect("back", "followed", "", true)
		expect("others", "", "", false)
	})
}

// One bad message does not keep the others out, and what is refused is counted
// and told once in a while.
func TestBadAmongGood(t *testing.T) {
	counted := tally{}
	f := newFleet(t, storetest.SQLite(t), Config{Metrics: counted})
	bad := Message{Robot: "r1", Kind: Event, Payload: []byte(`{`), Received: f.now()}
	f.take(bad, f.event(1, "job-1", "downloading", nil), bad, f.event(1, "job-1", "downloading", nil))
	events, err := f.store.Events(t.Context(), "r1", time.Time{}, 10)
	if err != nil || len(events) != 1 {
		t.Errorf("%v, %v", events, err)
	}
	if counted["event malformed"] != 2 || counted["event taken"] != 2 {
		t.Error(counted)
	}
}

type tally map[string]int

func (c tally) Messages(kind, result string, n int) { c[kind+" "+result] += n }

func TestReport(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		f := newFleet(t, env, Config{})
		document := func(topic string, payload []byte) string {
			return fmt.Sprintf(`{"topic":%q,"payload":%s}`, topic, payload)
		}
		status, event := document("ota/status", contract(t, "status")), document("ota/event", contract(t, "event-transition"))
		body := func(documents ...string) []byte {
			return []byte(`{"documents":[` + strings.Join(documents, ",") + `]}`)
		}
		for range 2 { // the answer to the first was lost
			if err := f.Report(t.Context(), "r1", body(status, event, document("ota/health", contract(t, "health")))); err != nil {
				t.Fatal(err)
			}
		}
		events, err := f.store.Events(t.Context(), "r1", time.Time{}, 10)
		if err != nil || len(events) != 1 {
			t.Errorf("%v, %v", events, err)
		}
		if _, total := f.hours("r1"); total.EStops != 1 {
			t.Errorf("%+v", total)
		}
		for why, bad := range map[string][]byte{
			"unexpected end":       []byte(`{"documents":`),
			"1 to 16 documents":    []byte(`{}`),
			"no topic":             body(document("commands/ota", []byte(`{}`))),
			`its robot_id is "r1"`: body(status),
		} {
			err := f.Report(t.Context(), "r2", bad)
			var refusal interface{ Refusal() string }
			if !errors.As(err, &refusal) || !strings.Contains(refusal.Refusal(), why) {
				t.Errorf("%v, want …%s…", err, why)
			}
		}
		err = f.Report(t.Context(), "r2", body(document("ota/online", []byte(`{"robot_id":"r2","epoch":"a","seq":1,"online":true}`)), status))
		if err == nil || f.robot("r2").State.Online {
			t.Error("a part of a report was taken")
		}
	})
}

// A store that fails lets nothing be lost: the same again is taken.
func TestStoreFails(t *testing.T) {
	env := storetest.SQLite(t)
	f := newFleet(t, env, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := f.say(Diagnostics, fields{"timestamp": 1.7e9})
	if err := f.Take(ctx, []Message{m}); err == nil {
		t.Error("it was taken by nobody")
	}
	f.take(m)
	if f.robot("r1").State.Diagnosed.IsZero() {
		t.Error("it was passed over")
	}
}

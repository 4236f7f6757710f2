package store_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// What robots say is kept or refused, alike on both databases, and never keeps
// the rest from being read.
func TestWhatRobotsSay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		addRobot(t, s, "r1", "basic")
		note := func(f func(tx *store.Tx) error) error { return s.Note(t.Context(), "hear", f) }
		event := store.Event{
			Robot: "r1", ID: "e\x00\xff", Kind: "x", Seq: math.MaxUint64, At: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), Received: storetest.Noon(),
			Text: "\x00\xc3(", Body: json.RawMessage("{\"a\":\"\\u0000 \xff\"}"),
		}
		if err := note(func(tx *store.Tx) error { _, err := tx.AddEvent(t.Context(), event); return err }); err != nil {
			t.Fatal(err)
		}
		got := must(s.Events(t.Context(), "r1", time.Time{}, 10))
		if len(got) != 1 || got[0].ID != "e\uFFFD\uFFFD" || got[0].Text != "\uFFFD\uFFFD(" || got[0].Seq != math.MaxInt64 || !got[0].At.Equal(event.At) || !json.Valid(got[0].Body) {
			t.Errorf("got %+v", got)
		}
		state := store.RobotState{Slot: "\x00", Seq: math.MaxUint64, Keyring: math.MaxUint64, At: time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), Status: json.RawMessage(`{}`)}
		if err := note(func(tx *store.Tx) error { return tx.SetState(t.Context(), "r1", state) }); err != nil {
			t.Fatal(err)
		}
		if r := must(s.Robot(t.Context(), "r1")); r.State.Slot != "\uFFFD" || r.State.Keyring != math.MaxInt64 || !r.State.At.Equal(state.At) {
			t.Errorf("got %+v", r)
		}
		_, err := s.Robot(t.Context(), "r\x001")
		is(t, "an id with a NUL", err, store.ErrNotFound)

		state.Status = json.RawMessage(`{`)
		is(t, "a status that is no JSON", note(func(tx *store.Tx) error { return tx.SetState(t.Context(), "r1", state) }), store.ErrJSON)
		event.ID, event.Body = "e2", json.RawMessage(`x`)
		is(t, "an event that is no JSON", note(func(tx *store.Tx) error { _, err := tx.AddEvent(t.Context(), event); return err }), store.ErrJSON)
		is(t, "a ledger that is no JSON", note(func(tx *store.Tx) error { return tx.SetLedger(t.Context(), "r1", json.RawMessage(`x`)) }), store.ErrJSON)
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			h := store.Hour{Robot: "r1", Begin: storetest.Noon(), Counters: store.Counters{Used: bad}}
			is(t, "a counter", note(func(tx *store.Tx) error { return tx.AddHealth(t.Context(), h) }), store.ErrNumber)
		}
		// Of a robot that nobody registered.
		event.Robot, event.Body = "r9", json.RawMessage(`{}`)
		is(t, "an event of nobody", note(func(tx *store.Tx) error { _, err := tx.AddEvent(t.Context(), event); return err }), store.ErrNotFound)
		is(t, "health of nobody", note(func(tx *store.Tx) error {
			return tx.AddHealth(t.Context(), store.Hour{Robot: "r9", Begin: storetest.Noon()})
		}), store.ErrNotFound)
		is(t, "an update of nobody", note(func(tx *store.Tx) error {
			return tx.SaveUpdate(t.Context(), store.Update{Robot: "r9", JobID: "j", Started: storetest.Noon()})
		}), store.ErrNotFound)
	})
}

package store_test

import (
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// Nothing is counted in an empty fleet, and nothing fails.
func TestCountsOfNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		same(t, "updates", must(s.CountUpdates(t.Context(), time.Time{})), nil)
		same(t, "versions", must(s.CountVersions(t.Context())), nil)
		same(t, "keys", must(s.CountKeys(t.Context())), nil)
		same(t, "presence", must(s.Presence(t.Context(), env.Clock.Now())), store.Presence{})
		same(t, "commands", must(s.CountCommands(t.Context())), nil)
		same(t, "stages", must(s.CountStages(t.Context(), "o1")), nil)
		same(t, "confirmed", must(s.LastConfirmed(t.Context(), "o1")), time.Time{})
	})
}

func TestCountUpdates(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		addRobot(t, s, "r1", "basic")
		addRobot(t, s, "r2", "standard")
		noon := storetest.Noon()
		for _, u := range []store.Update{
			{Robot: "r1", JobID: "old", SKU: "basic", Started: noon.Add(-time.Hour), Outcome: "failed", Download: 99},
			{Robot: "r1", JobID: "1", SKU: "basic", Started: noon, Outcome: "confirmed", Download: 2},
			{Robot: "r1", JobID: "2", SKU: "basic", Started: noon, Outcome: "confirmed", Download: 4},
			{Robot: "r1", JobID: "3", SKU: "basic", Started: noon, Outcome: "confirmed"},
			{Robot: "r1", JobID: "4", SKU: "basic", Started: noon, Outcome: "rolled_back", Code: "reboots"},
			{Robot: "r2", JobID: "1", SKU: "standard", Started: noon},
		} {
			update(t, s, func(tx *store.Tx) error { return tx.SaveUpdate(t.Context(), u) })
		}
		same(t, "since noon", must(s.CountUpdates(t.Context(), noon)), []store.UpdateCount{
			{SKU: "basic", Outcome: "confirmed", Updates: 3, Downloads: 2, Seconds: 6},
			{SKU: "basic", Outcome: "rolled_back", Code: "reboots", Updates: 1},
			{SKU: "standard", Updates: 1},
		})
		if all := must(s.CountUpdates(t.Context(), noon.Add(-2*time.Hour))); len(all) != 4 {
			t.Errorf("all: %+v", all)
		}
	})
}

func TestCountRobotsByWhatTheySay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		noon := storetest.Noon()
		for id, state := range map[string]*store.RobotState{
			"r1": {Version: v("0.2.0"), SigningKey: "k1", Keyring: 2, Online: true, Received: noon},
			"r2": {Version: v("0.2.0"), SigningKey: "k1", Keyring: 2, Received: noon.Add(-time.Hour)},
			"r3": {Version: v("0.1.0"), Online: true, Received: noon.Add(-time.Hour)},
			"r4": nil,
		} {
			addRobot(t, s, id, "basic")
			if state != nil {
				update(t, s, func(tx *store.Tx) error { return tx.SetState(t.Context(), id, *state) })
			}
		}
		same(t, "versions", must(s.CountVersions(t.Context())), []store.VersionCount{
			{SKU: "basic", Robots: 1}, {SKU: "basic", Version: v("0.1.0"), Robots: 1}, {SKU: "basic", Version: v("0.2.0"), Robots: 2}})
		same(t, "keys", must(s.CountKeys(t.Context())), []store.KeyCount{{Robots: 2}, {Key: "k1", Keyring: 2, Robots: 2}})
		same(t, "presence", must(s.Presence(t.Context(), noon.Add(-time.Minute))), store.Presence{Robots: 4, Online: 2, Silent: 2, Never: 1})
	})
}

func TestCountCommandsAndStages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		start(t, s, "o1", "0.2.1", "basic")
		noon := storetest.Noon()
		update(t, s, func(tx *store.Tx) error {
			if err := tx.Assign(t.Context(), store.Assignment{Rollout: "o1", Robot: "r1", SKU: "basic", Stage: "internal", Outcome: "confirmed", Offered: noon, Confirmed: noon},
				store.Assignment{Rollout: "o1", Robot: "r2", SKU: "basic", Stage: "canary", Outcome: "confirmed", Offered: noon, Confirmed: noon.Add(time.Hour)},
				store.Assignment{Rollout: "o1", Robot: "r3", SKU: "basic", Stage: "canary"}); err != nil {
				return err
			}
			for _, id := range []string{"unsent", "waiting", "answered", "complied", "dropped"} {
				if err := tx.Enqueue(t.Context(), store.Command{ID: id, Robot: "r1", Verb: store.VerbRollback}); err != nil {
					return err
				}
			}
			if err := tx.Sent(t.Context(), "waiting", "answered", "complied"); err != nil {
				return err
			}
			for _, id := range []string{"answered", "complied"} {
				if _, err := tx.Acknowledge(t.Context(), "r1", id, "accepted", ""); err != nil {
					return err
				}
			}
			if _, err := tx.Comply(t.Context(), "r1", "complied"); err != nil {
				return err
			}
			return tx.Drop(t.Context(), "dropped")
		})
		same(t, "commands", must(s.CountCommands(t.Context())), []store.CommandCount{{Verb: store.VerbRollback, Unsent: 1, Waiting: 1, Answered: 1}})
		same(t, "stages", must(s.CountStages(t.Context(), "o1")), []store.StageCount{
			{Stage: "internal", Outcome: "confirmed", Robots: 1, Offered: 1}, {Stage: "canary", Robots: 1}, {Stage: "canary", Outcome: "confirmed", Robots: 1, Offered: 1}})
		same(t, "last", must(s.LastConfirmed(t.Context(), "o1")), noon.Add(time.Hour))
	})
}

package emergency

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func follow(t testing.TB, e *Service) {
	t.Helper()
	if err := e.Follow(t.Context(), NoFence); err != nil {
		t.Fatal(err)
	}
}

// told lists what robots were told and have not done: "r1 rollback".
func told(t testing.TB, s *store.Store) string {
	t.Helper()
	var out []string
	for _, c := range must(s.Commands(t.Context(), store.CommandQuery{Open: true})) {
		out = append(out, c.Robot+" "+string(c.Verb))
	}
	return strings.Join(out, ", ")
}

func counts(p Progress) string {
	return fmt.Sprintf("%d complied, %d left, %d unreached, %d unheard, %d running, done %v", p.Complied, p.Left, p.Unreached, p.Unheard, p.Running, p.Done)
}

// From the order to the end: a robot that runs it, one on its way, one that
// reports it days later, one that is never heard.
func TestRollbackIsFollowed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s, ctx := env.Open(t), t.Context()
		fleet(t, s)
		start(t, s)
		says(t, s, "r1", runs("0.2.1"))
		says(t, s, "r2", store.RobotState{Version: v("0.2.0"), JobID: "job-2", JobState: "waiting", JobTarget: "0.2.1"})
		says(t, s, "r3", runs("0.2.0"))
		says(t, s, "b1", runs("0.2.0"))
		e := New(s, env.Clock.Now)
		id := must(e.Rollback(ctx, "ann", "standard-0.2.1", "it bites"))
		progress := func(when, want string) {
			t.Helper()
			if got := counts(must(e.Progress(ctx, id))); got != want {
				t.Errorf("%s: %s", when, got)
			}
		}
		progress("ordered", "0 complied, 2 left, 2 unreached, 1 unheard, 1 running, done false")
		for range 2 { // the second time changes nothing
			follow(t, e)
			if got := told(t, s); got != "r1 rollback, r2 cancel" {
				t.Fatalf("told: %s", got)
			}
		}
		r1, r2 := id+"/1/r1", id+"/1/r2"
		update(t, s, func(tx *store.Tx) error { return tx.Sent(ctx, r1, r2) })
		update(t, s, func(tx *store.Tx) error { _, err := tx.Acknowledge(ctx, "r1", r1, "refused", "busy"); return err })
		progress("refused", "0 complied, 2 left, 1 unreached, 1 unheard, 1 running, done false")
		env.Clock.Add(5 * time.Minute)
		says(t, s, "r2", runs("0.2.0"))
		follow(t, e)
		if got := told(t, s); got != "r1 rollback" {
			t.Errorf("told: %s", got)
		}
		if c := must(s.Command(ctx, id+"/2/r1")); string(c.Payload) != `{"id":"rollback-standard-0.2.1/2/r1","reason":"it bites","version":"0.2.1"}` {
			t.Errorf("asked anew: %s", c.Payload)
		}
		progress("asked anew", "1 complied, 1 left, 1 unreached, 1 unheard, 1 running, done false")
		says(t, s, "r1", runs("0.2.0"))
		// Who takes in what robots say may have noted it already.
		update(t, s, func(tx *store.Tx) error { _, err := tx.Comply(ctx, "r1", id+"/2/r1"); return err })
		follow(t, e)
		progress("complied", "2 complied, 0 left, 0 unreached, 1 unheard, 0 running, done true")

		env.Clock.Add(72 * time.Hour)
		says(t, s, "r4", runs("0.2.1")) // it was switched off
		follow(t, e)
		progress("late", "2 complied, 1 left, 1 unreached, 0 unheard, 1 running, done false")
		var not *OpenError
		if err := e.Close(ctx, "ann", id, ""); !errors.As(err, &not) {
			t.Errorf("closed too early: %v", err)
		}
		says(t, s, "r4", runs("0.2.0"))
		follow(t, e)
		if err := e.Close(ctx, "ann", id, ""); err != nil {
			t.Error(err)
		}
		if err := e.Close(ctx, "ann", id, ""); !errors.Is(err, store.ErrConflict) {
			t.Errorf("closed twice: %v", err)
		}
		const want = `: told to put it back: r1
: told to give it up before it is installed: r2
: told to put it back: r1
: complied: 1 of 2: r2
: complied: 2 of 2: r1, r2
: told to put it back: r4
: complied: 3 of 3: r1, r2, r4
`
		_, got, _ := strings.Cut(lines(t, s, id), "halted: rollout o1\n")
		if got != want {
			t.Errorf("the time line:\n%s", got)
		}
	})
}

// After a halt those that run it go on; those on their way are held back.
func TestHaltIsFollowed(t *testing.T) {
	env := storetest.SQLite(t)
	s, ctx := env.Open(t), t.Context()
	fleet(t, s)
	says(t, s, "r1", runs("0.2.1"))
	fetches := store.RobotState{Version: v("0.2.0"), JobID: "job-2", JobState: "downloading", JobTarget: "0.2.1"}
	says(t, s, "r2", fetches)
	e := New(s, env.Clock.Now)
	id := must(e.Halt(ctx, "ann", "standard-0.2.1", "it bites"))
	follow(t, e)
	if got := told(t, s); got != "r2 cancel" {
		t.Errorf("told: %s", got)
	}
	fetches.JobState = "validating" // it was faster
	says(t, s, "r2", fetches)
	follow(t, e)
	if got := told(t, s); got != "" {
		t.Errorf("told: %s", got)
	}
	if got := counts(must(e.Progress(ctx, id))); got != "0 complied, 0 left, 0 unreached, 3 unheard, 2 running, done true" {
		t.Error(got)
	}
	must(e.Rollback(ctx, "ann", "standard-0.2.1", "it bites harder"))
	follow(t, e)
	if got := told(t, s); got != "r1 rollback, r2 rollback" {
		t.Errorf("told: %s", got)
	}
}

func TestRobotThatIsRemoved(t *testing.T) {
	env := storetest.SQLite(t)
	s, ctx := env.Open(t), t.Context()
	fleet(t, s)
	says(t, s, "r1", runs("0.2.1"))
	e := New(s, env.Clock.Now)
	id := must(e.Rollback(ctx, "ann", "standard-0.2.1", "it bites"))
	follow(t, e)
	update(t, s, func(tx *store.Tx) error { return tx.RemoveRobot(ctx, "r1") })
	follow(t, e)
	if got := told(t, s); got != "" {
		t.Errorf("told: %s", got)
	}
	if got := lines(t, s, id); !strings.HasSuffix(got, ": not in the fleet any more: r1\n") {
		t.Errorf("the time line:\n%s", got)
	}
}

// One that is closed all the same is followed no more.
func TestClosedAnyway(t *testing.T) {
	env := storetest.SQLite(t)
	s, ctx := env.Open(t), t.Context()
	fleet(t, s)
	says(t, s, "r1", runs("0.2.1"))
	e := New(s, env.Clock.Now)
	id := must(e.Rollback(ctx, "ann", "standard-0.2.1", "it bites"))
	follow(t, e)
	if err := e.Close(ctx, "bob", id, "\n"); !errors.Is(err, ErrReason) {
		t.Errorf("without a reason: %v", err)
	}
	if err := e.Close(ctx, "bob", id, "r1 lies at the bottom of a lake"); err != nil {
		t.Fatal(err)
	}
	follow(t, e)
	if got := told(t, s); got != "" {
		t.Errorf("told: %s", got)
	}
	if err := e.Note(ctx, "bob", id, "the lake was dredged"); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, s, id); !strings.HasSuffix(got, "bob: closed although not all is done: r1 lies at the bottom of a lake\nbob: the lake was dredged\n") {
		t.Errorf("the time line:\n%s", got)
	}
	for _, err := range []error{e.Close(ctx, "bob", "none", ""), e.Close(ctx, "bob", "none", "because"), e.Note(ctx, "bob", "none", "hm")} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no incident: %v", err)
		}
	}
	if err := e.Note(ctx, "bob", id, " "); !errors.Is(err, ErrReason) {
		t.Errorf("an empty note: %v", err)
	}
}

// A server that lost the lease changes nothing.
func TestFollowIsFenced(t *testing.T) {
	env := storetest.SQLite(t)
	s := env.Open(t)
	fleet(t, s)
	says(t, s, "r1", runs("0.2.1"))
	e := New(s, env.Clock.Now)
	must(e.Rollback(t.Context(), "ann", "standard-0.2.1", "it bites"))
	err := e.Follow(t.Context(), func(context.Context, *store.Tx) error { return store.ErrFenced })
	if got := told(t, s); !errors.Is(err, store.ErrFenced) || got != "" {
		t.Errorf("%v, told: %s", err, got)
	}
}

// Many robots take several transactions, and a few lines.
func TestManyRobots(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s, ctx := env.Open(t), t.Context()
		fleet(t, s)
		update(t, s, func(tx *store.Tx) error {
			for i := range 450 {
				id := fmt.Sprintf("many-%03d", i)
				if err := errors.Join(tx.AddRobot(ctx, store.Robot{ID: id, SKU: "standard"}), tx.SetState(ctx, id, runs("0.2.1"))); err != nil {
					return err
				}
			}
			return nil
		})
		e := New(s, env.Clock.Now)
		id := must(e.Rollback(ctx, "ann", "standard-0.2.1", "it bites"))
		follow(t, e)
		if got := len(must(s.Commands(ctx, store.CommandQuery{Incident: id, Open: true}))); got != 450 {
			t.Errorf("%d commands", got)
		}
		got := lines(t, s, id)
		if strings.Count(got, "\n") != 4 || !strings.Contains(got, "many-019 and 180 more\n") || !strings.Contains(got, "many-419 and 30 more\n") {
			t.Errorf("the time line:\n%s", got)
		}
		for i, complied := range []int{10, 22, 23, 450} { // a twentieth part is 22.5
			update(t, s, func(tx *store.Tx) error {
				for i := range complied {
					if err := tx.SetState(ctx, fmt.Sprintf("many-%03d", i), runs("0.2.0")); err != nil {
						return err
					}
				}
				return nil
			})
			follow(t, e)
			_, got, _ := strings.Cut(lines(t, s, id), "30 more\n")
			want := []string{"", "", ": complied: 23 of 450\n", ": complied: 23 of 450\n: complied: 450 of 450\n"}[i]
			if got != want {
				t.Errorf("%d have complied: %s", complied, got)
			}
		}
	})
}

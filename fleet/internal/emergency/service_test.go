package emergency

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// start begins a rollout of standard-0.2.1 that offers it to r1.
func start(t testing.TB, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	update(t, s, func(tx *store.Tx) error {
		if _, err := tx.StartRollout(ctx, store.Rollout{ID: "o1", Release: "standard-0.2.1", Version: v("0.2.1"), SKUs: []string{"standard"},
			Phase: "running", Stage: "internal", Plan: json.RawMessage(`{}`), State: json.RawMessage(`{}`)}); err != nil {
			return err
		}
		return tx.Assign(ctx, store.Assignment{Rollout: "o1", Robot: "r1", SKU: "standard", Stage: "internal"})
	})
}

func highest(t testing.TB, s *store.Store, robot string) string {
	t.Helper()
	r, _ := release.Choose(must(s.Offered(t.Context(), "standard", robot)), release.Robot{SKU: "standard", Running: v("0.1.0")})
	return r.Name
}

func TestHalt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s, ctx := env.Open(t), t.Context()
		fleet(t, s)
		start(t, s)
		if got := highest(t, s, "r1"); got != "standard-0.2.1" {
			t.Fatalf("before: %s", got)
		}
		e := New(s, env.Clock.Now)
		id, err := e.Halt(ctx, "ann", "standard-0.2.1", " it bites ")
		if err != nil || id != "halt-standard-0.2.1" {
			t.Fatalf("%q, %v", id, err)
		}
		if got := highest(t, s, "r1"); got != "standard-0.2.0" {
			t.Errorf("it is offered %s", got)
		}
		if a := must(s.Artifact(ctx, of("basic", "0.2.1", 2, "").SHA256)); a.Live {
			t.Error("the file is served still")
		}
		if o := must(s.Rollout(ctx, "o1")); o.Active || o.Phase != "halted" {
			t.Errorf("the rollout: %+v", o)
		}
		if d := must(s.Decisions(ctx, "o1", 0)); len(d) != 1 || d[0].By != "ann" || d[0].Reason != "it bites" {
			t.Errorf("decisions: %+v", d)
		}
		const want = "ann: withdrawn, and served to nobody any more: basic-0.2.1, standard-0.2.1\nann: halted: rollout o1\n"
		if got := lines(t, s, id); got != want {
			t.Errorf("the time line:\n%s", got)
		}
		if again, err := e.Halt(ctx, "bob", "standard-0.2.1", "indeed"); err != nil || again != id || lines(t, s, id) != want {
			t.Errorf("once more: %q, %v:\n%s", again, err, lines(t, s, id))
		}
		back, err := e.Rollback(ctx, "bob", "standard-0.2.1", "it bites harder")
		if err != nil || back != "rollback-standard-0.2.1" {
			t.Fatalf("%q, %v", back, err)
		}
		i := must(s.Incident(ctx, id))
		if i.ClosedBy != "bob" || !strings.Contains(lines(t, s, id), "bob: goes on as incident rollback-standard-0.2.1\n") {
			t.Errorf("the halt: %+v\n%s", i, lines(t, s, id))
		}
		if third, err := e.Halt(ctx, "ann", "standard-0.2.1", "again"); err != nil || third != "halt-standard-0.2.1-2" {
			t.Errorf("after it was closed: %q, %v", third, err)
		}
	})
}

// A SKU that shares the file later, when the order is given once more, goes
// with it.
func TestOrderWidens(t *testing.T) {
	s := storetest.SQLite(t).Open(t)
	fleet(t, s)
	e := New(s, storetest.Noon)
	id := must(e.Rollback(t.Context(), "ann", "standard-0.2.1", "it bites"))
	fresh := of("industrial", "0.2.1", 2, release.Stable)
	if err := s.Publish(t.Context(), file(2), []release.Release{fresh}); err != nil {
		t.Fatal(err)
	}
	if again := must(e.Rollback(t.Context(), "ann", "standard-0.2.1", "it bites")); again != id {
		t.Errorf("another incident: %s", again)
	}
	r, ok := recordOf(must(s.Incident(t.Context(), id)))
	if got := strings.Join(names(r.Targets), " "); !ok || got != "basic-0.2.1 standard-0.2.1 industrial-0.2.1" {
		t.Errorf("targets: %s", got)
	}
	if got := must(s.ReleaseNamed(t.Context(), "industrial-0.2.1")); got.Status != release.Withdrawn {
		t.Errorf("got %+v", got)
	}
}

func TestOrderIsRefused(t *testing.T) {
	s := storetest.SQLite(t).Open(t)
	fleet(t, s)
	e := New(s, storetest.Noon)
	for _, reason := range []string{"", " \t", "a\nb", strings.Repeat("x", 401), "\x00"} {
		if _, err := e.Halt(t.Context(), "ann", "standard-0.2.1", reason); !errors.Is(err, ErrReason) {
			t.Errorf("reason %.20q: %v", reason, err)
		}
	}
	for _, name := range []string{"", "standard-9.9.9", "' OR 1=1 --"} {
		if _, err := e.Rollback(t.Context(), "ann", name, "because"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("release %q: %v", name, err)
		}
	}
	if all := must(s.Incidents(t.Context(), false)); len(all) > 0 {
		t.Errorf("it left %+v", all)
	}
}

func TestPreview(t *testing.T) {
	s := storetest.SQLite(t).Open(t)
	fleet(t, s)
	start(t, s)
	says(t, s, "r1", runs("0.2.1"))
	says(t, s, "r2", store.RobotState{Version: v("0.2.0"), JobState: "waiting", JobTarget: "0.2.1"})
	says(t, s, "b1", runs("0.2.1"))
	got, err := New(s, storetest.Noon).Preview(t.Context(), "standard-0.2.1")
	want := Preview{Releases: []string{"basic-0.2.1", "standard-0.2.1"}, Rollouts: []string{"o1"}, Running: 2, Coming: 1, Unheard: 2}
	if err != nil || string(encoded(got)) != string(encoded(want)) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// The rollout's own state says that it is halted, whatever could be read of it.
func TestRolloutIsHalted(t *testing.T) {
	good, _ := rollout.Begin(rollout.Plan{Release: "standard-0.2.1"}, "ann", "a new one", storetest.Noon())
	for name, state := range map[string]json.RawMessage{"good": must(json.Marshal(good)), "broken": json.RawMessage(`{"schema": 99}`)} {
		s, ctx := storetest.SQLite(t).Open(t), t.Context()
		fleet(t, s)
		update(t, s, func(tx *store.Tx) error {
			_, err := tx.StartRollout(ctx, store.Rollout{ID: "o1", Release: "standard-0.2.1", Version: v("0.2.1"), SKUs: []string{"standard"},
				Phase: "running", Stage: "internal", Plan: json.RawMessage(`{}`), State: state})
			return err
		})
		must(New(s, storetest.Noon).Halt(ctx, "bob", "standard-0.2.1", "it bites"))
		o := must(s.Rollout(ctx, "o1"))
		if o.Active || o.Phase != "halted" {
			t.Errorf("%s: %+v", name, o)
		}
		if got, err := rollout.ParseState(o.State); name == "good" && (err != nil || got.Phase != rollout.Halted || got.Latest.By != "bob") {
			t.Errorf("%s: %v, %s", name, err, o.State)
		}
		var d rollout.Decision
		if all := must(s.Decisions(ctx, "o1", 0)); len(all) != 1 || json.Unmarshal(all[0].Decision, &d) != nil || d.Verdict != rollout.Halt || d.Reason != "it bites" {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

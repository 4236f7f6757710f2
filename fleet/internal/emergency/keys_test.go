package emergency

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// offer publishes a keyring of that version, signed by the old key, that
// trusts the new one and may revoke the old one.
func offer(t testing.TB, s *store.Store, version uint64, revoked ...string) {
	t.Helper()
	d := keyringtest.Document(keyring.Content{Version: version, Keys: []image.Key{signers[1].Public}, Revoked: revoked}, signers[0])
	if err := s.AddKeyring(t.Context(), d, func([]keyring.Document) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// has is a robot with a keyring and firmware that embeds a key.
func has(version uint64, key string) store.RobotState {
	return store.RobotState{Version: v("0.2.2"), Keyring: version, SigningKey: key, Received: storetest.Noon()}
}

func TestLacks(t *testing.T) {
	f := keyFacts{key: "old", keyring: 4, others: []string{"new", "other"}}
	for name, tt := range map[string]struct {
		state store.RobotState
		want  string
	}{
		"it has it":                    {has(4, "new"), ""},
		"it has a later keyring":       {has(9, "other"), ""},
		"it was never heard":           {store.RobotState{}, "it was never heard"},
		"an old keyring":               {has(3, "new"), "it has keyring 3, and 4 revokes the key"},
		"the old key":                  {has(4, "old"), "its firmware embeds the revoked key"},
		"its firmware says nothing":    {has(4, ""), "its firmware does not say which key it embeds"},
		"a key that nobody knows":      {has(4, "strange"), `its firmware embeds key "strange", which is not one that counts here`},
		"its companion says it checks": {store.RobotState{Checked: storetest.Noon()}, "it was never heard"},
	} {
		if got := lacks(f, tt.state); got != tt.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	f.keyring = 0
	if got := lacks(f, has(7, "new")); got != "there is no keyring document that it could have" {
		t.Errorf("without a document: %q", got)
	}
}

// Who is offered firmware by another key: not what was there before, what
// nobody is offered, or what is for another SKU.
func TestSuccessor(t *testing.T) {
	noon := storetest.Noon()
	by := func(version, key string, status release.Status, before bool) release.Release {
		r := of("standard", version, 1, status)
		if r.Key = key; before {
			r.Published = noon.Add(-1)
		}
		return r
	}
	rollout := []store.Rollout{{Version: v("0.3.0"), SKUs: []string{"standard"}}}
	for name, tt := range map[string]struct {
		release release.Release
		active  []store.Rollout
		want    string
	}{
		"stable":            {by("0.3.0", "new", release.Stable, false), nil, "standard-0.3.0"},
		"in a rollout":      {by("0.3.0", "new", release.Published, false), rollout, "standard-0.3.0"},
		"published alone":   {by("0.3.1", "new", release.Published, false), rollout, ""},
		"there before":      {by("0.3.0", "new", release.Stable, true), nil, ""},
		"by the old key":    {by("0.3.0", "old", release.Stable, false), nil, ""},
		"withdrawn since":   {by("0.3.0", "new", release.Withdrawn, false), rollout, ""},
		"its key is stolen": {by("0.3.0", "new", release.Revoked, false), nil, ""},
	} {
		f := keyFacts{opened: noon, others: []string{"new"}, releases: []release.Release{tt.release}, active: tt.active}
		if got := successor(f, "standard"); got != tt.want {
			t.Errorf("%s: %q", name, got)
		}
		if got := successor(f, "basic"); got != "" {
			t.Errorf("%s, for basic: %q", name, got)
		}
	}
}

// From the theft to the end, with a robot that is excepted.
func TestKeyIsReplaced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s, ctx := env.Open(t), t.Context()
		fleet(t, s)
		start(t, s)
		offer(t, s, 1)
		old, fresh := signers[0].Public.ID, signers[1].Public.ID
		e := New(s, env.Clock.Now)
		next := func(when string, want Step, left int) {
			t.Helper()
			follow(t, e)
			if got := must(e.KeyStatus(ctx, old)); got.Next != want || got.Left != left {
				t.Errorf("%s: next is %q, %d are left: %+v", when, got.Next, got.Left, got)
			}
		}
		if _, err := e.KeyStatus(ctx, old); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("before: %v", err)
		}
		id := must(e.Compromised(ctx, "ann", old, "the laptop was stolen"))
		for _, sku := range []string{"standard", "basic"} {
			if got := must(s.Offered(ctx, sku, "r1")); len(got) > 0 {
				t.Errorf("%s robots are offered %+v", sku, got)
			}
		}
		if o := must(s.Rollout(ctx, "o1")); o.Active {
			t.Error("the rollout goes on")
		}
		if again := must(e.Compromised(ctx, "bob", old, "once more")); again != id {
			t.Errorf("another incident: %s", again)
		}
		next("begun", StepKeyring, 5)
		offer(t, s, 2, old)
		next("with a keyring", StepRelease, 5)
		if err := e.Replaced(ctx, "ann", old); err == nil || !strings.Contains(err.Error(), `the step "release" is next, and 5 of 5 robots are left`) {
			t.Errorf("too early: %v", err)
		}
		good := []release.Release{of("standard", "0.2.2", 7, release.Stable), of("basic", "0.2.2", 7, release.Stable)}
		for i := range good {
			good[i].Key = fresh
		}
		if err := s.Publish(ctx, file(7), good[:1]); err != nil {
			t.Fatal(err)
		}
		next("with one release", StepRelease, 5)
		if err := s.Publish(ctx, file(7), good[1:]); err != nil {
			t.Fatal(err)
		}
		next("with releases", StepDevices, 5)
		for _, robot := range []string{"r1", "r2", "b1"} {
			says(t, s, robot, has(2, fresh))
		}
		says(t, s, "r3", has(2, old))
		next("some have it", StepDevices, 2)
		if err := e.Except(ctx, "ann", old, "scrapped", "r4", "r9"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a robot that there is not: %v", err)
		}
		if err := e.Except(ctx, "ann", old, "scrapped", "r4"); err != nil {
			t.Fatal(err)
		}
		next("one is excepted", StepDevices, 1)
		var not *OpenError
		if err := e.Replaced(ctx, "ann", old); !errors.As(err, &not) || !strings.Contains(err.Error(), "1 of 5 robots are left") {
			t.Errorf("too early: %v", err)
		}
		if err := e.Close(ctx, "ann", id, ""); !errors.As(err, &not) {
			t.Errorf("by the side door: %v", err)
		}
		says(t, s, "r3", has(3, fresh))
		next("all have it", StepDestroy, 0)
		if err := e.Replaced(ctx, "ann", old); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{e.Replaced(ctx, "ann", old), e.Except(ctx, "ann", old, "late", "r4")} {
			if !errors.Is(err, store.ErrConflict) {
				t.Errorf("after the end: %v", err)
			}
		}
		want := fmt.Sprintf(`ann: the key is revoked here; hidden with it: basic-0.2.0, basic-0.2.1, standard-0.2.0, standard-0.2.1; halted: rollout o1
: robots are offered keyring 2, which revokes the key; keys that count: %s
: firmware by another key is offered: basic-0.2.2, standard-0.2.2
ann: not waited for: r4: scrapped
: 4 of 5 robots report the new key, the others are excepted
ann: the old private key is destroyed
`, fresh)
		if got := lines(t, s, id); got != want {
			t.Errorf("the time line:\n%s\nwant\n%s", got, want)
		}
		got := must(e.KeyStatus(ctx, old))
		if !slices.Equal(got.Done, Steps()) || got.Next != "" || got.Have != 4 || len(got.Without) != 1 || got.Without[0].Except != "scrapped" {
			t.Errorf("in the end: %+v", got)
		}
	})
}

// What makes no sense changes nothing.
func TestKeyOrdersAreRefused(t *testing.T) {
	s := storetest.SQLite(t).Open(t)
	fleet(t, s)
	e, old := New(s, storetest.Noon), signers[0].Public.ID
	if _, err := e.Compromised(t.Context(), "ann", old, " "); !errors.Is(err, ErrReason) {
		t.Errorf("without a reason: %v", err)
	}
	for _, err := range []error{e.Replaced(t.Context(), "ann", old), e.Except(t.Context(), "ann", old, "because", "r1")} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("before it began: %v", err)
		}
	}
	if k := must(s.Key(t.Context(), old)); !k.Revoked.IsZero() {
		t.Error("it is revoked")
	}
}

package metadata_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/metadata"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
	"github.com/robot-platform/robot-ota/internal/tuf"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const day = 24 * time.Hour

// fleet is a store, its owner's keys, and a robot that follows it.
type fleet struct {
	*testing.T
	env   storetest.Env
	store *store.Store
	owner *tuftest.Repo // for its keys and root documents
	held  tuf.Held      // of a robot
	key   keyringtest.Signer
}

func newFleet(t *testing.T, env storetest.Env) *fleet {
	t.Helper()
	f := &fleet{T: t, env: env, store: env.Open(t), owner: tuftest.New(env.Clock.Now()), key: keyringtest.Signers(1)[0]}
	f.held = tuf.Held{Root: f.owner.First()}
	f.update(func(tx *store.Tx) error { _, err := tx.AddKey(t.Context(), f.key.Public, "pub.der"); return err })
	return f
}

func (f *fleet) update(do func(tx *store.Tx) error) {
	f.Helper()
	if err := f.store.Update(f.Context(), "test", do); err != nil {
		f.Fatal(err)
	}
}

func (f *fleet) publish(version string) {
	f.Helper()
	v, err := compat.ParseVersion(version)
	if err != nil {
		f.Fatal(err)
	}
	file := []byte(strings.Repeat(version, 100))
	sum := digest(file)
	if err := f.store.Publish(f.Context(), file, []release.Release{{
		SKU: "standard", Version: v, SHA256: sum, Size: int64(len(file)), Protocol: 1, Name: "standard-" + version, Status: release.Stable,
		AppSHA256: strings.Repeat("0a", 32), Key: f.key.ID(), Published: f.env.Clock.Now(), Changed: f.env.Clock.Now(),
	}}); err != nil {
		f.Fatal(err)
	}
}

func (f *fleet) withdraw(version string) {
	f.Helper()
	v, _ := compat.ParseVersion(version)
	f.update(func(tx *store.Tx) error {
		return tx.SetStatus(f.Context(), "standard", v, release.Withdrawn, "me", "bad")
	})
}

// keeper has the online key, and that of the list if it is to.
func (f *fleet) keeper(list bool) *metadata.Keeper {
	c := metadata.Config{Online: f.owner.Online, Lives: metadata.DefaultLives(), Now: f.env.Clock.Now}
	if list {
		c.Targets = f.owner.Targets
	}
	return metadata.New(c, f.store, slog.New(slog.DiscardHandler))
}

func (f *fleet) renew(k *metadata.Keeper) {
	f.Helper()
	if err := k.Renew(f.Context()); err != nil {
		f.Fatal(err)
	}
}

func (f *fleet) take(b []byte) {
	f.Helper()
	if _, fresh, err := metadata.Import(f.Context(), f.store, b, f.env.Clock.Now()); err != nil || !fresh {
		f.Fatalf("%v, %v", fresh, err)
	}
}

// robot follows what is served.
func (f *fleet) robot() (tuf.State, error) {
	s, held, err := tuf.Refresh(f.Context(), f.held, f.env.Clock.Now(), func(ctx context.Context, name string, _ int64) ([]byte, error) {
		return metadata.Serve(ctx, f.store, name)
	})
	f.held = held
	return s, err
}

// lists demands what the robot sees, as "0.2.1 listed".
func (f *fleet) lists(want ...string) tuf.State {
	f.Helper()
	s, err := f.robot()
	if err != nil {
		f.Fatal(err)
	}
	var got []string
	for _, file := range s.Files {
		got = append(got, file.Version.String()+" "+string(file.Status))
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		f.Errorf("the robot sees %q, want %q", got, want)
	}
	return s
}

func TestTheServerListsWhatIsPublished(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		f := newFleet(t, env)
		k := f.keeper(true)
		if err := k.Renew(t.Context()); !errors.Is(err, metadata.ErrNotSetUp) {
			t.Errorf("without a root: %v", err)
		}
		f.take(f.owner.First())
		f.publish("0.2.0")
		f.renew(k)
		before := f.lists("0.2.0 listed")
		f.renew(k) // nothing is due
		if s := f.lists("0.2.0 listed"); s.Timestamp != before.Timestamp || s.Targets != before.Targets {
			t.Errorf("signed without need: %+v, %+v", before, s)
		}
		f.publish("0.2.1")
		f.withdraw("0.2.0")
		f.renew(k)
		f.lists("0.2.0 withdrawn", "0.2.1 listed")
		f.update(func(tx *store.Tx) error { return tx.RevokeKey(t.Context(), f.key.ID(), "me", "stolen") })
		f.renew(k)
		f.lists("0.2.0 withdrawn", "0.2.1 withdrawn")
		// Two months pass, in which the server is away half of the time.
		for range 2 * 60 {
			env.Clock.Add(12 * time.Hour)
			if _, err := f.robot(); err != nil {
				t.Fatalf("at %v: %v", env.Clock.Now(), err)
			}
			f.renew(k)
		}
		env.Clock.Add(25 * time.Hour)
		var r *tuf.Refused
		if _, err := f.robot(); !errors.As(err, &r) || r.Reason != tuf.Expired {
			t.Errorf("a server that was away for a day: %v", err)
		}
	})
}

// Several servers with the same keys sign each thing once.
func TestSeveralServers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		f := newFleet(t, env)
		f.take(f.owner.First())
		f.publish("0.2.0")
		var g sync.WaitGroup
		for range 4 {
			k := f.keeper(true)
			g.Go(func() {
				if err := k.Renew(t.Context()); err != nil && !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
			})
		}
		g.Wait()
		s := f.lists("0.2.0 listed")
		if minute := env.Clock.Now().Unix() / 60; s.Timestamp.Version != minute || s.Snapshot.Version != minute || s.Targets.Version != minute {
			t.Errorf("%+v, want each to be version %d", s, minute)
		}
	})
}

// The list's key is with the owner: he signs a draft.
func TestTheOwnerSignsTheList(t *testing.T) {
	f := newFleet(t, storetest.SQLite(t))
	k := f.keeper(false)
	f.publish("0.2.0")
	f.take(f.owner.First())
	f.renew(k) // there is no list to sign for
	draft, err := metadata.Draft(t.Context(), f.store, 90*day, f.env.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = metadata.Import(t.Context(), f.store, draft, f.env.Clock.Now())
	refuses(t, err, tuf.TooFew, "targets")
	_, _, err = metadata.Import(t.Context(), f.store, tuftest.Signed(draft, f.owner.Online), f.env.Clock.Now())
	refuses(t, err, tuf.TooFew, "targets")
	list := tuftest.Signed(draft, f.owner.Targets)
	f.take(list)
	if _, fresh, err := metadata.Import(t.Context(), f.store, list, f.env.Clock.Now()); fresh || err != nil {
		t.Errorf("again: %v, %v", fresh, err)
	}
	f.renew(k)
	f.lists("0.2.0 listed")
	f.publish("0.2.1")
	f.renew(k)
	f.lists("0.2.0 listed")
	s, err := metadata.Stand(t.Context(), f.store, f.env.Clock.Now())
	if err != nil || len(s.Documents) != 4 || strings.Join(s.Differs, " ") != "standard-0.2.1" || s.Fault != "" {
		t.Errorf("%+v, %v", s, err)
	}
	_, _, err = metadata.Import(t.Context(), f.store, tuftest.Signed(draft, f.owner.Targets), f.env.Clock.Now())
	refuses(t, err, tuf.OlderThan, "ota-fleet metadata draft")
	_, _, err = metadata.Import(t.Context(), f.store, list, f.env.Clock.Now().Add(91*day))
	refuses(t, err, tuf.Expired, "sign a new one")
	f.env.Clock.Add(8 * day)
	if s, err = metadata.Stand(t.Context(), f.store, f.env.Clock.Now()); err != nil || !strings.Contains(s.Fault, "timestamp") {
		t.Errorf("%+v, %v", s, err)
	}
}

// The server was set back to a backup: robots have seen more than it knows.
func TestABackupIsNoAttack(t *testing.T) {
	f := newFleet(t, storetest.SQLite(t))
	f.take(f.owner.First())
	f.publish("0.2.0")
	f.renew(f.keeper(true))
	backup := f.store
	f.store = storetest.SQLite(t).Open(t) // another one goes on for a week
	f.update(func(tx *store.Tx) error { _, err := tx.AddKey(t.Context(), f.key.Public, "pub.der"); return err })
	f.take(f.owner.First())
	f.publish("0.2.0")
	for range 14 {
		f.renew(f.keeper(true))
		f.lists("0.2.0 listed")
		f.env.Clock.Add(12 * time.Hour)
	}
	f.store = backup
	f.renew(f.keeper(true))
	f.lists("0.2.0 listed")
}

func TestRotation(t *testing.T) {
	f := newFleet(t, storetest.SQLite(t))
	f.take(f.owner.First())
	f.publish("0.2.0")
	k := f.keeper(true)
	f.renew(k)
	f.lists("0.2.0 listed")
	thief := f.owner.Clone()
	f.owner.Online, f.owner.Targets = tuftest.Key(), tuftest.Key()
	thief.Rotate(f.env.Clock.Now(), 0)
	_, _, err := metadata.Import(t.Context(), f.store, thief.Documents["2.root.json"], f.env.Clock.Now())
	refuses(t, err, tuf.TooFew, "root")
	f.owner.Rotate(f.env.Clock.Now(), 1, 2)
	next := f.owner.Documents["2.root.json"]
	f.take(next)
	if _, fresh, err := metadata.Import(t.Context(), f.store, next, f.env.Clock.Now()); fresh || err != nil {
		t.Errorf("again: %v, %v", fresh, err)
	}
	// The keys that this server still has count no more, and it says so.
	if err := k.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), "root 2 does not name the key") {
		t.Errorf("with the old keys: %v", err)
	}
	f.renew(f.keeper(true))
	if s := f.lists("0.2.0 listed"); s.Root.Version != 2 {
		t.Errorf("%+v", s)
	}
	_, _, err = metadata.Import(t.Context(), f.store, f.owner.First(), f.env.Clock.Now())
	refuses(t, err, tuf.NotInOrder, "version 3 comes after 2")
	f.owner.Rotate(f.env.Clock.Now(), 1, 2)
	f.owner.Rotate(f.env.Clock.Now(), 1, 2)
	_, _, err = metadata.Import(t.Context(), f.store, f.owner.Documents["4.root.json"], f.env.Clock.Now())
	refuses(t, err, tuf.NotInOrder, "version 3 comes after 2, not 4")
}

func TestServe(t *testing.T) {
	f := newFleet(t, storetest.SQLite(t))
	f.take(f.owner.First())
	f.renew(f.keeper(true))
	for _, name := range []string{"", "1.root", "root.json", "01.root.json", "0.root.json", "-1.root.json", "2.root.json", "1.timestamp.json", "1.mirrors.json", "99999999999999999999.root.json", "../1.root.json"} {
		if b, err := metadata.Serve(t.Context(), f.store, name); err == nil {
			t.Errorf("%q: %s", name, b)
		}
	}
	if b, err := metadata.Serve(t.Context(), f.store, "1.root.json"); err != nil || string(b) != string(f.owner.First()) {
		t.Errorf("%s, %v", b, err)
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func refuses(t *testing.T, err error, code tuf.Code, words string) {
	t.Helper()
	var r *tuf.Refused
	if !errors.As(err, &r) || r.Reason != code || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v, want %s %q", err, code, words)
	}
}

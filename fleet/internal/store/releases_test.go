package store_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// One process publishes, another serves.
func TestPublishIsSeenElsewhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		server, publisher := env.Open(t), env.Open(t)
		know(t, server, key)
		want := []release.Release{of("basic", "0.2.9", file(1), release.Published), of("basic", "0.2.10", file(2), release.Stable), of("standard", "0.2.9", file(1), release.Published)}
		publish(t, publisher, file(2), want[1])
		publish(t, publisher, file(1), want[2], want[0])
		publish(t, publisher, file(1), want[0]) // again
		same(t, "releases", must(server.Releases(t.Context())), want)
		same(t, "by version", must(server.Release(t.Context(), "basic", v("0.2.10"))), want[1])
		same(t, "by name", must(server.ReleaseNamed(t.Context(), "standard-0.2.9")), want[2])
		_, err := server.Release(t.Context(), "industrial", v("0.2.9"))
		is(t, "one that is not there", err, store.ErrNotFound)

		f := must(server.OpenArtifact(t.Context(), want[0].SHA256))
		defer f.Close()
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, file(1)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func TestPublishedBecomesStable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		know(t, s, key)
		for _, step := range []struct{ publish, want release.Status }{
			{release.Published, release.Published}, {release.Stable, release.Stable}, {release.Published, release.Stable},
		} {
			publish(t, s, file(1), of("basic", "0.2.1", file(1), step.publish))
			if r := must(s.Release(t.Context(), "basic", v("0.2.1"))); r.Status != step.want {
				t.Errorf("published as %s it is %s", step.publish, r.Status)
			}
		}
	})
}

func TestNotPublished(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		know(t, s, key)
		publish(t, s, file(1), of("basic", "0.2.1", file(1), release.Published), of("basic", "0.2.2", file(1), release.Published))
		update(t, s, func(tx *store.Tx) error {
			return tx.SetStatus(t.Context(), "basic", v("0.2.2"), release.Withdrawn, "ann", "it bites")
		})
		stolen, foreign := keyringtest.Signers(1)[0].Public, keyringtest.Signers(1)[0].Public
		know(t, s, stolen)
		update(t, s, func(tx *store.Tx) error { return tx.RevokeKey(t.Context(), stolen.ID, "ann", "stolen") })
		before := must(s.Releases(t.Context()))

		by := func(id string) release.Release {
			r := of("basic", "0.2.3", file(3), release.Published)
			r.Key = id
			return r
		}
		var conflict *release.ConflictError
		var withdrawn *store.WithdrawnError
		for name, tt := range map[string]struct {
			file  []byte
			fresh []release.Release
			is    func(error) bool
		}{
			"another file": {file(2), []release.Release{of("standard", "0.2.1", file(2), release.Published), of("basic", "0.2.1", file(2), release.Published)}, func(err error) bool { return errors.As(err, &conflict) }},
			"withdrawn": {file(1), []release.Release{of("basic", "0.2.2", file(1), release.Published)}, func(err error) bool {
				return errors.As(err, &withdrawn) && strings.Contains(err.Error(), "was withdrawn on 2026-03-01 (it bites)")
			}},
			"a revoked key":         {file(3), []release.Release{by(stolen.ID)}, func(err error) bool { return errors.Is(err, store.ErrRevoked) }},
			"a foreign key":         {file(3), []release.Release{by(foreign.ID)}, func(err error) bool { return errors.Is(err, store.ErrNotFound) }},
			"a record of another":   {file(3), []release.Release{of("basic", "0.2.3", file(4), release.Published)}, func(err error) bool { return strings.Contains(err.Error(), "is of another file") }},
			"no release of a fleet": {file(3), []release.Release{of("deluxe", "0.2.3", file(3), release.Published)}, func(err error) bool { return errors.Is(err, release.ErrRelease) }},
		} {
			if err := s.Publish(t.Context(), tt.file, tt.fresh); err == nil || !tt.is(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		same(t, "releases", must(s.Releases(t.Context())), before)
		if files := must(os.ReadDir(filepath.Join(env.Dir, "artifacts"))); len(files) != 1 {
			t.Errorf("files: %v", files)
		}
	})
}

// Several publishers at once lose nothing.
func TestPublishersTakeTurns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		const n = 8
		know(t, env.Open(t), key)
		var wg sync.WaitGroup
		for i := range byte(n) {
			s := env.Open(t)
			wg.Go(func() {
				r := of("basic", "0.2."+string('1'+rune(i)), file(i), release.Published)
				if err := s.Publish(t.Context(), file(i), []release.Release{r}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := must(env.Open(t).Releases(t.Context())); len(got) != n {
			t.Errorf("%d releases of %d", len(got), n)
		}
	})
}

func TestStatus(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		know(t, s, key)
		publish(t, s, file(1), of("basic", "0.2.1", file(1), release.Published), of("standard", "0.2.1", file(1), release.Published))
		set := func(sku string, to release.Status) error {
			return s.Update(t.Context(), "set", func(tx *store.Tx) error { return tx.SetStatus(t.Context(), sku, v("0.2.1"), to, "ann", "because") })
		}
		live := func() bool { return must(s.Artifact(t.Context(), of("", "0.2.1", file(1), "").SHA256)).Live }
		if !live() {
			t.Error("published is not live")
		}
		is(t, "stable", set("basic", release.Stable), nil)
		is(t, "withdrawn", set("basic", release.Withdrawn), nil)
		if !live() {
			t.Error("withdrawn for one SKU it is dead for the other")
		}
		is(t, "withdrawn again", set("basic", release.Withdrawn), nil)
		is(t, "back", set("basic", release.Stable), store.ErrConflict)
		is(t, "unknown", set("industrial", release.Stable), store.ErrNotFound)
		is(t, "withdrawn", set("standard", release.Withdrawn), nil)
		if live() {
			t.Error("withdrawn is live")
		}
		r := must(s.Release(t.Context(), "basic", v("0.2.1")))
		if r.Status != release.Withdrawn || r.By != "ann" || r.Reason != "because" || !r.Changed.Equal(storetest.Noon()) {
			t.Errorf("got %+v", r)
		}
	})
}

// A key that is revoked takes all that it signed along, at once and for ever.
func TestRevokedKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		know(t, s, key)
		publish(t, s, file(1), of("basic", "0.2.1", file(1), release.Stable), of("basic", "0.2.2", file(1), release.Published))
		update(t, s, func(tx *store.Tx) error { return tx.RevokeKey(t.Context(), key.ID, "ann", "stolen") })
		for _, r := range must(s.Releases(t.Context())) {
			if r.Status != release.Revoked || r.Live() || r.By != "ann" || r.Reason != "stolen" {
				t.Errorf("got %+v", r)
			}
		}
		if must(s.Artifact(t.Context(), of("", "0.2.1", file(1), "").SHA256)).Live {
			t.Error("it is served")
		}
		if got := must(s.Offered(t.Context(), "basic", "r1")); len(got) > 0 {
			t.Errorf("offered: %v", got)
		}
		if got := must(s.Trusted(t.Context())).IDs(); len(got) != 0 {
			t.Errorf("trusted: %v", got)
		}
		update(t, s, func(tx *store.Tx) error {
			if fresh, err := tx.AddKey(t.Context(), key, "again"); err != nil || fresh {
				t.Errorf("it is new: %v, %v", fresh, err)
			}
			return tx.RevokeKey(t.Context(), key.ID, "bob", "again")
		})
		if k := must(s.Key(t.Context(), key.ID)); k.By != "ann" || k.Revoked.IsZero() || k.Public.ID != key.ID {
			t.Errorf("got %+v", k)
		}
		// One that was never seen can be revoked as well.
		other := keyringtest.Signers(1)[0].Public
		update(t, s, func(tx *store.Tx) error { return tx.RevokeKey(t.Context(), other.ID, "ann", "stolen") })
		know(t, s, other)
		if got := must(s.Trusted(t.Context())).IDs(); slices.Contains(got, other.ID) {
			t.Errorf("trusted: %v", got)
		}
		if k := must(s.Key(t.Context(), other.ID)); k.Public.ID != other.ID || k.Revoked.IsZero() {
			t.Errorf("got %+v", k)
		}
	})
}

func TestArtifactNamesAreHashes(t *testing.T) {
	env := storetest.SQLite(t)
	s := env.Open(t)
	for _, name := range []string{"", "..", "../fleet.db", strings.Repeat("A", 64), strings.Repeat("0", 64), strings.Repeat("../", 22)[:64]} {
		_, err := s.OpenArtifact(t.Context(), name)
		is(t, name, err, store.ErrNotFound)
		_, err = s.Artifact(t.Context(), name)
		is(t, name, err, store.ErrNotFound)
	}
	link := strings.Repeat("0", 64)
	if err := os.Symlink("/etc/hostname", filepath.Join(env.Dir, "artifacts", link)); err != nil {
		t.Fatal(err)
	}
	if f, err := s.OpenArtifact(t.Context(), link); err == nil {
		f.Close()
		t.Error("a symbolic link is followed")
	}
}

package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestPatches(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		know(t, s, key)
		one, two, three := of("basic", "0.2.0", file(1), release.Stable), of("basic", "0.2.1", file(2), release.Stable), of("basic", "0.2.2", file(3), release.Published)
		for i, r := range []release.Release{one, two, three} {
			publish(t, s, file(byte(i+1)), r)
		}
		keep := func(from, to release.Release, b []byte) {
			t.Helper()
			if err := s.KeepPatch(t.Context(), store.Patch{From: from.SHA256, To: to.SHA256, Size: 900}, b); err != nil {
				t.Fatal(err)
			}
		}
		keep(one, three, []byte("a long patch"))
		keep(two, three, []byte("a patch"))
		keep(two, three, []byte("another")) // the first stays
		keep(one, two, nil)
		made := must(s.Patches(t.Context()))
		if len(made) != 3 {
			t.Fatalf("made %+v", made)
		}
		p := must(s.PatchTo(t.Context(), three.SHA256, []string{strings.Repeat("0a", 32), one.SHA256, two.SHA256}))
		if p.From != two.SHA256 || p.Size != 7 || !p.Kept() || !p.Made.Equal(storetest.Noon()) {
			t.Errorf("the smallest: %+v", p)
		}
		for name, ask := range map[string]struct {
			to   string
			from []string
		}{
			"from nothing":     {three.SHA256, nil},
			"one not kept":     {two.SHA256, []string{one.SHA256}},
			"the other way":    {one.SHA256, []string{three.SHA256}},
			"to what is there": {three.SHA256, []string{three.SHA256}},
		} {
			_, err := s.PatchTo(t.Context(), ask.to, ask.from)
			is(t, name, err, store.ErrNotFound)
		}
		a := must(s.Artifact(t.Context(), p.SHA256))
		if !a.Live || a.Size != 7 {
			t.Errorf("as an artifact: %+v", a)
		}
		f := must(s.OpenArtifact(t.Context(), p.SHA256))
		b := make([]byte, 10)
		if n, _ := f.Read(b); string(b[:n]) != "a patch" {
			t.Errorf("it holds %q", b[:n])
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if c := must(s.Check(t.Context())); c.Patches != 2 || len(c.Faults)+len(c.Unlisted) != 0 {
			t.Errorf("check: %+v", c)
		}

		// What robots may not have any more they do not get by a patch. Where the base
		// was called back, the way out of it is there.
		update(t, s, func(tx *store.Tx) error {
			return tx.SetStatus(t.Context(), "basic", two.Version, release.Withdrawn, "me", "it bites")
		})
		if a := must(s.Artifact(t.Context(), p.SHA256)); !a.Live {
			t.Error("the base was withdrawn, and the patch from it is gone")
		}
		update(t, s, func(tx *store.Tx) error {
			return tx.SetStatus(t.Context(), "basic", three.Version, release.Withdrawn, "me", "it bites")
		})
		if a := must(s.Artifact(t.Context(), p.SHA256)); a.Live {
			t.Error("what it makes was withdrawn, and it is still served")
		}

		path := filepath.Join(env.Dir, "artifacts", p.SHA256)
		if err := os.WriteFile(path, []byte("b patch"), 0o600); err != nil {
			t.Fatal(err)
		}
		if c := must(s.Check(t.Context())); len(c.Faults) != 1 || !strings.Contains(c.Faults[0], "is damaged") || !strings.Contains(c.Faults[0], "robots take the whole image instead") {
			t.Errorf("check: %+v", c)
		}
		for _, p := range made {
			if err := s.DropPatch(t.Context(), p); err != nil {
				t.Error(err)
			}
		}
		_, err := s.Artifact(t.Context(), p.SHA256)
		is(t, "dropped", err, store.ErrNotFound)
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("its file: %v", err)
		}
		for _, bad := range []store.Patch{{}, {From: "x", To: one.SHA256}, {From: one.SHA256, To: one.SHA256}} {
			if err := s.KeepPatch(t.Context(), bad, []byte("x")); err == nil {
				t.Errorf("kept %+v", bad)
			}
		}
		// Of artifacts that nobody knows there is no patch.
		if err := s.KeepPatch(t.Context(), store.Patch{From: strings.Repeat("0a", 32), To: one.SHA256}, bytes.Repeat([]byte{1}, 10)); err == nil {
			t.Error("kept a patch from nothing")
		}
	})
}

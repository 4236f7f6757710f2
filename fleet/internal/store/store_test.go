package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
)

func of(sku string, patch uint8, file []byte) release.Release {
	sum := sha256.Sum256(file)
	return release.Release{
		SKU: sku, Version: compat.Version{Minor: 2, Patch: patch}, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(file)),
		Protocol: 1, Name: fmt.Sprintf("%s-0.2.%d", sku, patch), AppSHA256: strings.Repeat("0a", 32), Key: "k",
		Published: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

func file(seed byte) []byte { return bytes.Repeat([]byte{seed}, 1000) }

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publish(t *testing.T, s *Store, f []byte, fresh ...release.Release) {
	t.Helper()
	if err := s.Publish(t.Context(), f, fresh); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, s *Store) int {
	t.Helper()
	all, err := s.Releases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// One process publishes, another serves: two stores over one folder.
func TestPublishIsSeenElsewhere(t *testing.T) {
	dir := t.TempDir()
	server, publisher := open(t, dir), open(t, dir)
	if n := count(t, server); n != 0 {
		t.Fatalf("%d releases", n)
	}
	for i := range uint8(5) {
		publish(t, publisher, file(i), of("basic", i+1, file(i)))
		if n := count(t, server); n != int(i)+1 {
			t.Errorf("%d releases after %d", n, i+1)
		}
	}
	publish(t, publisher, file(0), of("basic", 1, file(0)))
	if n := count(t, server); n != 5 {
		t.Errorf("%d releases after one was published again", n)
	}
	f, err := server.Artifact(t.Context(), of("basic", 1, file(0)).SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, file(0)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestConflictLeavesEverythingAsItWas(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	publish(t, s, file(1), of("basic", 1, file(1)))
	var conflict *release.ConflictError
	if err := s.Publish(t.Context(), file(2), []release.Release{of("standard", 1, file(2)), of("basic", 1, file(2))}); !errors.As(err, &conflict) {
		t.Errorf("got %v", err)
	}
	if n := count(t, s); n != 1 {
		t.Errorf("%d releases", n)
	}
	if _, err := s.Artifact(t.Context(), of("basic", 1, file(2)).SHA256); !errors.Is(err, ErrNotFound) {
		t.Errorf("its file: %v", err)
	}
	if err := s.Publish(t.Context(), file(3), []release.Release{of("basic", 3, file(4))}); err == nil {
		t.Error("a release of another file is published")
	}
}

// Several publishers at once lose nothing.
func TestPublishersTakeTurns(t *testing.T) {
	dir := t.TempDir()
	const n = 8
	var wg sync.WaitGroup
	for i := range uint8(n) {
		s := open(t, dir)
		wg.Go(func() {
			if err := s.Publish(t.Context(), file(i), []release.Release{of("basic", i+1, file(i))}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := count(t, open(t, dir)); got != n {
		t.Errorf("%d releases of %d", got, n)
	}
}

func TestDamagedList(t *testing.T) {
	good, err := json.Marshal(list{Schema: schema, Releases: []release.Release{of("basic", 1, file(1))}})
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{
		"":                           "EOF",
		string(good[:len(good)/2]):   "unexpected EOF",
		`{"schema":2,"releases":[]}`: "its schema is 2, this program knows 1",
		`{"schema":1,"extra":1}`:     `unknown field "extra"`,
		strings.Replace(string(good), `"sku":"basic"`, `"sku":"deluxe"`, 1):            "release 1: not a release: unknown SKU",
		strings.Replace(string(good), strings.Repeat("0a", 32), "../../etc/passwd", 1): "release 1: not a release: a SHA-256 is not",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "releases.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), dir)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "restore it from a backup") {
			t.Errorf("%.60s: got %v, want %s", content, err, want)
		}
	}
}

func TestArtifactNamesAreHashes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, name := range []string{"", "..", "../releases.json", strings.Repeat("A", 64), strings.Repeat("0", 64), strings.Repeat("../", 22)[:64]} {
		if _, err := s.Artifact(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	link := strings.Repeat("0", 64)
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "artifacts", link)); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Artifact(t.Context(), link); err == nil {
		f.Close()
		t.Error("a symbolic link is followed")
	}
}

func FuzzList(f *testing.F) {
	good, err := json.Marshal(list{Schema: schema, Releases: []release.Release{of("basic", 1, file(1))}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"schema":1,"releases":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parse(b)
		if err != nil {
			return
		}
		for _, r := range all {
			if !release.IsDigest(r.SHA256) || r.Size <= 0 || r.Version.IsZero() {
				t.Errorf("%q: %+v", b, r)
			}
		}
	})
}

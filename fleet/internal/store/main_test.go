package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(envKey); text != "" {
		key = must(image.ParseKeys(must(hex.DecodeString(text))))[0]
	}
	if os.Getenv(envDir) != "" {
		os.Exit(serveScript())
	}
	storetest.Main(m)
}

// keyText hands the key to another process.
func keyText() string { return hex.EncodeToString(key.DER()) }

// update runs a transaction that has to succeed.
func update(t testing.TB, s *store.Store, f func(tx *store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), "test", f); err != nil {
		t.Fatal(err)
	}
}

// must gives the value that there has to be.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func v(text string) compat.Version { return must(compat.ParseVersion(text)) }

// key is one whose images the tests publish.
var key = keyringtest.Signers(1)[0].Public

func know(t testing.TB, s *store.Store, k image.Key) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error { _, err := tx.AddKey(t.Context(), k, "pub.der"); return err })
}

// file is some signed file.
func file(seed byte) []byte { return bytes.Repeat([]byte{seed}, 1000) }

// of is a release of a file.
func of(sku, version string, file []byte, status release.Status) release.Release {
	sum := sha256.Sum256(file)
	return release.Release{
		SKU: sku, Version: v(version), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(file)), Protocol: 1,
		Name: fmt.Sprintf("%s-%s", sku, version), AppSHA256: strings.Repeat("0a", 32), Key: key.ID,
		Published: storetest.Noon(), Changed: storetest.Noon(), Status: status,
	}
}

func publish(t testing.TB, s *store.Store, f []byte, fresh ...release.Release) {
	t.Helper()
	if err := s.Publish(t.Context(), f, fresh); err != nil {
		t.Fatal(err)
	}
}

// same compares two values by what they hold as JSON.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	g, w := must(json.Marshal(got)), must(json.Marshal(want))
	if !bytes.Equal(g, w) {
		t.Errorf("%s: got %s\nwant %s", what, g, w)
	}
}

// is demands an error of a kind.
func is(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got %v, want %v", what, err, target)
	}
}

package emergency

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(envDir) != "" {
		os.Exit(serveScript())
	}
	storetest.Main(m)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func v(text string) compat.Version { return must(compat.ParseVersion(text)) }

// signers of a fleet: the key that is stolen, and the one after it.
var signers = keyringtest.Signers(2)

// of is a release of a file of that seed.
func of(sku, version string, seed byte, status release.Status) release.Release {
	sum := sha256.Sum256(file(seed))
	return release.Release{
		SKU: sku, Version: v(version), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(file(seed))), Protocol: 1,
		Name: fmt.Sprintf("%s-%s", sku, version), AppSHA256: strings.Repeat("0a", 32), Key: signers[0].Public.ID,
		Published: storetest.Noon(), Changed: storetest.Noon(), Status: status,
	}
}

func file(seed byte) []byte { return bytes.Repeat([]byte{seed}, 1000) }

func update(t testing.TB, s *store.Store, f func(tx *store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), "test", f); err != nil {
		t.Fatal(err)
	}
}

// fleet makes robots r1 to r4 of the SKU standard and b1 of basic, publishes
// 0.2.0 for both SKUs, and 0.2.1, which is one file, too.
func fleet(t testing.TB, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	update(t, s, func(tx *store.Tx) error {
		if _, err := tx.AddKey(ctx, signers[0].Public, "pub.der"); err != nil {
			return err
		}
		for id, sku := range map[string]string{"r1": "standard", "r2": "standard", "r3": "standard", "r4": "standard", "b1": "basic"} {
			if err := tx.AddRobot(ctx, store.Robot{ID: id, SKU: sku}); err != nil {
				return err
			}
		}
		return nil
	})
	for seed, version := range map[byte]string{1: "0.2.0", 2: "0.2.1"} {
		fresh := []release.Release{of("standard", version, seed, release.Stable), of("basic", version, seed, release.Published)}
		if err := s.Publish(ctx, file(seed), fresh); err != nil {
			t.Fatal(err)
		}
	}
	update(t, s, func(tx *store.Tx) error {
		return tx.SetStatus(ctx, "standard", v("0.2.1"), release.Published, "test", "not yet")
	})
}

// says lets a robot report itself.
func says(t testing.TB, s *store.Store, id string, state store.RobotState) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error { return tx.SetState(t.Context(), id, state) })
}

func runs(version string) store.RobotState {
	return store.RobotState{Version: v(version), Online: true}
}

func lines(t testing.TB, s *store.Store, incident string) string {
	t.Helper()
	var out strings.Builder
	for _, e := range must(s.Entries(t.Context(), incident)) {
		fmt.Fprintf(&out, "%s: %s\n", e.By, e.Text)
	}
	return out.String()
}

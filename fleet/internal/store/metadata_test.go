package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestMetadata(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		add := func(role string, version int64) error {
			return s.Update(t.Context(), "metadata", func(tx *store.Tx) error {
				return tx.AddMetadata(t.Context(), store.Metadata{Role: role, Version: version, Document: fmt.Appendf(nil, "%s %d", role, version)})
			})
		}
		if m, err := s.NewestMetadata(t.Context(), "root"); err != nil || m.Version != 0 || len(m.Document) > 0 {
			t.Fatalf("%+v, %v", m, err)
		}
		for v := int64(1); v <= 20; v++ {
			for _, role := range []string{"root", "snapshot"} {
				if err := add(role, 10*v); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := add("snapshot", 200); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the same version again: %v", err)
		}
		if err := add("mirrors", 1); err == nil {
			t.Error("a role that there is not")
		}
		if c, err := s.Check(t.Context()); err != nil || len(c.Faults) != 20+16+19 || !strings.Contains(strings.Join(c.Faults, " "), "root 191 is missing") {
			t.Errorf("%+v, %v", c, err)
		}
		m, err := s.NewestMetadata(t.Context(), "snapshot")
		if err != nil || m.Version != 200 || string(m.Document) != "snapshot 200" {
			t.Errorf("%+v, %v", m, err)
		}
		for role, wants := range map[string]map[int64]bool{"root": {10: true, 200: true, 11: false}, "snapshot": {40: false, 50: true, 200: true}, "timestamp": {1: false}} {
			for v, want := range wants {
				if _, err := s.Metadata(t.Context(), role, v); errors.Is(err, store.ErrNotFound) == want || want && err != nil {
					t.Errorf("%d.%s: %v", v, role, err)
				}
			}
		}
	})
}

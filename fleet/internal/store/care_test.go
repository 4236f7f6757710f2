package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func stock(t *testing.T, s *store.Store) []release.Release {
	t.Helper()
	know(t, s, key)
	publish(t, s, file(1), of("basic", "0.2.1", file(1), release.Stable), of("standard", "0.2.1", file(1), release.Published))
	publish(t, s, file(2), of("basic", "0.2.2", file(2), release.Published))
	return must(s.Releases(t.Context()))
}

func TestCheck(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		all := stock(t, s)
		c, err := s.Check(t.Context())
		if err != nil || c.Form != 6 || c.Releases != 3 || c.Artifacts != 2 || len(c.Faults)+len(c.Unlisted) > 0 {
			t.Fatalf("%+v, %v", c, err)
		}
		artifact := func(sum string) string { return filepath.Join(env.Dir, "artifacts", sum) }
		if err := os.Chmod(artifact(all[0].SHA256), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(artifact(all[0].SHA256), file(9), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(artifact(all[1].SHA256)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(artifact("left-behind"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err = s.Check(t.Context())
		if err != nil || len(c.Faults) != 2 || !strings.Contains(c.Faults[0], "basic-0.2.1: artifacts/"+all[0].SHA256+" is damaged") ||
			!strings.Contains(c.Faults[1], "basic-0.2.2: store: artifact") || len(c.Unlisted) != 1 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func TestCheckFindsWhatNobodyNames(t *testing.T) {
	env := storetest.SQLite(t)
	s := env.Open(t)
	stock(t, s)
	db := must(sql.Open("sqlite", filepath.Join(env.Dir, store.File)))
	defer db.Close()
	if _, err := db.Exec("DELETE FROM signing_keys"); err != nil { // without foreign keys, as a stray tool would
		t.Fatal(err)
	}
	c, err := s.Check(t.Context())
	if err != nil || len(c.Faults) == 0 || !strings.Contains(c.Faults[0], "a row of artifacts names one of signing_keys that is not there") {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestBackup(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		all := stock(t, s)
		dir := filepath.Join(t.TempDir(), "it's a backup")
		err := s.Backup(t.Context(), dir)
		if env.DB != "" {
			is(t, "PostgreSQL", err, store.ErrNoBackup)
			if files := must(os.ReadDir(filepath.Join(dir, "artifacts"))); len(files) != 2 {
				t.Errorf("artifacts: %v", files)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Backup(t.Context(), dir); err == nil {
			t.Error("a backup is overwritten")
		}
		publish(t, s, file(3), of("basic", "0.2.3", file(3), release.Published)) // afterwards
		env.Dir = dir
		copied := env.Open(t)
		same(t, "releases", must(copied.Releases(t.Context())), all)
		if c, err := copied.Check(t.Context()); err != nil || len(c.Faults)+len(c.Unlisted) > 0 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

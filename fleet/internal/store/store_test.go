package store_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// Several processes begin with an empty database at once.
func TestOpenTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				s, err := store.Open(t.Context(), store.Options{Dir: env.Dir, DB: env.DB, Now: env.Clock.Now})
				if err != nil {
					t.Error(err)
					return
				}
				if all, err := s.Releases(t.Context()); err != nil || len(all) > 0 {
					t.Errorf("%v, %v", all, err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestNotOpened(t *testing.T) {
	env := storetest.SQLite(t)
	good := store.Options{Dir: env.Dir, Now: env.Clock.Now}
	for want, change := range map[string]func(*store.Options){
		"no folder":                    func(o *store.Options) { o.Dir = "" },
		"no clock":                     func(o *store.Options) { o.Now = nil },
		"want postgres://":             func(o *store.Options) { o.DB = "mysql://x" },
		"address is not understood":    func(o *store.Options) { o.DB = "postgres://x:y:z" },
		"connect to /nowhere:5432/abc": func(o *store.Options) { o.DB = "postgres://me@/abc?host=/nowhere" },
	} {
		o := good
		change(&o)
		if _, err := store.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestNamesOfFolders(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"data", "./a/b", "100% #1?", "a b&c=d", filepath.Join(t.TempDir(), "über")} {
		env := storetest.SQLite(t)
		env.Dir = dir
		env.Open(t)
		if _, err := os.Stat(filepath.Join(dir, store.File)); err != nil {
			t.Error(err)
		}
	}
}

func TestDamagedDatabase(t *testing.T) {
	env := storetest.SQLite(t)
	if err := os.WriteFile(filepath.Join(env.Dir, store.File), []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), store.Options{Dir: env.Dir, Now: env.Clock.Now})
	if err == nil || !strings.Contains(err.Error(), "cannot be used") || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Errorf("got %v", err)
	}
}

// A program from before an update leaves the database alone.
func TestNewerDatabase(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		env.Open(t)
		driver, address := "sqlite", filepath.Join(env.Dir, store.File)
		if env.DB != "" {
			driver, address = "pgx", env.DB
		}
		db := must(sql.Open(driver, address))
		defer db.Close()
		if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)"); err != nil {
			t.Fatal(err)
		}
		_, err := store.Open(t.Context(), store.Options{Dir: env.Dir, DB: env.DB, Now: env.Clock.Now})
		if err == nil || !strings.Contains(err.Error(), "was changed by a newer ota-fleet (form 9999") {
			t.Errorf("got %v", err)
		}
	})
}

// The database holds hashes of tokens and passwords.
func TestNobodyElseReadsTheDatabase(t *testing.T) {
	env := storetest.SQLite(t)
	s := env.Open(t)
	know(t, s, key)
	for _, name := range []string{store.File, store.File + "-wal"} {
		info, err := os.Stat(filepath.Join(env.Dir, name))
		if err != nil || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestTransactions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s, other := env.Open(t), env.Open(t)
		no := errors.New("no")
		for name, run := range map[string]func(f func(*store.Tx) error) error{
			"update": func(f func(*store.Tx) error) error { return s.Update(t.Context(), "try", f) },
			"note":   func(f func(*store.Tx) error) error { return s.Note(t.Context(), "try", f) },
		} {
			// What fails leaves nothing behind.
			err := run(func(tx *store.Tx) error {
				if err := tx.AddRobot(t.Context(), store.Robot{ID: name, SKU: "basic"}); err != nil {
					return err
				}
				return no
			})
			if !errors.Is(err, no) || err.Error() != "no" {
				t.Errorf("%s: got %v", name, err)
			}
			if _, err := other.Robot(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: a robot of a transaction that failed: %v", name, err)
			}
			err = run(func(tx *store.Tx) error {
				_, err := tx.AddEvent(t.Context(), store.Event{Robot: "nobody", ID: "x", Received: storetest.Noon()})
				return err
			})
			if err == nil || !strings.HasPrefix(err.Error(), "store: try: ") {
				t.Errorf("%s: an event of nobody: %v", name, err)
			}
			// What is done is seen by all, but not before.
			err = run(func(tx *store.Tx) error {
				if err := tx.AddRobot(t.Context(), store.Robot{ID: name, SKU: "basic"}); err != nil {
					return err
				}
				if _, err := tx.Robot(t.Context(), name); err != nil {
					t.Errorf("%s: its own robot: %v", name, err)
				}
				if _, err := other.Robot(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s: seen before it counts: %v", name, err)
				}
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := other.Robot(t.Context(), name); err != nil {
				t.Errorf("%s: not seen: %v", name, err)
			}
		}
	})
}

// Transactions that read, think and write lose nothing of each other.
func TestNoLostUpdate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		first, second := env.Open(t), env.Open(t)
		update(t, first, func(tx *store.Tx) error { return tx.AddRobot(t.Context(), store.Robot{ID: "r1", SKU: "basic"}) })
		update(t, first, func(tx *store.Tx) error { return tx.SetState(t.Context(), "r1", store.RobotState{}) })
		const n = 20
		add := func(tx *store.Tx) error {
			r, err := tx.Robot(t.Context(), "r1")
			if err != nil {
				return err
			}
			r.State.Seq++
			return tx.SetState(t.Context(), "r1", r.State)
		}
		var wg sync.WaitGroup
		for _, s := range []*store.Store{first, second} {
			wg.Go(func() {
				for range n {
					if err := s.Note(t.Context(), "count", add); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Go(func() {
				for range n {
					if err := s.Update(t.Context(), "count", add); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if r := must(first.Robot(t.Context(), "r1")); r.State.Seq != 4*n {
			t.Errorf("counted to %d instead of %d", r.State.Seq, 4*n)
		}
	})
}

// A view is of one moment.
func TestView(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		err := s.View(t.Context(), func(r *store.Reader) error {
			before, err := r.CountRobots(t.Context())
			if err != nil {
				return err
			}
			update(t, s, func(tx *store.Tx) error { return tx.AddRobot(t.Context(), store.Robot{ID: "r1", SKU: "basic"}) })
			after, err := r.CountRobots(t.Context())
			if len(before) != 0 || len(after) != 0 {
				t.Errorf("%v, then %v", before, after)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		same(t, "afterwards", must(s.CountRobots(t.Context())), map[string]int{"basic": 1})
	})
}

// Package storetest runs tests against stores of both kinds, SQLite and
// PostgreSQL. It is for tests only.
//
// PostgreSQL is a server of its own for each test binary, started by the first
// test that wants it: a fresh cluster in a folder in /tmp, reached by a socket
// in it, ended with the binary. Its programs are those in
// $ROBOT_OTA_POSTGRES, or else the newest in /usr/lib/postgresql; where there
// are none, tests say that they leave it out. It refuses to run as root: there
// it runs as postgres, or nobody.
package storetest

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Main runs the tests of a package, ends PostgreSQL, and looks for goroutines
// left behind. Where all tests were run it makes the checks as well.
func Main(m *testing.M, checks ...func() error) {
	code := m.Run()
	Stop()
	if selected := flag.Lookup("test.run"); code == 0 && selected.Value.String() == "" && flag.Lookup("test.list").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == "" {
		for _, check := range checks {
			if err := check(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// Noon is when tests begin.
func Noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// Clock is a clock that tests set. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is what it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add lets time pass.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Env is an empty fleet: a folder and a database.
type Env struct {
	Dir   string
	DB    string // "": SQLite in Dir
	Clock *Clock
}

// Each runs a test for each kind of database.
func Each(t *testing.T, test func(t *testing.T, env Env)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite is an empty fleet on SQLite.
func SQLite(t testing.TB) Env {
	t.Helper()
	return Env{Dir: t.TempDir(), Clock: &Clock{now: Noon()}}
}

// Postgres is an empty fleet on PostgreSQL.
func Postgres(t testing.TB) Env {
	t.Helper()
	return Env{Dir: t.TempDir(), DB: database(t), Clock: &Clock{now: Noon()}}
}

// Open opens the fleet's store, once more where it is open; the end of the test
// closes it.
func (e Env) Open(t testing.TB, options ...func(*store.Options)) *store.Store {
	t.Helper()
	o := store.Options{Dir: e.Dir, DB: e.DB, Now: e.Clock.Now}
	for _, set := range options {
		set(&o)
	}
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

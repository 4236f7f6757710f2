package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// What callers decide on. All are wrapped with what was being done.
var (
	// ErrNotFound says that there is no such row or file, or none of a robot
	// or rollout that a row was to be of.
	ErrNotFound = errors.New("not found")
	// ErrExists says that something of that name is there already.
	ErrExists = errors.New("it is there already")
	// ErrConflict says that what was to be changed was changed by somebody else
	// meanwhile: read it again and decide again.
	ErrConflict = errors.New("it was changed meanwhile")
	// ErrFenced says that the lease was lost: somebody else decides now.
	ErrFenced = errors.New("the lease is lost")
)

// Options say where the fleet's data are.
type Options struct {
	// Dir holds the artifacts and, with SQLite, fleet.db. It is made where it
	// is missing.
	Dir string
	// DB is postgres://…, or empty for SQLite.
	DB string
	// Now is the clock, time.Now outside of tests and simulations.
	Now func() time.Time
	// Probe, for tests, is called at the points of each writing transaction. It
	// may end the process.
	Probe func(p Point, transaction string)
}

// Point is a place in a transaction.
type Point int

// The points.
const (
	// BeforeCommit: everything was written, and nothing of it counts.
	BeforeCommit Point = iota
	// AfterCommit: all of it counts, and nobody knows yet.
	AfterCommit
)

// Store is the fleet's memory. It is safe for concurrent use, by several
// processes as well.
type Store struct {
	Reader
	db    *database
	dir   string
	now   func() time.Time
	probe func(Point, string)
}

// Open opens the store and brings its tables to the form that this program
// knows. It refuses a database that a newer program has changed.
func Open(ctx context.Context, o Options) (*Store, error) {
	switch {
	case o.Dir == "":
		return nil, errors.New("store: no folder for the artifacts")
	case o.Now == nil:
		return nil, errors.New("store: no clock")
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "artifacts"), 0o750); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if o.Probe == nil {
		o.Probe = func(Point, string) {}
	}
	db, err := connect(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	var read querier = db.read
	if db.name == "sqlite" {
		read = newPrepared(db.read)
	}
	s := &Store{Reader: Reader{q: read}, db: db, dir: o.Dir, now: o.Now, probe: o.Probe}
	if _, err := s.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return s, nil
}

func connect(ctx context.Context, o Options) (*database, error) {
	switch {
	case o.DB == "":
		return openSQLite(ctx, o.Dir)
	case strings.HasPrefix(o.DB, "postgres://"), strings.HasPrefix(o.DB, "postgresql://"):
		return openPostgres(ctx, o.DB)
	}
	return nil, errors.New("the database's address is not understood: want postgres://user@host/database, or none for SQLite")
}

// Close lets go of the database.
func (s *Store) Close() error {
	if err := s.db.close(); err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

// Dialect names the database: sqlite or postgres.
func (s *Store) Dialect() string { return s.db.name }

// Ready says why nothing can be read now; nil: all is well.
func (s *Store) Ready(ctx context.Context) error {
	if _, err := number(ctx, s.q, `SELECT count(*) FROM leases`); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"
)

// Reader reads. A Store's sees what was committed last with each call, that of
// a View or a Tx one state of everything.
type Reader struct {
	q querier
}

// querier is a database, a transaction or a connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Tx is a transaction that writes: all of it counts, or nothing. It is used by
// one goroutine, and not after the function that got it has returned.
type Tx struct {
	Reader
	db  *database
	now func() time.Time
}

// Update runs f in a transaction as if nobody else wrote meanwhile, and makes
// what it did durable. The name says what is being done, in errors: "publish".
// f may run more than once, so it has no effects but those on tx.
func (s *Store) Update(ctx context.Context, name string, f func(tx *Tx) error) error {
	return s.retried(ctx, name, func() error { return s.once(ctx, name, s.db.durable, s.db.durableOptions, "", f) })
}

// Note is Update for what robots will say again: faster, but a power cut, not
// the end of the process, may lose what was noted in the last second.
func (s *Store) Note(ctx context.Context, name string, f func(tx *Tx) error) error {
	return s.retried(ctx, name, func() error { return s.once(ctx, name, s.db.loose, s.db.looseOptions, s.db.beginLoose, f) })
}

// View runs f over one state of everything.
func (s *Store) View(ctx context.Context, f func(r *Reader) error) error {
	t, err := s.db.read.BeginTx(ctx, s.db.readOptions)
	if err != nil {
		return fmt.Errorf("store: read: %w", err)
	}
	defer func() { _ = t.Rollback() }() // it has read only
	return f(&Reader{q: t})
}

func (s *Store) once(ctx context.Context, name string, db *sql.DB, o *sql.TxOptions, begin string, f func(tx *Tx) error) error {
	release, err := s.db.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	t, err := db.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback() }() // after a commit it does nothing
	if begin != "" {
		if _, err := t.ExecContext(ctx, begin); err != nil {
			return err
		}
	}
	if err := f(&Tx{Reader: Reader{q: t}, db: s.db, now: s.now}); err != nil {
		return err
	}
	s.probe(BeforeCommit, name)
	if err := t.Commit(); err != nil {
		return err
	}
	s.probe(AfterCommit, name)
	return nil
}

// How often and how soon a transaction that another one disturbed is tried again.
const (
	tries     = 12
	firstWait = 2 * time.Millisecond
)

// retried runs a transaction until no other disturbs it.
func (s *Store) retried(ctx context.Context, name string, once func() error) error {
	wait := firstWait
	for try := 1; ; try++ {
		err := once()
		if err == nil {
			return nil
		}
		if try == tries || !s.db.again(err) {
			return s.told(name, err)
		}
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("store: %s: %w", name, context.Cause(ctx))
		}
		wait = min(2*wait, 200*time.Millisecond)
	}
}

// told adds to a database's error what was being done, and what callers decide
// on. What the transaction's function said by itself says enough.
func (s *Store) told(name string, err error) error {
	switch {
	case !s.db.own(err):
		return err
	case s.db.exists(err):
		err = fmt.Errorf("%w: %w", ErrExists, err)
	case s.db.missing(err):
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return fmt.Errorf("store: %s: %w", name, err)
}

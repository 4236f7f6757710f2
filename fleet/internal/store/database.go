package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// database is what differs between SQLite and PostgreSQL.
type database struct {
	name string
	// read serves queries outside of transactions. durable and loose begin
	// transactions that a power cut does not lose, and that it may.
	read, durable, loose *sql.DB
	// turn, where there is one writer at a time, is whose it is; nil: there are many.
	turn chan struct{}
	// Isolation of each kind of transaction.
	readOptions, durableOptions, looseOptions *sql.TxOptions
	// begin is run at the beginning of a loose transaction; "": nothing.
	beginLoose string
	// share locks the rows that a query gives until the transaction ends.
	share string
	// clock is an SQL expression for the database's time in microseconds, now
	// that of this process.
	clock func(now time.Time) string
	// own tells the database's errors, again those after which the same
	// transaction may succeed, exists those that say that a row is there already,
	// and missing those that say that a row that is named is not there.
	own, again, exists, missing func(error) bool
}

func (d *database) close() error {
	var errs []error
	for _, db := range []*sql.DB{d.read, d.durable, d.loose} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// take waits for this process's turn to write.
func (d *database) take(ctx context.Context) (release func(), err error) {
	if d.turn == nil {
		return func() {}, nil
	}
	select {
	case d.turn <- struct{}{}:
		return func() { <-d.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

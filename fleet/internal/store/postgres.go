package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// SQLSTATEs that callers decide on.
const (
	pgUniqueViolation      = "23505"
	pgForeignKeyViolation  = "23503"
	pgSerializationFailure = "40001"
	pgDeadlock             = "40P01"
)

// Connections of one server to PostgreSQL.
const (
	pgConns    = 20
	pgIdle     = 5 * time.Minute
	pgLifetime = time.Hour // so that a fail-over is followed
)

// openPostgres opens a database on a server. Durable transactions are
// serializable: as on SQLite, each is as if it were alone. Loose ones see one
// snapshot, and of two that change the same row the later begins anew.
func openPostgres(ctx context.Context, address string) (*database, error) {
	cfg, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("the database's address is not understood: %w", err)
	}
	if _, set := cfg.RuntimeParams["application_name"]; !set {
		cfg.RuntimeParams["application_name"] = "ota-fleet"
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(pgConns)
	db.SetMaxIdleConns(pgConns)
	db.SetConnMaxIdleTime(pgIdle)
	db.SetConnMaxLifetime(pgLifetime)
	d := &database{
		name: "postgres", read: db, durable: db, loose: db,
		readOptions:    &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
		durableOptions: &sql.TxOptions{Isolation: sql.LevelSerializable},
		looseOptions:   &sql.TxOptions{Isolation: sql.LevelRepeatableRead},
		beginLoose:     "SET LOCAL synchronous_commit TO OFF",
		share:          " FOR SHARE",
		clock:          func(time.Time) string { return "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT" },
		own:            func(err error) bool { return pgCode(err) != "" },
		again: func(err error) bool {
			code := pgCode(err)
			return code == pgSerializationFailure || code == pgDeadlock
		},
		exists:  func(err error) bool { return pgCode(err) == pgUniqueViolation },
		missing: func(err error) bool { return pgCode(err) == pgForeignKeyViolation },
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s:%d/%s: %w", cfg.Host, cfg.Port, cfg.Database, err), db.Close())
	}
	return d, nil
}

func pgCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

package store

import (
	"context"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration is what Migrate found and did.
type Migration struct {
	From, To int64 // numbers of the last migration before and after
}

// Migrate brings the tables to the form that this program knows. Several
// processes may do so at once. Open has done it.
func (s *Store) Migrate(ctx context.Context) (Migration, error) {
	unlock, err := s.lockMigration(ctx)
	if err != nil {
		return Migration{}, fmt.Errorf("store: migrate: %w", err)
	}
	defer unlock()
	p, err := s.provider()
	if err != nil {
		return Migration{}, fmt.Errorf("store: migrate: %w", err)
	}
	from, knows, err := p.GetVersions(ctx)
	if err != nil {
		return Migration{}, fmt.Errorf("store: the database cannot be used: %w", err)
	}
	if from > knows {
		return Migration{}, fmt.Errorf("store: the database was changed by a newer ota-fleet (form %d, this one knows %d): use that one, or restore a backup", from, knows)
	}
	if from < knows {
		if _, err := p.Up(ctx); err != nil {
			return Migration{}, fmt.Errorf("store: migrate: %w", err)
		}
	}
	return Migration{From: from, To: knows}, nil
}

func (s *Store) provider() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	dialect := goose.DialectSQLite3
	if s.db.name == "postgres" {
		dialect = goose.DialectPostgres
	}
	return goose.NewProvider(dialect, s.db.durable, files, goose.WithDisableGlobalRegistry(true))
}

// lockMigration keeps other processes from changing the same tables.
func (s *Store) lockMigration(ctx context.Context) (func(), error) {
	if s.db.name == "postgres" {
		return s.lockPostgres(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // which unlocks
}

// lockPostgres takes a lock that ends with its connection, whatever happens.
func (s *Store) lockPostgres(ctx context.Context) (func(), error) {
	const key = "hashtext('ota-fleet migration of ' || current_schema())"
	c, err := s.db.durable.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.ExecContext(ctx, "SELECT pg_advisory_lock("+key+")"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return func() {
		if _, err := c.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock("+key+")"); err != nil {
			_ = c.Raw(func(any) error { return driver.ErrBadConn }) // not back into the pool
		}
		_ = c.Close()
	}, nil
}

// form is the number of the last migration.
func (s *Store) form(ctx context.Context) (int64, error) {
	p, err := s.provider()
	if err != nil {
		return 0, err
	}
	return p.GetDBVersion(ctx)
}

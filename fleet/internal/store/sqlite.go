package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// File is the name of SQLite's database in the folder.
const File = "fleet.db"

// busy is how long a writer waits for another process that writes.
const busy = 10 * time.Second

// openSQLite opens a folder's database. One connection writes at a time;
// readers see the last commit and wait for nobody (WAL).
func openSQLite(ctx context.Context, dir string) (*database, error) {
	path := filepath.Join(dir, File)
	// Made here, because it holds hashes of tokens: nobody else may read it.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	d := &database{
		name: "sqlite", turn: make(chan struct{}, 1),
		readOptions: &sql.TxOptions{ReadOnly: true},
		clock:       func(now time.Time) string { return strconv.FormatInt(stamp(now), 10) },
		own:         func(err error) bool { return sqliteCode(err) != 0 },
		again:       func(err error) bool { return sqliteCode(err)&0xff == lib.SQLITE_BUSY },
		exists: func(err error) bool {
			code := sqliteCode(err)
			return code == lib.SQLITE_CONSTRAINT_UNIQUE || code == lib.SQLITE_CONSTRAINT_PRIMARYKEY
		},
		missing: func(err error) bool { return sqliteCode(err) == lib.SQLITE_CONSTRAINT_FOREIGNKEY },
	}
	for _, c := range []struct {
		to    **sql.DB
		conns int
		dsn   string
	}{
		{&d.durable, 1, sqliteDSN(path, "immediate", "synchronous(FULL)")},
		{&d.loose, 1, sqliteDSN(path, "immediate", "synchronous(NORMAL)")},
		{&d.read, max(4, runtime.NumCPU()), sqliteDSN(path, "deferred", "query_only(1)")},
	} {
		connector, err := sqlite.NewConnector(c.dsn)
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		db := sql.OpenDB(connector)
		db.SetMaxOpenConns(c.conns)
		db.SetMaxIdleConns(c.conns)
		*c.to = db
	}
	if err := d.durable.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s cannot be used: %w; restore it from a backup", path, err), d.close())
	}
	return d, nil
}

func sqliteDSN(path, lock, pragma string) string {
	q := url.Values{"_txlock": {lock}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()), "journal_mode(WAL)", "foreign_keys(1)", pragma,
	}}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

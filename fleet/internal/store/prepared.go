package store

import (
	"context"
	"database/sql"
	"sync"
)

// prepared keeps the statements of a database prepared: SQLite takes longer to
// read most queries than to answer them. (pgx does so by itself.)
type prepared struct {
	*sql.DB
	mu    sync.Mutex
	known map[string]*sql.Stmt
}

// maxPrepared is more queries than there are; beyond it none is kept.
const maxPrepared = 256

func newPrepared(db *sql.DB) *prepared { return &prepared{DB: db, known: map[string]*sql.Stmt{}} }

// QueryContext answers a query.
func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.statement(ctx, query)
	if err != nil || s == nil {
		return p.DB.QueryContext(ctx, query, args...) // which tells what is wrong
	}
	return s.QueryContext(ctx, args...)
}

// statement finds or prepares one, which ends with the database; nil: there is
// no more room.
func (p *prepared) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.known[query]; ok || len(p.known) >= maxPrepared {
		return s, nil
	}
	s, err := p.PrepareContext(ctx, query)
	if err == nil {
		p.known[query] = s
	}
	return s, err
}

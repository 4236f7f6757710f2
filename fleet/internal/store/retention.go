package store

import (
	"context"
	"fmt"
	"time"
)

// Retention is for how long what only grows is kept. Releases, rollouts,
// decisions, commands and incidents are kept for ever: they are few.
type Retention struct {
	Events         time.Duration
	EventsPerRobot int
	Updates        time.Duration
	Health         time.Duration
	Downloads      time.Duration
}

// DefaultRetention keeps what a rollout looks at (a week before, and as long as
// it may take) and a year of what reports are made of.
func DefaultRetention() Retention {
	const days = 24 * time.Hour
	return Retention{Events: 90 * days, EventsPerRobot: 2000, Updates: 400 * days, Health: 60 * days, Downloads: 3 * days}
}

// piece is how many rows one transaction removes, so that nobody waits long.
const piece = 2000

// Prune removes what is older than it is to be kept, and sessions that have
// expired. It gives the number of rows that it removed.
func (s *Store) Prune(ctx context.Context, keep Retention) (int64, error) {
	now := s.now()
	before := func(d time.Duration) int64 { return stamp(now.Add(-d)) }
	var removed int64
	for _, p := range []struct {
		sql string
		arg int64
	}{
		{`DELETE FROM robot_events WHERE (robot_id, event_id) IN (SELECT robot_id, event_id FROM robot_events WHERE received < $1 LIMIT $2)`, before(keep.Events)},
		{`DELETE FROM robot_events WHERE (robot_id, event_id) IN (SELECT robot_id, event_id FROM (
			SELECT robot_id, event_id, ROW_NUMBER() OVER (PARTITION BY robot_id ORDER BY received DESC, seq DESC, event_id DESC) AS n FROM robot_events
			WHERE robot_id IN (SELECT robot_id FROM robot_events GROUP BY robot_id HAVING count(*) > $1)) AS ranked WHERE n > $1 LIMIT $2)`, int64(keep.EventsPerRobot)},
		{`DELETE FROM updates WHERE (robot_id, job_id) IN (SELECT robot_id, job_id FROM updates WHERE started < $1 LIMIT $2)`, before(keep.Updates)},
		{`DELETE FROM health WHERE (robot_id, hour, firmware) IN (SELECT robot_id, hour, firmware FROM health WHERE hour < $1 LIMIT $2)`, before(keep.Health)},
		{`DELETE FROM downloads WHERE (taker, day, sha256) IN (SELECT taker, day, sha256 FROM downloads WHERE day < $1 LIMIT $2)`, day(now.Add(-keep.Downloads))},
		{`DELETE FROM sessions WHERE id_hash IN (SELECT id_hash FROM sessions WHERE expires < $1 LIMIT $2)`, before(0)},
	} {
		for {
			var n int64
			err := s.Note(ctx, "prune", func(tx *Tx) (err error) {
				n, err = changed(ctx, tx.q, p.sql, p.arg, piece)
				return err
			})
			removed += n
			if err != nil {
				return removed, err
			}
			if n < piece {
				break
			}
		}
	}
	return removed, nil
}

// Count tells how many rows a table of history has: for metrics and tests.
func (r *Reader) Count(ctx context.Context, table HistoryTable) (int64, error) {
	switch table {
	case Events, Updates, Health, Downloads:
	default:
		return 0, fmt.Errorf("store: %q is no table of history", table)
	}
	n, err := number(ctx, r.q, `SELECT count(*) FROM `+string(table))
	if err != nil {
		return 0, fmt.Errorf("store: count: %w", err)
	}
	return n, nil
}

// HistoryTable is a table that grows and is pruned.
type HistoryTable string

// The tables that grow.
const (
	Events    HistoryTable = "robot_events"
	Updates   HistoryTable = "updates"
	Health    HistoryTable = "health"
	Downloads HistoryTable = "downloads"
)

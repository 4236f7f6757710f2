package store

import (
	"context"
	"fmt"
	"time"
)

// Lease says who may act, of several servers over one database. Its epoch goes
// up with every change of the holder, and each transaction that has to be the
// holder's checks it with Tx.Fence: whoever lost the lease without noticing
// changes nothing any more.
type Lease struct {
	Name   string
	Holder string // that no other process has, and no other start of this one
	Epoch  int64
	Until  time.Time // by the database's clock
}

// A HeldError says that somebody else has the lease.
type HeldError struct{ Lease Lease }

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s has the lease %s until %s", e.Lease.Holder, e.Lease.Name, e.Lease.Until.Format(time.RFC3339))
}

func scanLease(from row) (Lease, error) {
	var l Lease
	err := from.Scan(&l.Name, &l.Holder, &l.Epoch, moment{&l.Until})
	return l, err
}

// Acquire takes the lease for so long, or renews it; a *HeldError where
// somebody else has it. With PostgreSQL the database's clock counts.
func (s *Store) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error) {
	var got []Lease
	err := s.Update(ctx, "acquire lease "+name, func(tx *Tx) (err error) {
		now := s.db.clock(s.now())
		got, err = all(ctx, tx.q, scanLease, `INSERT INTO leases (name, holder, epoch, until) VALUES ($1, $2, 1, `+now+` + $3)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until,
				epoch = leases.epoch + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END
			WHERE leases.holder = excluded.holder OR leases.until <= `+now+`
			RETURNING name, holder, epoch, until`, name, holder, ttl.Microseconds())
		return err
	})
	if err != nil {
		return Lease{}, err
	}
	if len(got) > 0 {
		return got[0], nil
	}
	have, err := s.Lease(ctx, name)
	if err != nil {
		return Lease{}, err
	}
	return Lease{}, &HeldError{Lease: have}
}

// GiveUp lets go of a lease, so that another takes it at once. One that is
// lost already is let go of.
func (s *Store) GiveUp(ctx context.Context, l Lease) error {
	return s.Update(ctx, "give up lease "+l.Name, func(tx *Tx) error {
		return exec(ctx, tx.q, `UPDATE leases SET holder = '', until = 0 WHERE name = $1 AND holder = $2 AND epoch = $3`, l.Name, l.Holder, l.Epoch)
	})
}

// Lease tells who has, or had last, a lease.
func (r *Reader) Lease(ctx context.Context, name string) (Lease, error) {
	out, err := one(ctx, r.q, scanLease, `SELECT name, holder, epoch, until FROM leases WHERE name = $1`, name)
	if err != nil {
		return Lease{}, fmt.Errorf("store: lease %s: %w", name, err)
	}
	return out, nil
}

// Fence ends the transaction with ErrFenced unless the lease is still this one,
// and keeps others from taking it until the transaction has ended.
func (tx *Tx) Fence(ctx context.Context, l Lease) error {
	have, err := all(ctx, tx.q, scanLease, `SELECT name, holder, epoch, until FROM leases WHERE name = $1`+tx.db.share, l.Name)
	if err != nil {
		return err
	}
	if len(have) == 0 || have[0].Holder != l.Holder || have[0].Epoch != l.Epoch {
		return fmt.Errorf("%s, epoch %d: %w", l.Name, l.Epoch, ErrFenced)
	}
	return nil
}

package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestLease(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		a, b := env.Open(t), env.Open(t)
		// With PostgreSQL the database's clock counts, which cannot be set.
		ttl, pass := time.Hour, func() { env.Clock.Add(2 * time.Hour) }
		if a.Dialect() == "postgres" {
			ttl, pass = 300*time.Millisecond, func() { time.Sleep(400 * time.Millisecond) }
		}
		first, err := a.Acquire(t.Context(), "lead", "a", time.Hour)
		if err != nil || first.Epoch != 1 {
			t.Fatalf("%+v, %v", first, err)
		}
		_, err = b.Acquire(t.Context(), "lead", "b", time.Hour)
		var held *store.HeldError
		if !errors.As(err, &held) || held.Lease.Holder != "a" {
			t.Errorf("got %v", err)
		}
		first, err = a.Acquire(t.Context(), "lead", "a", ttl) // renewed
		if err != nil || first.Epoch != 1 {
			t.Fatalf("%+v, %v", first, err)
		}
		fenced := func(s *store.Store, l store.Lease) error {
			return s.Update(t.Context(), "decide", func(tx *store.Tx) error { return tx.Fence(t.Context(), l) })
		}
		is(t, "its holder", fenced(a, first), nil)
		pass()
		is(t, "nobody took it yet", fenced(a, first), nil)
		second, err := b.Acquire(t.Context(), "lead", "b", time.Hour)
		if err != nil || second.Epoch != 2 {
			t.Fatalf("%+v, %v", second, err)
		}
		is(t, "who lost it", fenced(a, first), store.ErrFenced)
		is(t, "who has it", fenced(b, second), nil)
		if err := a.GiveUp(t.Context(), first); err != nil {
			t.Error(err)
		}
		is(t, "who has it", fenced(b, second), nil)
		if err := b.GiveUp(t.Context(), second); err != nil {
			t.Error(err)
		}
		is(t, "who gave it up", fenced(b, second), store.ErrFenced)
		third, err := b.Acquire(t.Context(), "lead", "b", time.Hour)
		if err != nil || third.Epoch != 3 {
			t.Errorf("%+v, %v", third, err)
		}
		is(t, "its former self", fenced(b, second), store.ErrFenced)
	})
}

// While the holder's transaction goes on nobody else takes the lease.
func TestFenceHoldsTheLease(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		a, b := env.Open(t), env.Open(t)
		l, err := a.Acquire(t.Context(), "lead", "a", time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		env.Clock.Add(time.Second)
		time.Sleep(10 * time.Millisecond)
		taken := make(chan store.Lease, 1)
		order := make(chan string, 2)
		update(t, a, func(tx *store.Tx) error {
			if err := tx.Fence(t.Context(), l); err != nil {
				return err
			}
			go func() {
				l, err := b.Acquire(context.WithoutCancel(t.Context()), "lead", "b", time.Hour)
				if err != nil {
					t.Error(err)
				}
				order <- "taken"
				taken <- l
			}()
			time.Sleep(200 * time.Millisecond) // for the other to try
			order <- "written"
			return tx.AddRobot(t.Context(), store.Robot{ID: "r1", SKU: "basic"})
		})
		if first := <-order; first != "written" {
			t.Errorf("first %s", first)
		}
		if got := <-taken; got.Epoch != 2 {
			t.Errorf("got %+v", got)
		}
	})
}

// contend lets n servers lead over the same database for some terms each, each
// counting in transactions that carry the fence, and ends when the count is
// reached. On a slow machine one may still think that it leads when the next
// one does; it must not write any more.
func contend(t *testing.T, env storetest.Env, n, count int, ttl time.Duration) {
	ctx, done := context.WithCancel(t.Context())
	defer done()
	var mu sync.Mutex
	led := map[string]bool{}
	var wg sync.WaitGroup
	base := env.Open(t)
	addRobot(t, base, "r1", "basic")
	for i := range n {
		s, name := env.Open(t), fmt.Sprint("server-", i)
		wg.Go(func() {
			err := s.Lead(ctx, "lead", name, ttl, slog.New(slog.DiscardHandler), func(ctx context.Context, l store.Lease) error {
				mu.Lock()
				led[name] = true
				mu.Unlock()
				for range 3 { // a short term
					err := s.Update(ctx, "count", func(tx *store.Tx) error {
						if err := tx.Fence(ctx, l); err != nil {
							return err
						}
						r, err := tx.Robot(ctx, "r1")
						if err != nil {
							return err
						}
						if r.State.Keyring > uint64(l.Epoch) { // in which the last one's epoch is kept here
							t.Errorf("%s writes in epoch %d after one of epoch %d", name, l.Epoch, r.State.Keyring)
						}
						r.State.Keyring = uint64(l.Epoch)
						if r.State.Seq++; int(r.State.Seq) >= count {
							done()
						}
						return tx.SetState(ctx, "r1", r.State)
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(led) < 2 {
		t.Errorf("only %v led", led)
	}
}

func TestLeadersInFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := storetest.SQLite(t)
		clock := time.Now
		dir := env.Dir
		open := func() *store.Store {
			s, err := store.Open(t.Context(), store.Options{Dir: dir, Now: clock})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		a, b := open(), open()
		defer a.Close()
		defer b.Close()
		// a leads, hangs without renewing (its process is stopped), b takes over, a wakes up and is fenced.
		l, err := a.Acquire(t.Context(), "lead", "a", 15*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		var took time.Duration
		err = b.Lead(ctx, "lead", "b", 15*time.Second, slog.New(slog.DiscardHandler), func(ctx context.Context, mine store.Lease) error {
			took = time.Since(began)
			time.Sleep(time.Hour) // renewed all the while
			err := a.Update(t.Context(), "late", func(tx *store.Tx) error { return tx.Fence(t.Context(), l) })
			is(t, "the one that slept", err, store.ErrFenced)
			is(t, "the leader", b.Update(t.Context(), "on time", func(tx *store.Tx) error { return tx.Fence(t.Context(), mine) }), nil)
			stop()
			<-ctx.Done()
			return nil
		})
		is(t, "its end", err, context.Canceled)
		if took < 15*time.Second || took > 20*time.Second {
			t.Errorf("b took over after %v", took)
		}
		// It was given up in order: the next one need not wait.
		if l, err := a.Acquire(t.Context(), "lead", "a", time.Second); err != nil || l.Epoch != 3 {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

func TestLeadersInRealTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) { contend(t, env, 4, 30, 150*time.Millisecond) })
}

// A leader whose lease somebody takes (its clock stood still, say) is told.
func TestLeaderIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s, thief := env.Open(t), env.Open(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var told error
		err := s.Lead(ctx, "lead", "a", 3*time.Second, slog.New(slog.DiscardHandler), func(ctx context.Context, l store.Lease) error {
			if err := thief.GiveUp(ctx, l); err != nil {
				t.Error(err)
			}
			if _, err := thief.Acquire(ctx, "lead", "b", time.Hour); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			told = context.Cause(ctx)
			stop()
			return nil
		})
		is(t, "its end", err, context.Canceled)
		var held *store.HeldError
		if !errors.As(told, &held) || held.Lease.Holder != "b" {
			t.Errorf("told %v", told)
		}
	})
}

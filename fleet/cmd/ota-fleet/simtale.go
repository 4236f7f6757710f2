package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/agent/simulated"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/certs"
	"github.com/robot-platform/robot-ota/fleet/internal/dashboard"
	"github.com/robot-platform/robot-ota/fleet/internal/dashboard/password"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

const (
	// simPatience is how long the simulated operator looks at a rollout that asks
	// before promoting it.
	simPatience = 12 * time.Hour
	// simMost bounds a rollout, and simCalm is how long the fleet may take to
	// comply with a halt. Times of the fleet.
	simMost = 60 * day
	simCalm = 2 * day
	// simOperator is the simulated person.
	simOperator = "simulated operator"
)

// pass lets time pass, at the speed that was asked for.
func (t *tale) pass(ctx context.Context, d time.Duration) error {
	for end := t.world.clock.Now().Add(d); t.world.clock.Now().Before(end); {
		if err := t.tick(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tick is one step of the fleet and its server.
func (t *tale) tick(ctx context.Context) error {
	begun := time.Now()
	if err := t.world.step(ctx, simStep); err != nil {
		return err
	}
	if err := t.world.decide(ctx); err != nil {
		return err
	}
	if t.options.speed == 0 {
		return context.Cause(ctx)
	}
	rest := time.NewTimer(time.Until(begun.Add(time.Duration(float64(simStep) / t.options.speed))))
	defer rest.Stop()
	select {
	case <-rest.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// roll rolls a release out, and says whether it ended as it should.
func (t *tale) roll(ctx context.Context, v compat.Version, n simulated.Nature, should rollout.Phase) error {
	w := t.world
	r, err := w.publish(ctx, v, n, false)
	if err != nil {
		return err
	}
	plan, err := w.controller.Plan(ctx, r.Name, nil, t.options.seed)
	if err != nil {
		return err
	}
	row, err := w.controller.Start(ctx, plan, simOperator, "simulation")
	if err != nil {
		return err
	}
	t.began = w.clock.Now()
	state, err := t.follow(ctx, row.ID)
	if err != nil {
		return err
	}
	if err := t.settle(ctx, v, state.Phase); err != nil {
		return err
	}
	if state.Phase != should {
		return fmt.Errorf("%s ended %s, and should have been %s", row.ID, state.Phase, should)
	}
	return nil
}

// follow waits for the end of a rollout, and tells what is decided.
func (t *tale) follow(ctx context.Context, id string) (rollout.State, error) {
	w := t.world
	told := int64(0)
	for w.clock.Now().Before(t.began.Add(simMost)) {
		decisions, err := w.store.Decisions(ctx, id, told)
		if err != nil {
			return rollout.State{}, err
		}
		for _, d := range decisions {
			told = d.Number
			if err := t.tell(d); err != nil {
				return rollout.State{}, err
			}
		}
		row, err := w.store.Rollout(ctx, id)
		if err != nil {
			return rollout.State{}, err
		}
		s, err := rollout.ParseState(row.State)
		if err != nil || !s.Phase.Active() {
			return s, err
		}
		if s.Phase == rollout.Asking && w.clock.Now().Sub(s.Asked) >= simPatience {
			order, err := t.judgement(ctx, row.Version)
			if err != nil {
				return s, err
			}
			if _, err := w.controller.Order(ctx, id, order); err != nil {
				return s, err
			}
			continue
		}
		if err := t.tick(ctx); err != nil {
			return s, err
		}
	}
	return rollout.State{}, fmt.Errorf("%s has not ended after %s", id, simMost)
}

// judgement is what the simulated operator orders where robots are too few for
// the rules: a halt where one of those with the release looks ill.
func (t *tale) judgement(ctx context.Context, v compat.Version) (rollout.Order, error) {
	const ill = 0.1 // share of a robot's minutes with an ERROR
	now := t.world.clock.Now()
	day := map[string]store.Counters{}
	err := t.world.store.EachHour(ctx, store.HealthQuery{From: now.Add(-24 * time.Hour)}, func(h store.Hour) error {
		if h.Firmware == v {
			c := day[h.Robot]
			c.OK, c.Warn, c.Error = c.OK+h.OK, c.Warn+h.Warn, c.Error+h.Error
			day[h.Robot] = c
		}
		return nil
	})
	order := rollout.Order{Verdict: rollout.Advance, By: simOperator, Reason: "looked at the robots that have it, and found nothing wrong"}
	for _, id := range slices.Sorted(maps.Keys(day)) {
		c := day[id]
		if share := c.Error / (c.OK + c.Warn + c.Error); share > ill {
			order.Verdict, order.Reason = rollout.Halt, fmt.Sprintf("%s has an ERROR in %.0f %% of its minutes", id, 100*share)
			break
		}
	}
	return order, err
}

// settle waits until the fleet runs what it should after a rollout, and tells how
// many robots do.
func (t *tale) settle(ctx context.Context, v compat.Version, ended rollout.Phase) error {
	w := t.world
	with, _ := w.runs(v)
	for end := w.clock.Now().Add(simCalm); w.clock.Now().Before(end); {
		now, _ := w.runs(v)
		if ended == rollout.Halted && now == 0 || ended == rollout.Stable && now == len(w.robots) {
			break
		}
		if err := t.tick(ctx); err != nil {
			return err
		}
	}
	now, others := w.runs(v)
	if ended == rollout.Halted {
		t.say("   → halted: %d of %d robots ran %s then, %d do now; the others run %s", with, len(w.robots), v, now, others)
		return nil
	}
	t.say("   → %s: %d of %d robots run %s", ended, now, len(w.robots), v)
	return nil
}

// show serves the dashboard where one is wanted, to an operator with a password
// of the moment.
func (t *tale) show(ctx context.Context, b *beside, dir string) error {
	if t.options.dashboard == "" {
		return nil
	}
	made := devCerts{dir: filepath.Join(dir, "tls"), hosts: []string{"localhost", "127.0.0.1", "::1"}, days: 30}
	if _, err := made.make(time.Now()); err != nil {
		return err
	}
	b.certs = certs.Files{Cert: filepath.Join(made.dir, "server.pem"), Key: filepath.Join(made.dir, "server-key.pem")}
	secret := rand.Text()[:12]
	hash, err := password.Hash(secret)
	if err != nil {
		return err
	}
	err = t.world.store.Update(ctx, "user", func(tx *store.Tx) error {
		return tx.SaveUser(ctx, store.User{Name: "demo", Role: store.Operator, Password: hash})
	})
	if err != nil && !errors.Is(err, store.ErrExists) {
		return err
	}
	cfg := dashboard.DefaultConfig()
	cfg.Now, cfg.Idle, cfg.Life = t.world.clock.Now, simMost*10, simMost*10 // the fleet's time runs fast
	deeds := dashboard.Deeds{Steering: steering{t.world.controller}, Emergency: t.world.emergency}
	if err := b.serveDashboard(ctx, t.options.dashboard, cfg, deeds); err != nil {
		return err
	}
	fmt.Fprintf(b.stdout, "log in as demo, password %s\n", secret)
	return nil
}

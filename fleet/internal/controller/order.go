package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// PlanError says why a plan does not fit the fleet.
type PlanError struct{ Why string }

func (e *PlanError) Error() string { return e.Why }

// Plan completes a plan for a release, named such as standard-0.2.1: what given
// (JSON, may be empty) does not say is the default's, and the test robots are
// those that are registered as such. The seed is used where given has none.
func (c *Controller) Plan(ctx context.Context, name string, given []byte, seed uint64) (rollout.Plan, error) {
	var p rollout.Plan
	err := c.store.View(ctx, func(r *store.Reader) error {
		of, err := r.ReleaseNamed(ctx, name)
		if err != nil {
			return err
		}
		base := rollout.Default()
		base.Release, base.SKU, base.Version, base.Protocol, base.Seed = of.Name, of.SKU, of.Version, of.Protocol, seed
		members, err := membersOf(ctx, r, "", of.SKU)
		if err != nil {
			return err
		}
		for _, m := range members {
			if m.Internal {
				base.Internal = append(base.Internal, m.ID)
			}
		}
		p = base
		if len(given) > 0 {
			if p, err = rollout.Overlay(base, given); err != nil {
				return err
			}
		}
		return fits(p, of, members)
	})
	return p, err
}

// fits says why a plan is not for this release and fleet.
func fits(p rollout.Plan, of release.Release, members []member) error {
	if err := p.Check(); err != nil {
		return err
	}
	refuse := func(format string, args ...any) error { return &PlanError{fmt.Sprintf(format, args...)} }
	switch {
	case p.Release != of.Name || p.SKU != of.SKU || p.Version != of.Version || p.Protocol != of.Protocol:
		return refuse("the plan is for %s (%s %v, protocol %d), the release is %s (%s %v, protocol %d)", p.Release, p.SKU, p.Version, p.Protocol, of.Name, of.SKU, of.Version, of.Protocol)
	case of.Status == release.Stable:
		return refuse("%s is stable: every robot is offered it already; publish without --stable what is to be rolled out", of.Name)
	case !of.Live():
		return refuse("%s is %s (%s): give the new build a new version", of.Name, of.Status, of.Reason)
	}
	for _, id := range p.Internal {
		i := slices.IndexFunc(members, func(m member) bool { return m.ID == id })
		if i < 0 {
			return refuse("test robot %q is not registered with the SKU %s", id, of.SKU)
		}
		if beyond(members[i].Robot, of.Version) {
			return refuse("test robot %q runs %v, which is newer than %s", id, members[i].State.Version, of.Name)
		}
	}
	return nil
}

// Draw says who would have a turn when, and does nothing.
func (c *Controller) Draw(ctx context.Context, p rollout.Plan) ([]rollout.Candidate, error) {
	members, err := membersOf(ctx, &c.store.Reader, "", p.SKU)
	if err != nil {
		return nil, err
	}
	return rollout.Draw(p, candidates(members, p.Version)), nil
}

// Start begins a rollout: its row, its robots' places and the first decision are
// one transaction.
func (c *Controller) Start(ctx context.Context, p rollout.Plan, by, reason string) (store.Rollout, error) {
	var row store.Rollout
	err := c.store.Update(ctx, "start", func(tx *store.Tx) error {
		of, err := tx.ReleaseNamed(ctx, p.Release)
		if err != nil {
			return err
		}
		members, err := membersOf(ctx, &tx.Reader, "", p.SKU)
		if err != nil {
			return err
		}
		if err := fits(p, of, members); err != nil {
			return err
		}
		if row, err = begin(ctx, tx, p, by, reason, c); err != nil {
			return err
		}
		return tx.Assign(ctx, assignments(row.ID, p.SKU, rollout.Draw(p, candidates(members, p.Version)))...)
	})
	return row, err
}

func begin(ctx context.Context, tx *store.Tx, p rollout.Plan, by, reason string, c *Controller) (store.Rollout, error) {
	id, err := unused(ctx, tx, p.Release)
	if err != nil {
		return store.Rollout{}, err
	}
	s, d := rollout.Begin(p, by, reason, c.cfg.Now())
	plan, err := json.Marshal(p)
	if err != nil {
		return store.Rollout{}, err
	}
	state, err := json.Marshal(s)
	if err != nil {
		return store.Rollout{}, err
	}
	row, err := tx.StartRollout(ctx, store.Rollout{
		ID: id, Release: p.Release, Version: p.Version, SKUs: []string{p.SKU}, Phase: string(s.Phase), Stage: string(s.Stage), Plan: plan, State: state, By: by,
	})
	if err != nil {
		return store.Rollout{}, err
	}
	return c.save(ctx, tx, row, s, d, 0, true)
}

// unused is the id of a new rollout: the release's name, and a number where it
// is not the first.
func unused(ctx context.Context, tx *store.Tx, name string) (string, error) {
	for n := 1; ; n++ {
		id := name
		if n > 1 {
			id = fmt.Sprintf("%s-%d", name, n)
		}
		if _, err := tx.Rollout(ctx, id); errors.Is(err, store.ErrNotFound) {
			return id, nil
		} else if err != nil {
			return "", err
		}
	}
}

// Order does what a person orders of a rollout. A *rollout.OrderError refuses it.
func (c *Controller) Order(ctx context.Context, id string, o rollout.Order) (rollout.Decision, error) {
	var d rollout.Decision
	err := c.store.Update(ctx, string(o.Verdict), func(tx *store.Tx) error {
		row, err := tx.Rollout(ctx, id)
		if err != nil {
			return err
		}
		state, err := rollout.ParseState(row.State)
		if err != nil {
			return err
		}
		if state, d, err = rollout.Obey(state, o, c.cfg.Now()); err != nil {
			return err
		}
		_, err = c.save(ctx, tx, row, state, d, 0, true)
		return err
	})
	return d, err
}

// maxTold bounds the reason that robots are told. Bytes.
const maxTold = 400

// printable is a reason as robots take it.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if len(s) > maxTold {
		s = strings.ToValidUTF8(s[:maxTold-3], "") + "…"
	}
	return s
}

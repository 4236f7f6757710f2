package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// look is what the store holds of a rollout at one moment.
type look struct {
	row     store.Rollout
	plan    rollout.Plan
	state   rollout.State
	release release.Release
	members []member
	seen    rollout.Observations
}

// Tick looks at every rollout that goes on, once. What it writes carries the
// lease's fence.
func (c *Controller) Tick(ctx context.Context, l store.Lease) error {
	active, err := c.store.ActiveRollouts(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, row := range active {
		switch err := c.one(ctx, l, row.ID); {
		case errors.Is(err, store.ErrFenced):
			return err
		case errors.Is(err, store.ErrConflict): // an order came in between; the next look sees it
			c.log.Info("a rollout was changed meanwhile", "rollout", row.ID)
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("rollout %s: %w", row.ID, err))
		}
	}
	return failed
}

// one looks at a rollout.
func (c *Controller) one(ctx context.Context, l store.Lease, id string) error {
	view, err := c.see(ctx, id)
	if err != nil {
		return err
	}
	if !view.state.Phase.Active() {
		return nil // it ended meanwhile
	}
	if drawn, err := c.place(ctx, l, view); err != nil || drawn {
		return err // newcomers are seen with the next look
	}
	if err := c.noteAttested(ctx, l, view); err != nil {
		return err
	}
	now := c.cfg.Now()
	state, d := rollout.Decide(view.plan, view.state, view.seen, now)
	if d.Verdict == rollout.Measure {
		o, err := c.measure(ctx, view.plan, view.state, view, now)
		if err != nil {
			return err
		}
		state, d = rollout.Decide(view.plan, view.state, o, now)
	}
	if !worthwhile(view.state, state) {
		return nil
	}
	return c.store.Update(ctx, string(d.Verdict), func(tx *store.Tx) error {
		if err := tx.Fence(ctx, l); err != nil {
			return err
		}
		_, err := c.save(ctx, tx, view.row, state, d, l.Epoch, notable(view.state, state, d))
		return err
	})
}

// see reads all of a rollout, of one moment.
func (c *Controller) see(ctx context.Context, id string) (look, error) {
	var v look
	err := c.store.View(ctx, func(r *store.Reader) (err error) {
		v, err = read(ctx, r, id)
		return err
	})
	return v, err
}

func read(ctx context.Context, r *store.Reader, id string) (look, error) {
	row, err := r.Rollout(ctx, id)
	if err != nil {
		return look{}, err
	}
	v := look{row: row}
	if v.plan, err = rollout.ParsePlan(row.Plan); err != nil {
		return look{}, err
	}
	if v.state, err = rollout.ParseState(row.State); err != nil {
		return look{}, err
	}
	if v.release, err = r.Release(ctx, v.plan.SKU, v.plan.Version); err != nil {
		return look{}, err
	}
	if v.members, err = membersOf(ctx, r, id, v.plan.SKU); err != nil {
		return look{}, err
	}
	v.seen = observed(v.members, v.release)
	return v, nil
}

// membersOf are the robots of a SKU with their parts in a rollout; "": in none.
func membersOf(ctx context.Context, r *store.Reader, id, sku string) ([]member, error) {
	parts := map[string]store.Assignment{}
	if id != "" {
		err := r.EachAssignment(ctx, id, func(a store.Assignment) error { parts[a.Robot] = a; return nil })
		if err != nil {
			return nil, err
		}
	}
	var all []member
	err := r.EachRobot(ctx, store.RobotQuery{SKU: sku, Brief: true}, func(robot store.Robot) error {
		part, drawn := parts[robot.ID]
		all = append(all, member{Robot: robot, part: part, drawn: drawn})
		return nil
	})
	return all, err
}

// place gives robots that have none a place; false: there were none.
func (c *Controller) place(ctx context.Context, l store.Lease, v look) (bool, error) {
	drawn := rollout.Draw(v.plan, candidates(v.members, v.plan.Version))
	for part := range slices.Chunk(drawn, batch) {
		err := c.store.Update(ctx, "place", func(tx *store.Tx) error {
			if err := tx.Fence(ctx, l); err != nil {
				return err
			}
			return tx.Assign(ctx, assignments(v.row.ID, v.plan.SKU, part)...)
		})
		if err != nil {
			return false, err
		}
	}
	return len(drawn) > 0, nil
}

// noteAttested writes down who has the release without an update that was heard
// of: it was there before the rollout, or its events are lost.
func (c *Controller) noteAttested(ctx context.Context, l store.Lease, v look) error {
	var have []string
	for _, m := range v.members {
		if m.drawn && m.part.Outcome == string(rollout.Pending) && attested(m.Robot, v.release) {
			have = append(have, m.ID)
		}
	}
	for part := range slices.Chunk(have, batch) {
		err := c.store.Update(ctx, "attested", func(tx *store.Tx) error {
			if err := tx.Fence(ctx, l); err != nil {
				return err
			}
			for _, id := range part {
				a, err := tx.Assignment(ctx, v.row.ID, id)
				if err != nil {
					return err
				}
				if p := progress(a); p.Outcome == rollout.Pending {
					p = p.With(rollout.Confirmed, "", c.cfg.Now())
					a.Outcome, a.Confirmed = string(p.Outcome), p.Confirmed
					if err := tx.SaveAssignment(ctx, a); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func assignments(id, sku string, drawn []rollout.Candidate) []store.Assignment {
	all := make([]store.Assignment, len(drawn))
	for i, r := range drawn {
		all[i] = store.Assignment{Rollout: id, Robot: r.ID, SKU: sku, Stratum: r.Stratum, Stage: string(r.Stage)}
	}
	return all
}

// retell is how old the counts of a stored state may become before they are
// stored anew, if they have changed.
const retell = time.Minute

// worthwhile says whether a state has to be stored in place of what was: because
// something happened, or because what people look at has become old.
func worthwhile(was, is rollout.State) bool {
	if is.Phase != was.Phase || is.Stage != was.Stage || is.Looks != was.Looks || !is.Filled.Equal(was.Filled) || !is.NextLook.Equal(was.NextLook) {
		return true
	}
	changed := is.Latest.Code != was.Latest.Code || is.Latest.Text != was.Latest.Text
	return changed && (is.Latest.Code != was.Latest.Code || is.Latest.At.Sub(was.Latest.At) >= retell)
}

// notable says whether a decision is kept: one that does something, a look of a
// gate, or another reason to wait than the one before. That the watch goes on
// after a look which opened nothing is no news.
func notable(was, is rollout.State, d rollout.Decision) bool {
	if d.Code == rollout.CodeWatching && slices.Contains([]rollout.Code{rollout.CodeTooFew, rollout.CodeUnclear, rollout.CodeUnhealthy}, was.Latest.Code) {
		return false
	}
	return d.Verdict != rollout.Wait || is.Looks != was.Looks || d.Code != was.Latest.Code
}

// save stores a state, and what follows from the decision that led to it.
func (c *Controller) save(ctx context.Context, tx *store.Tx, row store.Rollout, s rollout.State, d rollout.Decision, epoch int64, keep bool) (store.Rollout, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return store.Rollout{}, err
	}
	row.Phase, row.Stage, row.Active, row.State = string(s.Phase), string(s.Stage), s.Phase.Active(), raw
	if row, err = tx.SaveRollout(ctx, row); err != nil {
		return store.Rollout{}, err
	}
	if !keep {
		return row, nil
	}
	evidence, err := json.Marshal(d)
	if err != nil {
		return store.Rollout{}, err
	}
	if _, err := tx.AddDecision(ctx, store.Decision{
		Rollout: row.ID, At: d.At, Verdict: string(d.Verdict), Stage: string(d.Stage), Text: d.Text, By: d.By, Reason: d.Reason, Epoch: epoch, Decision: evidence,
	}); err != nil {
		return store.Rollout{}, err
	}
	return row, c.follow(ctx, tx, row, d)
}

// follow does to the release what the decision means for it.
func (c *Controller) follow(ctx context.Context, tx *store.Tx, row store.Rollout, d rollout.Decision) error {
	by, reason := d.By, d.Reason
	switch d.Verdict {
	case rollout.Halt:
		if d.Code == rollout.CodeWithdrawn { // whoever took it back has decided about the robots that have it
			c.log.Warn("a rollout is halted", "rollout", row.ID, "code", d.Code, "text", d.Text)
			return nil
		}
		if by == "" {
			by, reason = "rollout "+row.ID, d.Text
		}
		incident, err := c.recall.RollbackIn(ctx, tx, by, row.Release, printable(reason))
		if err == nil {
			c.log.Warn("a rollout is halted", "rollout", row.ID, "code", d.Code, "text", d.Text, "incident", incident)
		}
		return err
	case rollout.Complete:
		if by == "" {
			by, reason = "rollout "+row.ID, d.Text
		}
		return tx.SetStatus(ctx, row.SKUs[0], row.Version, release.Stable, by, reason)
	case rollout.Start, rollout.Wait, rollout.Advance, rollout.Ask, rollout.Pause, rollout.Resume, rollout.Measure:
	}
	return nil
}

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Rollout is a rollout as it is stored: what others look for in columns, and
// beside them its plan and state, which are rollout.Plan and rollout.State.
type Rollout struct {
	ID      string         `json:"id"`
	Release string         `json:"release"` // its name
	Version compat.Version `json:"version"`
	SKUs    []string       `json:"skus"`
	// Phase and Stage are those of the state: robots are offered the release in
	// the phases running and asking, and each from its stage on.
	Phase string `json:"phase"`
	Stage string `json:"stage"`
	// Active: neither halted nor stable. There is one of a SKU at a time.
	Active bool            `json:"active"`
	Plan   json.RawMessage `json:"plan"`
	State  json.RawMessage `json:"state"`
	// Revision goes up by one with every change.
	Revision int64     `json:"revision"`
	Created  time.Time `json:"created"`
	By       string    `json:"by,omitempty"`
	Updated  time.Time `json:"updated"`
	Ended    time.Time `json:"ended,omitzero"`
}

// stages in their order.
func stages() []string { return []string{"internal", "canary", "wide", "full"} }

// stageNumber is a stage's place in the order, from 1.
func stageNumber(stage string) (int, error) {
	i := slices.Index(stages(), stage)
	if i < 0 {
		return 0, fmt.Errorf("%.40q is no stage: want one of %v", stage, stages())
	}
	return i + 1, nil
}

const rolloutColumns = `SELECT o.id, o.name, o.version, o.phase, o.stage, o.active, o.plan, o.state, o.revision, o.created, o.by_whom, o.updated, o.ended, s.sku
	FROM rollouts o JOIN rollout_skus s ON s.rollout_id = o.id `

// rollouts puts the rows of each rollout, one for a SKU, together.
func rollouts(ctx context.Context, q querier, where string, args ...any) ([]Rollout, error) {
	var out []Rollout
	err := each(ctx, q, func(from row) error {
		var r Rollout
		var sku string
		if err := from.Scan(&r.ID, &r.Release, text{&r.Version}, &r.Phase, &r.Stage, &r.Active, raw{&r.Plan}, raw{&r.State}, &r.Revision,
			moment{&r.Created}, &r.By, moment{&r.Updated}, moment{&r.Ended}, &sku); err != nil {
			return err
		}
		if n := len(out); n > 0 && out[n-1].ID == r.ID {
			out[n-1].SKUs = append(out[n-1].SKUs, sku)
			return nil
		}
		r.SKUs = []string{sku}
		out = append(out, r)
		return nil
	}, rolloutColumns+where+` ORDER BY o.created DESC, o.id, s.sku`, args...)
	if err != nil {
		return nil, fmt.Errorf("store: rollouts: %w", err)
	}
	return out, nil
}

// Rollouts lists all rollouts, the newest first.
func (r *Reader) Rollouts(ctx context.Context) ([]Rollout, error) { return rollouts(ctx, r.q, "") }

// ActiveRollouts lists those that are neither halted nor stable.
func (r *Reader) ActiveRollouts(ctx context.Context) ([]Rollout, error) {
	return rollouts(ctx, r.q, `WHERE o.active`)
}

// Rollout finds one by its id.
func (r *Reader) Rollout(ctx context.Context, id string) (Rollout, error) {
	out, err := rollouts(ctx, r.q, `WHERE o.id = $1`, id)
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("store: rollout %.64q: %w", id, ErrNotFound)
	}
	if err != nil {
		return Rollout{}, err
	}
	return out[0], nil
}

// An ActiveError refuses a second rollout for the robots of the first.
type ActiveError struct{ SKU, Rollout string }

func (e *ActiveError) Error() string {
	return fmt.Sprintf("rollout %s goes on for the SKU %s; one at a time: halt it, or wait until it is stable", e.Rollout, e.SKU)
}

// Is makes it one kind of ErrExists.
func (e *ActiveError) Is(target error) bool { return target == ErrExists }

// StartRollout stores a new rollout and gives it with its revision. A SKU that
// has an active one is an *ActiveError.
func (tx *Tx) StartRollout(ctx context.Context, r Rollout) (Rollout, error) {
	no, err := stageNumber(r.Stage)
	switch {
	case err != nil:
		return Rollout{}, err
	case r.ID == "" || len(r.SKUs) == 0 || r.Version.IsZero():
		return Rollout{}, errors.New("a rollout needs an id, SKUs and a version")
	}
	active, err := tx.ActiveRollouts(ctx)
	if err != nil {
		return Rollout{}, err
	}
	for _, sku := range r.SKUs {
		for _, other := range active {
			if slices.Contains(other.SKUs, sku) {
				return Rollout{}, &ActiveError{SKU: sku, Rollout: other.ID}
			}
		}
	}
	r.Revision, r.Active, r.Created = 1, true, tx.now().UTC()
	r.Updated = r.Created
	if err := exec(ctx, tx.q, `INSERT INTO rollouts (id, name, version, phase, stage, stage_no, active, plan, state, revision, created, by_whom, updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $11)`, r.ID, r.Release, r.Version.String(), r.Phase, r.Stage, no, r.Active,
		string(r.Plan), string(r.State), r.Revision, stamp(r.Created), r.By); err != nil {
		return Rollout{}, err
	}
	var rows [][]any
	for _, sku := range r.SKUs {
		rows = append(rows, []any{r.ID, sku, true})
	}
	return r, insert(ctx, tx.q, `INSERT INTO rollout_skus (rollout_id, sku, active)`, rows, "")
}

// SaveRollout stores a rollout's phase, stage, plan and state, and whether it
// is active, and gives it with its new revision. ErrConflict: its revision is
// not the one that is stored, so somebody else has changed it since it was read.
func (tx *Tx) SaveRollout(ctx context.Context, r Rollout) (Rollout, error) {
	no, err := stageNumber(r.Stage)
	if err != nil {
		return Rollout{}, err
	}
	r.Updated = tx.now().UTC()
	if r.Active {
		r.Ended = time.Time{}
	} else if r.Ended.IsZero() {
		r.Ended = r.Updated
	}
	n, err := changed(ctx, tx.q, `UPDATE rollouts SET phase = $3, stage = $4, stage_no = $5, active = $6, plan = $7, state = $8, updated = $9, ended = $10,
		revision = revision + 1 WHERE id = $1 AND revision = $2`,
		r.ID, r.Revision, r.Phase, r.Stage, no, r.Active, string(r.Plan), string(r.State), stamp(r.Updated), stamp(r.Ended))
	if err == nil && n == 0 {
		err = fmt.Errorf("rollout %s, revision %d: %w", r.ID, r.Revision, ErrConflict)
	}
	if err != nil {
		return Rollout{}, err
	}
	r.Revision++
	return r, exec(ctx, tx.q, `UPDATE rollout_skus SET active = $2 WHERE rollout_id = $1`, r.ID, r.Active)
}

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Assignment is a robot's part in a rollout: when it has its turn, and how far
// it has come.
type Assignment struct {
	Rollout string `json:"rollout"`
	Robot   string `json:"robot"`
	SKU     string `json:"sku"`
	Stratum string `json:"stratum,omitempty"`
	// Stage from which on it is offered the release.
	Stage string `json:"stage"`
	// Outcome is a rollout.Outcome; a robot that put the release back
	// (rolled_back) is not offered it again.
	Outcome string `json:"outcome,omitempty"`
	Code    string `json:"code,omitempty"`
	// Trigger is the code of a rollback trigger that fired on the release.
	Trigger string `json:"trigger,omitempty"`
	// When each happened first; zero: it has not.
	Offered    time.Time `json:"offered,omitzero"`
	Trying     time.Time `json:"trying,omitzero"`
	Confirmed  time.Time `json:"confirmed,omitzero"`
	Failed     time.Time `json:"failed,omitzero"`
	RolledBack time.Time `json:"rolled_back,omitzero"`
	// Split parts the time before the release and the time with it, Before is
	// what was counted until then (a rollout.Window), once it is known.
	Split  time.Time       `json:"split,omitzero"`
	Before json.RawMessage `json:"before,omitempty"`
}

const assignmentColumns = `rollout_id, robot_id, sku, stratum, stage, outcome, code, trigger_code, offered, trying, confirmed, failed, rolled_back, split, before_json`

func scanAssignment(from row) (Assignment, error) {
	var a Assignment
	err := from.Scan(&a.Rollout, &a.Robot, &a.SKU, &a.Stratum, &a.Stage, &a.Outcome, &a.Code, &a.Trigger,
		moment{&a.Offered}, moment{&a.Trying}, moment{&a.Confirmed}, moment{&a.Failed}, moment{&a.RolledBack}, moment{&a.Split}, raw{&a.Before})
	return a, err
}

// Assign gives robots their place in a rollout. One that has a place keeps it.
func (tx *Tx) Assign(ctx context.Context, assignments ...Assignment) error {
	rows := make([][]any, len(assignments))
	for i, a := range assignments {
		no, err := stageNumber(a.Stage)
		if err != nil {
			return err
		}
		rows[i] = append(a.values(), no)
	}
	return insert(ctx, tx.q, `INSERT INTO rollout_robots (`+assignmentColumns+`, stage_no)`, rows, `ON CONFLICT (rollout_id, robot_id) DO NOTHING`)
}

func (a Assignment) values() []any {
	return []any{a.Rollout, a.Robot, a.SKU, a.Stratum, a.Stage, a.Outcome, a.Code, a.Trigger,
		stamp(a.Offered), stamp(a.Trying), stamp(a.Confirmed), stamp(a.Failed), stamp(a.RolledBack), stamp(a.Split), string(a.Before)}
}

// SaveAssignment stores how far a robot has come; its place and SKU stay.
func (tx *Tx) SaveAssignment(ctx context.Context, a Assignment) error {
	return only(ctx, tx.q, `UPDATE rollout_robots SET outcome = $3, code = $4, trigger_code = $5, offered = $6, trying = $7, confirmed = $8,
		failed = $9, rolled_back = $10, split = $11, before_json = $12 WHERE rollout_id = $1 AND robot_id = $2`,
		a.Rollout, a.Robot, a.Outcome, a.Code, a.Trigger, stamp(a.Offered), stamp(a.Trying), stamp(a.Confirmed),
		stamp(a.Failed), stamp(a.RolledBack), stamp(a.Split), string(a.Before))
}

// EachAssignment calls f with one robot of a rollout after the other, by id.
func (r *Reader) EachAssignment(ctx context.Context, rollout string, f func(Assignment) error) error {
	err := each(ctx, r.q, func(from row) error {
		a, err := scanAssignment(from)
		if err != nil {
			return err
		}
		return f(a)
	}, `SELECT `+assignmentColumns+` FROM rollout_robots WHERE rollout_id = $1 ORDER BY robot_id`, rollout)
	if err != nil {
		return fmt.Errorf("store: robots of rollout %.64q: %w", rollout, err)
	}
	return nil
}

// Assignment finds a robot's part in a rollout.
func (r *Reader) Assignment(ctx context.Context, rollout, robot string) (Assignment, error) {
	out, err := one(ctx, r.q, scanAssignment, `SELECT `+assignmentColumns+` FROM rollout_robots WHERE rollout_id = $1 AND robot_id = $2`, rollout, robot)
	if err != nil {
		return Assignment{}, fmt.Errorf("store: robot %.64q in rollout %.64q: %w", robot, rollout, err)
	}
	return out, nil
}

// AssignmentsOf lists a robot's parts in rollouts, the latest rollout first.
func (r *Reader) AssignmentsOf(ctx context.Context, robot string) ([]Assignment, error) {
	out, err := all(ctx, r.q, scanAssignment, `SELECT `+assignmentColumns+` FROM rollout_robots WHERE robot_id = $1
		ORDER BY (SELECT created FROM rollouts WHERE id = rollout_id) DESC, rollout_id`, robot)
	if err != nil {
		return nil, fmt.Errorf("store: rollouts of %.64q: %w", robot, err)
	}
	return out, nil
}

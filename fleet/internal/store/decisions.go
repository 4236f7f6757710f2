package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Decision is one of a rollout, with all that it was made on. Decisions are
// added and never changed.
type Decision struct {
	Rollout string    `json:"rollout"`
	Number  int64     `json:"number"` // from 1, in the order in which they were made
	At      time.Time `json:"at"`
	Verdict string    `json:"verdict"`
	Stage   string    `json:"stage"`
	Text    string    `json:"text"`
	By      string    `json:"by,omitempty"` // "": the rules
	Reason  string    `json:"reason,omitempty"`
	Epoch   int64     `json:"epoch,omitempty"` // of the lease under which it was made
	// Decision is all of it: a rollout.Decision.
	Decision json.RawMessage `json:"decision"`
}

const decisionColumns = `rollout_id, number, at, verdict, stage, text, by_whom, reason, epoch, decision`

func scanDecision(from row) (Decision, error) {
	var d Decision
	err := from.Scan(&d.Rollout, &d.Number, moment{&d.At}, &d.Verdict, &d.Stage, &d.Text, &d.By, &d.Reason, &d.Epoch, raw{&d.Decision})
	return d, err
}

// AddDecision stores a decision and gives it its number.
func (tx *Tx) AddDecision(ctx context.Context, d Decision) (Decision, error) {
	last, err := number(ctx, tx.q, `SELECT COALESCE(max(number), 0) FROM decisions WHERE rollout_id = $1`, d.Rollout)
	if err != nil {
		return Decision{}, err
	}
	d.Number = last + 1
	return d, exec(ctx, tx.q, `INSERT INTO decisions (`+decisionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		d.Rollout, d.Number, stamp(d.At), d.Verdict, d.Stage, d.Text, d.By, d.Reason, d.Epoch, string(d.Decision))
}

// Decisions lists a rollout's decisions in their order, those after a number.
func (r *Reader) Decisions(ctx context.Context, rollout string, after int64) ([]Decision, error) {
	out, err := all(ctx, r.q, scanDecision, `SELECT `+decisionColumns+` FROM decisions WHERE rollout_id = $1 AND number > $2 ORDER BY number`, rollout, after)
	if err != nil {
		return nil, fmt.Errorf("store: decisions of %.64q: %w", rollout, err)
	}
	return out, nil
}

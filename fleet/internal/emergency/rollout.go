package emergency

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// haltRollout ends an active rollout as its own order does. One whose state
// cannot be read is ended as well: its columns decide about offers.
func haltRollout(ctx context.Context, tx *store.Tx, r store.Rollout, by, reason string, now time.Time) error {
	state, broken := rollout.ParseState(r.State)
	d := rollout.Decision{
		Schema: rollout.Schema, At: now.UTC(), Verdict: rollout.Halt, Code: rollout.CodeOrdered, Stage: rollout.Stage(r.Stage),
		Text: fmt.Sprintf("halted by %s, although its state cannot be read", by), By: by, Reason: reason,
	}
	r.Phase, r.Active = string(rollout.Halted), false
	if broken == nil {
		var err error
		if state, d, err = rollout.Obey(state, rollout.Order{Verdict: rollout.Halt, By: by, Reason: reason}, now.UTC()); err != nil {
			return fmt.Errorf("rollout %s: %w", r.ID, err)
		}
		if r.State, err = json.Marshal(state); err != nil {
			return fmt.Errorf("rollout %s: %w", r.ID, err)
		}
	}
	all, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("rollout %s: %w", r.ID, err)
	}
	if _, err := tx.SaveRollout(ctx, r); err != nil {
		return err
	}
	_, err = tx.AddDecision(ctx, store.Decision{
		Rollout: r.ID, At: d.At, Verdict: string(d.Verdict), Stage: string(d.Stage), Text: d.Text, By: d.By, Reason: d.Reason, Decision: all,
	})
	return err
}

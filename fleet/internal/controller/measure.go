package controller

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// pastOf is for how long before a rollout robots' past is looked at.
const pastOf = 7 * 24 * time.Hour

// span says which hours count as what.
type span struct {
	version compat.Version
	// split parts the past from the rollout, opened is since when the stage is.
	split, opened time.Time
	// recent is when the last hours begin.
	recent time.Time
}

// spanOf is that of a look at a rollout's stage.
func spanOf(p rollout.Plan, s rollout.State, now time.Time) span {
	return span{version: p.Version, split: s.Split, opened: s.Opened, recent: now.Add(-p.Steps.Of(s.Stage).Watch).Truncate(time.Hour)}
}

// add counts an hour into a robot's windows. What ran tells whether it was with
// the release. The hour of the update itself is in none: a robot that is flashed,
// booted and tried is silent for some minutes whatever the firmware is like.
func (s span) add(r *rollout.Robot, h store.Hour) {
	end := h.Begin.Add(time.Hour)
	has := r.Outcome == rollout.Confirmed
	switch with := h.Firmware == s.version; {
	case with != has || has && h.Begin.Before(r.Confirmed):
		// A last hour without the release, its trial, or one that put it back.
	case has || !h.Begin.Before(s.opened):
		grow(&r.Since, h)
		if end.After(s.recent) {
			grow(&r.Recent, h)
		}
	}
	if h.Firmware != s.version && !s.split.IsZero() && !end.After(s.split) && !h.Begin.Before(s.split.Add(-pastOf)) {
		grow(&r.Before, h)
	}
}

func grow(w *rollout.Window, h store.Hour) {
	if w.First.IsZero() || h.First.Before(w.First) {
		w.First = h.First
	}
	w.Last = later(w.Last, h.Last)
	w.Counters = w.Add(rollout.Counters(h.Counters))
}

// measure fills the windows in. A past that was counted once is kept with the
// robot's part in the rollout, so that it is read once, and stays when old hours
// are removed.
func (c *Controller) measure(ctx context.Context, p rollout.Plan, s rollout.State, view look, now time.Time) (rollout.Observations, error) {
	o := view.seen
	o.Robots = slices.Clone(o.Robots)
	o.Measured = true
	at := map[string]*rollout.Robot{}
	for i := range o.Robots {
		at[o.Robots[i].ID] = &o.Robots[i]
	}
	bounds := spanOf(p, s, now)
	if s.Stage == rollout.Internal {
		return o, c.testRobots(ctx, bounds, at)
	}
	known := map[string]json.RawMessage{}
	for _, m := range view.members {
		if len(m.part.Before) > 0 {
			known[m.ID] = m.part.Before
		}
	}
	from := s.Split
	if len(known) < len(o.Robots) {
		from = s.Split.Add(-pastOf)
	}
	err := c.store.EachHour(ctx, store.HealthQuery{SKU: p.SKU, From: from}, func(h store.Hour) error {
		if r := at[h.Robot]; r != nil {
			bounds.add(r, h)
		}
		return nil
	})
	if err != nil {
		return o, err
	}
	var fresh []rollout.Robot
	for i := range o.Robots {
		r := &o.Robots[i]
		if b, ok := known[r.ID]; !ok {
			fresh = append(fresh, *r)
		} else if err := json.Unmarshal(b, &r.Before); err != nil {
			c.log.Error("a robot's past in a rollout cannot be read: it counts as having none", "robot", r.ID, "release", p.Release, "err", err)
			r.Before = rollout.Window{}
		}
	}
	return o, c.keepPasts(ctx, view.row.ID, s.Split, fresh)
}

// testRobots measures the internal robots alone.
func (c *Controller) testRobots(ctx context.Context, bounds span, at map[string]*rollout.Robot) error {
	for id, r := range at {
		if r.Stage != rollout.Internal {
			continue
		}
		err := c.store.EachHour(ctx, store.HealthQuery{Robot: id, From: bounds.recent}, func(h store.Hour) error {
			bounds.add(r, h)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// batch is how many robots a transaction is about that can be done in parts.
const batch = 200

// keepPasts stores what robots counted before the rollout.
func (c *Controller) keepPasts(ctx context.Context, id string, split time.Time, robots []rollout.Robot) error {
	for part := range slices.Chunk(robots, batch) {
		err := c.store.Update(ctx, "keep pasts", func(tx *store.Tx) error {
			for _, r := range part {
				a, err := tx.Assignment(ctx, id, r.ID)
				if err != nil {
					return err
				}
				if len(a.Before) > 0 {
					continue
				}
				a.Split = split
				if a.Before, err = json.Marshal(r.Before); err != nil {
					return err
				}
				if err := tx.SaveAssignment(ctx, a); err != nil {
					return err
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

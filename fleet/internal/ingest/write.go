package ingest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// one works one robot's messages in.
func (i *Ingest) one(ctx context.Context, tx *store.Tx, of []said) error {
	robot, err := i.find(ctx, tx, of)
	if err != nil {
		return err
	}
	f := &file{robot: robot}
	if slices.ContainsFunc(of, func(s said) bool { return s.Kind == Health || s.Kind == Online }) {
		if err := i.open(ctx, tx, f); err != nil {
			return err
		}
	}
	var fresh []eventWord
	for _, s := range of {
		f.heard(s.Message)
		switch w := s.word.(type) {
		case statusWord:
			f.status(w, s.Payload, s.Received)
		case onlineWord:
			f.online(w, s.Received)
		case diagnosticsWord:
			f.diagnostics(w, s.Payload, s.Received)
		case healthWord:
			f.health(w, s.Received)
		case eventWord:
			added, err := tx.AddEvent(ctx, event(s, w))
			if err != nil {
				return err
			}
			if added {
				fresh = append(fresh, w)
			}
		}
	}
	if err := f.save(ctx, tx); err != nil {
		return err
	}
	if err := history(ctx, tx, f.robot, fresh); err != nil {
		return err
	}
	if len(fresh) > 0 || f.moved {
		return outbox(ctx, tx, f.robot, fresh)
	}
	return nil
}

// open reads the robot's book. One that cannot be read is begun anew: what is
// counted twice then is less than what would never be counted again.
func (i *Ingest) open(ctx context.Context, tx *store.Tx, f *file) error {
	l, err := tx.Ledger(ctx, f.robot.ID)
	if err != nil {
		return err
	}
	if f.book, err = openBook(l); err != nil {
		i.log.Error("how far a robot's health was counted cannot be read: it is counted from here on", "robot", f.robot.ID, "err", err)
		f.book = book{Schema: bookSchema}
	}
	return nil
}

// save writes what changed.
func (f *file) save(ctx context.Context, tx *store.Tx) error {
	if f.stateChanged {
		if err := tx.SetState(ctx, f.robot.ID, f.robot.State); err != nil {
			return err
		}
	}
	for _, h := range f.hours {
		if err := tx.AddHealth(ctx, h); err != nil {
			return err
		}
	}
	if !f.bookChanged {
		return nil
	}
	raw, err := f.book.encode()
	if err != nil {
		return err
	}
	return tx.SetLedger(ctx, f.robot.ID, raw)
}

// event is one as it is stored.
func event(s said, w eventWord) store.Event {
	at := w.At
	if at.IsZero() {
		at = s.Received
	}
	return store.Event{
		Robot: s.Robot, ID: w.ID, Kind: w.Kind, Seq: w.Seq, At: at, Received: s.Received, JobID: clip(w.JobID, maxName),
		Command: clip(w.Command, maxName), From: clip(w.From, maxName), To: clip(w.To, maxName),
		Code: clip(w.Code, maxName), Text: clip(w.Text, maxText), Body: s.Payload,
	}
}

// history works out, from all that is known of a robot's transitions, how its
// updates went that new ones are about, and how far it is in rollouts of them.
func history(ctx context.Context, tx *store.Tx, robot store.Robot, fresh []eventWord) error {
	var about []compat.Version
	for _, w := range fresh {
		if w.Kind == kindTransition && !w.Target.IsZero() && !slices.Contains(about, w.Target) {
			about = append(about, w.Target)
		}
	}
	if len(about) == 0 {
		return nil
	}
	events, err := tx.Events(ctx, robot.ID, time.Time{}, window)
	if err != nil {
		return err
	}
	in := steps(events)
	parts, err := tx.AssignmentsOf(ctx, robot.ID)
	if err != nil {
		return err
	}
	for _, v := range about {
		of, err := advance(ctx, tx, parts, v, in)
		if err != nil {
			return err
		}
		for _, j := range jobs(robot, in) {
			if j.Version != v {
				continue
			}
			j.Rollout = of.at(j.Started)
			if err := tx.SaveUpdate(ctx, j.Update); err != nil {
				return err
			}
		}
	}
	return nil
}

// rollouts are those of one version that a robot has a part in, the latest
// first.
type rollouts []store.Rollout

// at is the one that had begun by a moment, "" for none.
func (r rollouts) at(t time.Time) string {
	for _, o := range r {
		if !t.Before(o.Created.Add(-grace)) {
			return o.ID
		}
	}
	return ""
}

// advance notes how far the robot has come in rollouts of a version.
func advance(ctx context.Context, tx *store.Tx, parts []store.Assignment, v compat.Version, in []step) (rollouts, error) {
	var of rollouts
	for _, a := range parts {
		o, err := tx.Rollout(ctx, a.Rollout)
		if err != nil {
			return nil, err
		}
		if o.Version != v {
			continue
		}
		of = append(of, o)
		next := progress(a, v, o.Created, in)
		if same(a, next) {
			continue
		}
		if err := tx.SaveAssignment(ctx, next); err != nil {
			return nil, err
		}
	}
	return of, nil
}

// same says that nothing of what progress sets has changed.
func same(a, b store.Assignment) bool {
	return a.Outcome == b.Outcome && a.Code == b.Code && a.Trigger == b.Trigger && a.Offered.Equal(b.Offered) && a.Trying.Equal(b.Trying) &&
		a.Confirmed.Equal(b.Confirmed) && a.Failed.Equal(b.Failed) && a.RolledBack.Equal(b.RolledBack)
}

// outbox notes which of the robot's commands were answered or done.
func outbox(ctx context.Context, tx *store.Tx, robot store.Robot, fresh []eventWord) error {
	// One that was complied with may still be answered.
	commands, err := tx.Commands(ctx, store.CommandQuery{Robot: robot.ID, Open: len(fresh) == 0})
	if err != nil || len(commands) == 0 {
		return err
	}
	for _, w := range fresh {
		for _, a := range answers(commands, w) {
			if _, err := tx.Acknowledge(ctx, robot.ID, a.id, a.verdict, a.code); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
	for _, id := range complied(commands, robot.State) {
		if _, err := tx.Comply(ctx, robot.ID, id); err != nil {
			return err
		}
	}
	return nil
}

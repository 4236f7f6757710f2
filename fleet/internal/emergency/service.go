package emergency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Kinds of incidents.
const (
	KindHalt          = "halt"
	KindRollback      = "rollback"
	KindKeyCompromise = "key_compromise"
)

// ErrReason says that an order lacks a reason that can be kept and told to
// robots.
var ErrReason = errors.New("say why, in 1 to 400 printable characters: it is kept with the incident and told to robots")

// maxReason is what rollouts and robots take, bytes.
const maxReason = 400

// Service carries orders out. Commands beside a running server use it as well
// as the server.
type Service struct {
	store *store.Store
	now   func() time.Time
	batch int // robots of a transaction of Follow
}

// New is a service over a store, by a clock.
func New(s *store.Store, now func() time.Time) *Service {
	return &Service{store: s, now: now, batch: batch}
}

// record is what an incident of a release keeps.
type record struct {
	Targets  []Target `json:"targets"`
	Rollback bool     `json:"rollback"`
	Rollouts []string `json:"rollouts,omitempty"` // that it halted
	// Complied is how many robots the time line last said had complied.
	Complied int `json:"complied,omitempty"`
}

// recordOf reads it; false: the incident is not one of this package's.
func recordOf(i store.Incident) (record, bool) {
	var r record
	if i.Kind != KindHalt && i.Kind != KindRollback || json.Unmarshal(i.Data, &r) != nil {
		return record{}, false
	}
	return r, len(r.Targets) > 0
}

// Halt withdraws a release, named such as standard-0.2.1, and what goes with
// it, halts its rollout and opens an incident, whose id it gives. Once more it
// is the same incident, as long as that is open. Robots are told by Follow.
func (s *Service) Halt(ctx context.Context, by, name, reason string) (string, error) {
	return s.order(ctx, KindHalt, by, name, reason)
}

// Rollback is Halt, and has the robots that run the release put it back.
func (s *Service) Rollback(ctx context.Context, by, name, reason string) (string, error) {
	return s.order(ctx, KindRollback, by, name, reason)
}

// RollbackIn is Rollback as a part of a transaction of somebody else's, such as
// the one in which a rollout is halted by its rules.
func (s *Service) RollbackIn(ctx context.Context, tx *store.Tx, by, name, reason string) (string, error) {
	reason, err := checked(reason)
	if err != nil {
		return "", err
	}
	return s.ordered(ctx, tx, KindRollback, by, name, reason)
}

func (s *Service) order(ctx context.Context, kind, by, name, reason string) (id string, err error) {
	if reason, err = checked(reason); err != nil {
		return "", err
	}
	err = s.store.Update(ctx, kind, func(tx *store.Tx) (err error) {
		id, err = s.ordered(ctx, tx, kind, by, name, reason)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", kind, name, err)
	}
	return id, nil
}

// checked is the reason as it is kept.
func checked(reason string) (string, error) {
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > maxReason || strings.ContainsFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", ErrReason
	}
	return reason, nil
}

func (s *Service) ordered(ctx context.Context, tx *store.Tx, kind, by, name, reason string) (string, error) {
	around, err := scopeIn(ctx, &tx.Reader, name)
	if err != nil {
		return "", err
	}
	id, there, err := incidentFor(ctx, &tx.Reader, kind, name)
	if err != nil {
		return "", err
	}
	for _, t := range around.targets {
		if err := tx.SetStatus(ctx, t.SKU, t.Version, release.Withdrawn, by, reason); err != nil {
			return "", err
		}
	}
	r := record{Targets: around.targets, Rollback: kind == KindRollback}
	for _, o := range around.rollouts {
		if err := haltRollout(ctx, tx, o, by, reason, s.now()); err != nil {
			return "", err
		}
		r.Rollouts = append(r.Rollouts, o.ID)
	}
	if there {
		return id, s.widen(ctx, tx, id, r, by)
	}
	return id, s.open(ctx, tx, kind, id, name, by, reason, r)
}

// scopeIn finds a release and all that goes with it.
func scopeIn(ctx context.Context, from *store.Reader, name string) (scope, error) {
	named, err := from.ReleaseNamed(ctx, name)
	if err != nil {
		return scope{}, err
	}
	all, err := from.Releases(ctx)
	if err != nil {
		return scope{}, err
	}
	active, err := from.ActiveRollouts(ctx)
	if err != nil {
		return scope{}, err
	}
	return scopeOf(named, all, active), nil
}

// incidentFor is the id of the order's incident: of the open one, or of the
// next.
func incidentFor(ctx context.Context, from *store.Reader, kind, name string) (id string, there bool, err error) {
	for n := 1; ; n++ {
		id = kind + "-" + name
		if n > 1 {
			id = fmt.Sprintf("%s-%d", id, n)
		}
		i, err := from.Incident(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return id, false, nil
		case err != nil:
			return "", false, err
		case i.Closed.IsZero():
			return id, true, nil
		}
	}
}

func (s *Service) open(ctx context.Context, tx *store.Tx, kind, id, name, by, reason string, r record) error {
	title := name + " is halted"
	if kind == KindRollback {
		title = name + " is called back"
	}
	i := store.Incident{ID: id, Kind: kind, Title: title, Version: r.Targets[0].Version, SKUs: skus(r.Targets), OpenedBy: by, Reason: reason, Data: encoded(r)}
	if _, err := tx.OpenIncident(ctx, i); err != nil {
		return err
	}
	lines := []string{"withdrawn, and served to nobody any more: " + strings.Join(names(r.Targets), ", ")}
	if len(r.Rollouts) > 0 {
		lines = append(lines, "halted: rollout "+strings.Join(r.Rollouts, ", "))
	}
	for _, line := range lines {
		if err := note(ctx, tx, id, by, line); err != nil {
			return err
		}
	}
	if kind == KindRollback {
		return goesOn(ctx, tx, name, id, by)
	}
	return nil
}

// goesOn closes an open halt of the release: its call-back does all of it.
func goesOn(ctx context.Context, tx *store.Tx, name, id, by string) error {
	halt, there, err := incidentFor(ctx, &tx.Reader, KindHalt, name)
	if err != nil || !there {
		return err
	}
	if err := note(ctx, tx, halt, by, "goes on as incident "+id); err != nil {
		return err
	}
	left, err := tx.Commands(ctx, store.CommandQuery{Incident: halt, Open: true})
	if err != nil {
		return err
	}
	if err := drop(ctx, tx, left); err != nil {
		return err
	}
	return tx.CloseIncident(ctx, halt, by)
}

// widen adds to an incident what goes with its release by now.
func (s *Service) widen(ctx context.Context, tx *store.Tx, id string, now record, by string) error {
	i, err := tx.Incident(ctx, id)
	if err != nil {
		return err
	}
	had, _ := recordOf(i)
	var fresh []Target
	for _, t := range now.Targets {
		if versionFor(had.Targets, t.SKU) != t.Version {
			fresh = append(fresh, t)
		}
	}
	if len(fresh)+len(now.Rollouts) == 0 {
		return nil
	}
	had.Targets, had.Rollouts = append(had.Targets, fresh...), append(had.Rollouts, now.Rollouts...)
	if err := tx.SetIncidentData(ctx, id, encoded(had)); err != nil {
		return err
	}
	return note(ctx, tx, id, by, "ordered once more: "+strings.Join(append(names(fresh), now.Rollouts...), ", "))
}

func note(ctx context.Context, tx *store.Tx, incident, by, text string) error {
	_, err := tx.AddEntry(ctx, store.Entry{Incident: incident, By: by, Text: text})
	return err
}

func encoded(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // records of texts and numbers
	}
	return b
}

// Preview is what an order would do.
type Preview struct {
	Releases []string `json:"releases"`
	Rollouts []string `json:"rollouts"`
	// Running robots run it or try it, Coming ones are on their way to it, and
	// of Unheard ones nobody knows what they run.
	Running int `json:"running"`
	Coming  int `json:"coming"`
	Unheard int `json:"unheard"`
}

// Preview says what an order about a release would do, and does nothing.
func (s *Service) Preview(ctx context.Context, name string) (Preview, error) {
	p := Preview{Rollouts: []string{}}
	err := s.store.View(ctx, func(r *store.Reader) error {
		around, err := scopeIn(ctx, r, name)
		if err != nil {
			return err
		}
		p.Releases = names(around.targets)
		for _, o := range around.rollouts {
			p.Rollouts = append(p.Rollouts, o.ID)
		}
		return eachOf(ctx, r, around.targets, func(robot store.Robot, bad compat.Version) {
			switch needOf(robot.State, bad) {
			case putBack, returning:
				p.Running++
			case giveUp:
				p.Coming++
			case unheard:
				p.Unheard++
			case clear:
			}
		})
	})
	return p, err
}

// eachOf calls do with the robots of the targets' SKUs.
func eachOf(ctx context.Context, r *store.Reader, targets []Target, do func(store.Robot, compat.Version)) error {
	for _, sku := range skus(targets) {
		bad := versionFor(targets, sku)
		err := r.EachRobot(ctx, store.RobotQuery{SKU: sku, Brief: true}, func(robot store.Robot) error { do(robot, bad); return nil })
		if err != nil {
			return err
		}
	}
	return nil
}

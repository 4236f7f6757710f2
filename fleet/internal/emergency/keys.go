package emergency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// KeyIncident is the id of the incident of a key's replacement. A key is
// compromised once.
func KeyIncident(key string) string { return "key-compromise-" + key }

func keyRecordOf(i store.Incident) (keyRecord, bool) {
	var r keyRecord
	if i.Kind != KindKeyCompromise || json.Unmarshal(i.Data, &r) != nil || r.Key == "" {
		return keyRecord{}, false
	}
	if r.Steps == nil {
		r.Steps = map[Step]time.Time{}
	}
	return r, true
}

// Compromised begins the replacement of a key that was stolen: it counts for
// nothing from then on, what it signed is hidden, rollouts of that are halted.
// Once more it changes nothing.
func (s *Service) Compromised(ctx context.Context, by, key, reason string) (string, error) {
	reason, err := checked(reason)
	if err != nil {
		return "", err
	}
	id := KeyIncident(key)
	err = s.store.Update(ctx, "key compromised", func(tx *store.Tx) error {
		if _, err := tx.Incident(ctx, id); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err := tx.RevokeKey(ctx, key, by, reason); err != nil {
			return err
		}
		r, err := hide(ctx, tx, key, by, reason, s)
		if err != nil {
			return err
		}
		if _, err := tx.OpenIncident(ctx, store.Incident{ID: id, Kind: KindKeyCompromise, Title: "key " + key + " is compromised",
			OpenedBy: by, Reason: reason, Data: encoded(r)}); err != nil {
			return err
		}
		line := "the key is revoked here; hidden with it: " + orNone(r.Hidden)
		if len(r.Rollouts) > 0 {
			line += "; halted: rollout " + strings.Join(r.Rollouts, ", ")
		}
		return note(ctx, tx, id, by, line)
	})
	if err != nil {
		return "", fmt.Errorf("key %s: %w", key, err)
	}
	return id, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// hide halts the rollouts of what a revoked key signed, and notes what that is.
func hide(ctx context.Context, tx *store.Tx, key, by, reason string, s *Service) (keyRecord, error) {
	r := keyRecord{Key: key, Steps: map[Step]time.Time{StepRevoke: s.now().UTC()}}
	all, err := tx.Releases(ctx)
	if err != nil {
		return r, err
	}
	var signed []release.Release
	for _, of := range all {
		if of.Key == key {
			signed = append(signed, of)
		}
		if of.Key == key && of.Status == release.Revoked {
			r.Hidden = append(r.Hidden, of.Name)
		}
	}
	active, err := tx.ActiveRollouts(ctx)
	if err != nil {
		return r, err
	}
	for _, o := range active {
		if !brings(o, signed) {
			continue
		}
		if err := haltRollout(ctx, tx, o, by, reason, s.now()); err != nil {
			return r, err
		}
		r.Rollouts = append(r.Rollouts, o.ID)
	}
	return r, nil
}

// KeyStatus tells how far the replacement of a key has come.
func (s *Service) KeyStatus(ctx context.Context, key string) (KeyStatus, error) {
	var status KeyStatus
	err := s.store.View(ctx, func(from *store.Reader) (err error) {
		status, _, err = keyStatus(ctx, from, KeyIncident(key))
		return err
	})
	return status, err
}

func keyStatus(ctx context.Context, from *store.Reader, incident string) (KeyStatus, keyRecord, error) {
	i, err := from.Incident(ctx, incident)
	if err != nil {
		return KeyStatus{}, keyRecord{}, err
	}
	r, ok := keyRecordOf(i)
	if !ok {
		return KeyStatus{}, r, fmt.Errorf("incident %s is not of a key: %w", incident, store.ErrNotFound)
	}
	f, err := keyFactsIn(ctx, from, i, r)
	if err != nil {
		return KeyStatus{}, r, err
	}
	status := statusOf(f)
	status.Incident, status.Since = i, r.Steps
	status.Hidden = append(status.Hidden, r.Hidden...)
	if err := from.EachRobot(ctx, store.RobotQuery{Brief: true}, func(robot store.Robot) error { status.add(f, robot); return nil }); err != nil {
		return KeyStatus{}, r, err
	}
	status.settle(f)
	return *status, r, nil
}

func keyFactsIn(ctx context.Context, from *store.Reader, i store.Incident, r keyRecord) (keyFacts, error) {
	f := keyFacts{opened: i.Opened, closed: !i.Closed.IsZero(), key: r.Key, except: r.Except, others: []string{}}
	keys, err := from.Keys(ctx)
	if err != nil {
		return f, err
	}
	for _, k := range keys {
		switch {
		case k.ID == r.Key:
			f.revoked = !k.Revoked.IsZero()
		case k.Revoked.IsZero():
			f.others = append(f.others, k.ID)
		}
	}
	documents, err := from.Keyrings(ctx)
	if err != nil {
		return f, err
	}
	for _, d := range documents {
		if slices.Contains(d.Content().Revoked, r.Key) {
			f.keyring = d.Version()
			break
		}
	}
	if f.releases, err = from.Releases(ctx); err != nil {
		return f, err
	}
	f.active, err = from.ActiveRollouts(ctx)
	return f, err
}

// followKey notes steps that are done now.
func (s *Service) followKey(ctx context.Context, fence Fence, incident string) error {
	fresh := false
	err := s.store.View(ctx, func(from *store.Reader) error {
		status, r, err := keyStatus(ctx, from, incident)
		fresh = len(freshSteps(status, r)) > 0
		return err
	})
	if err != nil || !fresh {
		return err
	}
	return s.store.Update(ctx, "follow", func(tx *store.Tx) error {
		if err := fence(ctx, tx); err != nil {
			return err
		}
		_, err := s.noteSteps(ctx, tx, incident)
		return err
	})
}

// freshSteps are done and not noted. That devices have the key is no step while
// those before it are not done.
func freshSteps(status KeyStatus, r keyRecord) []Step {
	var out []Step
	for _, step := range status.Done {
		if _, noted := r.Steps[step]; !noted && (step != StepDevices || status.ready()) {
			out = append(out, step)
		}
	}
	return out
}

func (s *Service) noteSteps(ctx context.Context, tx *store.Tx, incident string) (KeyStatus, error) {
	status, r, err := keyStatus(ctx, &tx.Reader, incident)
	if err != nil {
		return status, err
	}
	fresh := freshSteps(status, r)
	if len(fresh) == 0 {
		return status, nil
	}
	for _, step := range fresh {
		r.Steps[step] = s.now().UTC()
		if err := note(ctx, tx, incident, "", status.told(step)); err != nil {
			return status, err
		}
	}
	return status, tx.SetIncidentData(ctx, incident, encoded(r))
}

// Except has nobody wait for robots that do not get the new key.
func (s *Service) Except(ctx context.Context, by, key, reason string, robots ...string) error {
	reason, err := checked(reason)
	if err != nil {
		return err
	}
	incident := KeyIncident(key)
	return s.store.Update(ctx, "except", func(tx *store.Tx) error {
		i, err := tx.Incident(ctx, incident)
		if err != nil {
			return err
		}
		if !i.Closed.IsZero() {
			return fmt.Errorf("incident %s is closed: %w", incident, store.ErrConflict)
		}
		r, _ := keyRecordOf(i)
		for _, id := range robots {
			if _, err := tx.Robot(ctx, id); err != nil {
				return err
			}
			r.Except = slices.DeleteFunc(r.Except, func(e Exception) bool { return e.Robot == id })
			r.Except = append(r.Except, Exception{Robot: id, Reason: reason, By: by, At: s.now().UTC()})
		}
		if err := tx.SetIncidentData(ctx, incident, encoded(r)); err != nil {
			return err
		}
		if err := note(ctx, tx, incident, by, fmt.Sprintf("not waited for: %s: %s", some(robots), reason)); err != nil {
			return err
		}
		_, err = s.noteSteps(ctx, tx, incident)
		return err
	})
}

// Replaced ends the replacement of a key whose private half somebody has
// destroyed. An *OpenError says what is not done.
func (s *Service) Replaced(ctx context.Context, by, key string) error {
	incident := KeyIncident(key)
	return s.store.Update(ctx, "key replaced", func(tx *store.Tx) error {
		status, err := s.noteSteps(ctx, tx, incident)
		switch {
		case err != nil:
			return err
		case status.Next == "":
			return fmt.Errorf("incident %s is closed: %w", incident, store.ErrConflict)
		case !status.ready():
			return &OpenError{Why: fmt.Sprintf("the step %q is next, and %d of %d robots are left without the new key", status.Next, status.Left, status.Robots)}
		}
		if err := note(ctx, tx, incident, by, status.told(StepDestroy)); err != nil {
			return err
		}
		return tx.CloseIncident(ctx, incident, by)
	})
}

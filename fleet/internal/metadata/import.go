package metadata

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// Import takes a root document or a list of releases that the owner has signed,
// if robots would take it; false: it is there already. It gives what it says.
func Import(ctx context.Context, s *store.Store, b []byte, now time.Time) (d tuf.Description, fresh bool, err error) {
	return take(ctx, s, b, now, importable)
}

// Replace takes a root document that the keys before need not have signed: for an
// owner who has lost too many of them. Robots take it only from their operator.
func Replace(ctx context.Context, s *store.Store, b []byte, now time.Time) (tuf.Description, bool, error) {
	return take(ctx, s, b, now, func(d tuf.Description, b []byte, root, _ store.Metadata) error {
		if d.Role != tuf.RoleRoot || d.Version <= root.Version {
			return &tuf.Refused{Reason: tuf.NotInOrder, Detail: fmt.Sprintf("want a root document of a version above %d: make it with ota-sign tuf rotate", root.Version)}
		}
		return tuf.CheckNext(nil, b)
	})
}

func take(ctx context.Context, s *store.Store, b []byte, now time.Time, may func(d tuf.Description, b []byte, root, have store.Metadata) error) (d tuf.Description, fresh bool, err error) {
	if d, err = tuf.Describe(b); err != nil {
		return d, false, err
	}
	if now.After(d.Expires) {
		return d, false, &tuf.Refused{Reason: tuf.Expired, Detail: fmt.Sprintf("%s %d expired at %s: robots would refuse it; sign a new one", d.Role, d.Version, d.Expires.Format(time.RFC3339))}
	}
	err = s.Update(ctx, "import metadata", func(tx *store.Tx) error {
		fresh = false
		root, err := tx.NewestMetadata(ctx, string(tuf.RoleRoot))
		if err != nil {
			return err
		}
		have := root
		if d.Role != tuf.RoleRoot {
			if have, err = tx.NewestMetadata(ctx, string(d.Role)); err != nil {
				return err
			}
		}
		if have.Version == d.Version && bytes.Equal(have.Document, b) {
			return nil
		}
		if err := may(d, b, root, have); err != nil {
			return err
		}
		fresh = true
		return tx.AddMetadata(ctx, store.Metadata{Role: string(d.Role), Version: d.Version, Document: b})
	})
	return d, fresh, err
}

func importable(d tuf.Description, b []byte, root, have store.Metadata) error {
	switch d.Role {
	case tuf.RoleRoot:
		if root.Version == 0 {
			if d.Version != 1 {
				return &tuf.Refused{Reason: tuf.NotInOrder, Detail: fmt.Sprintf("a fleet's first root document is version 1, not %d: import all, one after the other", d.Version)}
			}
			return tuf.CheckNext(nil, b)
		}
		return tuf.CheckNext(root.Document, b)
	case tuf.RoleTargets:
		if root.Version == 0 {
			return ErrNotSetUp
		}
		if err := tuf.CheckTargets(root.Document, b); err != nil {
			return err
		}
		if d.Version <= have.Version {
			return &tuf.Refused{Reason: tuf.OlderThan, Detail: fmt.Sprintf("a list of version %d is there already: make a new draft (ota-fleet metadata draft)", have.Version)}
		}
		return nil
	default:
		return fmt.Errorf("a %s document is signed by the server itself: import root documents and lists of releases", d.Role)
	}
}

// Draft makes the next list out of the releases as they are, for the owner to sign.
func Draft(ctx context.Context, s *store.Store, life time.Duration, now time.Time) ([]byte, error) {
	var out []byte
	err := s.View(ctx, func(r *store.Reader) error {
		have, err := r.NewestMetadata(ctx, string(tuf.RoleTargets))
		if err != nil {
			return err
		}
		releases, err := r.Releases(ctx)
		if err != nil {
			return err
		}
		files, err := Listing(releases)
		if err != nil {
			return err
		}
		out, err = tuf.NewTargets(next(have.Version, now), now.Add(life), files)
		return err
	})
	return out, err
}

// Standing is what the store has of release metadata.
type Standing struct {
	Documents []tuf.Description `json:"documents"` // by role: root, timestamp, snapshot, targets; missing: there is none
	// Differs names releases of which the list does not say what they are; robots
	// that want metadata refuse those that it does not list.
	Differs []string `json:"differs"`
	// Fault is why robots would refuse all of it; "": they take it.
	Fault string `json:"fault,omitempty"`
}

// Stand looks at all of it, as a robot that was given its first root would.
func Stand(ctx context.Context, s *store.Store, now time.Time) (Standing, error) {
	var out Standing
	err := s.View(ctx, func(r *store.Reader) error {
		out = Standing{Differs: []string{}}
		var list []tuf.File
		for _, role := range tuf.Roles() {
			m, err := r.NewestMetadata(ctx, string(role))
			if err != nil {
				return err
			}
			if m.Version == 0 {
				continue
			}
			d, err := tuf.Describe(m.Document)
			if err != nil {
				return fmt.Errorf("%s %d: what is stored is not that document; restore a backup (%w)", role, m.Version, err)
			}
			out.Documents = append(out.Documents, d)
			if role == tuf.RoleTargets {
				if list, err = filesOf(m.Document); err != nil {
					return err
				}
			}
		}
		releases, err := r.Releases(ctx)
		if err != nil {
			return err
		}
		want, err := Listing(releases)
		if err != nil {
			return err
		}
		for _, f := range want {
			if !slices.Contains(list, f) && (f.Status == tuf.Listed || slices.ContainsFunc(list, func(l tuf.File) bool { return l.Release == f.Release })) {
				out.Differs = append(out.Differs, f.Release)
			}
		}
		if err := asRobot(ctx, r, now); err != nil {
			out.Fault = err.Error()
		}
		return nil
	})
	return out, err
}

func filesOf(b []byte) ([]tuf.File, error) {
	d, err := tuf.ParseTargets(b)
	if err != nil {
		return nil, err
	}
	return tuf.Files(d)
}

// asRobot follows what is served from the first root on.
func asRobot(ctx context.Context, r *store.Reader, now time.Time) error {
	first, err := Serve(ctx, r, tuf.RoleRoot.Name(1))
	if err != nil {
		return ErrNotSetUp
	}
	_, _, err = tuf.Refresh(ctx, tuf.Held{Root: first}, now, func(ctx context.Context, name string, _ int64) ([]byte, error) {
		return Serve(ctx, r, name)
	})
	return err
}

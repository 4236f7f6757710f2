package tuf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// Held are the documents that a client has accepted, nil where none was. Their
// versions are what it never goes back behind.
type Held struct {
	Root, Timestamp, Snapshot, Targets []byte
}

// Fetch gets a document from who serves them, at most limit bytes of it: what
// is longer is refused with TooLarge. fs.ErrNotExist: there is none.
type Fetch func(ctx context.Context, name string, limit int64) ([]byte, error)

// State is what accepted documents say, all of them valid at one moment.
type State struct {
	Root, Timestamp, Snapshot, Targets Fact
	Files                              []File
}

// Fact is a document's version and when it expires.
type Fact struct {
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
}

// Expires is when the first of them does.
func (s State) Expires() (role Role, at time.Time) {
	for r, f := range map[Role]Fact{RoleRoot: s.Root, RoleTimestamp: s.Timestamp, RoleSnapshot: s.Snapshot, RoleTargets: s.Targets} {
		if at.IsZero() || f.Expires.Before(at) || f.Expires.Equal(at) && r < role {
			role, at = r, f.Expires
		}
	}
	return role, at
}

// FirstYear is the first in which a clock can be that was ever set.
const FirstYear = 2025

// maxRotations is how many root documents are taken at once by a client that
// catches up.
const maxRotations = 64

// walk goes through the documents in the order of TUF's client workflow (5.3 to
// 5.6), go-tuf's verdict on each.
type walk struct {
	held    Held
	trusted *trustedmetadata.TrustedMetadata
	fetch   Fetch // nil: what is held only
}

func newWalk(held Held, now time.Time, fetch Fetch) (*walk, error) {
	if now.UTC().Year() < FirstYear {
		return nil, refused(Clock, "this computer's clock says %s, so it was never set, and nobody can tell what has expired: set it (timedatectl set-ntp true)", now.UTC().Format(time.DateOnly))
	}
	if _, err := ParseRoot(held.Root); err != nil {
		return nil, err
	}
	t, err := trustedmetadata.New(held.Root)
	if err != nil {
		return nil, explained("root", err)
	}
	t.RefTime = now.UTC()
	return &walk{held: held, trusted: t, fetch: fetch}, nil
}

// Refresh fetches what is newer than held and gives what counts now. What it
// accepted on the way is in the Held that it gives back, also beside an error:
// keep that, durably, before acting on anything. Errors are *Refused, those of
// fetch, and the context's.
func Refresh(ctx context.Context, held Held, now time.Time, fetch Fetch) (State, Held, error) {
	w, err := newWalk(held, now, fetch)
	if err != nil {
		return State{}, held, err
	}
	for _, step := range []func(context.Context) error{w.roots, w.timestamp, w.snapshot, w.targets} {
		if err := step(ctx); err != nil {
			return State{}, w.held, w.told(err, now)
		}
	}
	s, err := w.state()
	return s, w.held, err
}

// Load gives what counts now of what is held, without asking anybody.
func Load(held Held, now time.Time) (State, error) {
	w, err := newWalk(held, now, nil)
	if err != nil {
		return State{}, err
	}
	for _, b := range [][]byte{held.Timestamp, held.Snapshot, held.Targets} {
		if b == nil {
			return State{}, refused(Absent, "none was accepted yet from the update server")
		}
	}
	for _, step := range []func(context.Context) error{w.timestamp, w.snapshot, w.targets} {
		if err := step(context.Background()); err != nil {
			return State{}, w.told(err, now)
		}
	}
	return w.state()
}

// told adds to an expiry what there is to know about it.
func (w *walk) told(err error, now time.Time) error {
	var r *Refused
	if !errors.As(err, &r) || r.Reason != Expired {
		return err
	}
	clock := now.UTC().Format(time.RFC3339)
	switch s := w.trusted; {
	case s.Root.Signed.IsExpired(s.RefTime):
		return refused(Expired, "root %d expired at %s, and nobody offers a newer one: sign the next one (ota-sign tuf rotate) and give it to the server; this computer's clock says %s",
			s.Root.Signed.Version, s.Root.Signed.Expires.Format(time.RFC3339), clock)
	case s.Timestamp != nil && s.Timestamp.Signed.IsExpired(s.RefTime):
		return refused(Expired, "timestamp %d expired at %s: the newest that is served was not signed again since, so either somebody holds newer ones back, or the update server does not sign (ota-fleet metadata show); this computer's clock says %s",
			s.Timestamp.Signed.Version, s.Timestamp.Signed.Expires.Format(time.RFC3339), clock)
	case s.Snapshot != nil && s.Snapshot.Signed.IsExpired(s.RefTime):
		return refused(Expired, "snapshot %d expired at %s: the update server does not sign it again (ota-fleet metadata show); this computer's clock says %s",
			s.Snapshot.Signed.Version, s.Snapshot.Signed.Expires.Format(time.RFC3339), clock)
	}
	return refused(Expired, "the list of files (targets) has expired: its owner has to sign it again (ota-fleet metadata draft, ota-sign tuf sign); this computer's clock says %s", clock)
}

// roots takes each next root until there is none (5.3).
func (w *walk) roots(ctx context.Context) error {
	for range maxRotations {
		next := w.trusted.Root.Signed.Version + 1
		b, err := w.get(ctx, RoleRoot, next)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		r, err := ParseRoot(b)
		if err != nil {
			return err
		}
		if r.Signed.Version != next {
			return refused(OlderThan, "root: asked for version %d, and got %d", next, r.Signed.Version)
		}
		if _, err := w.trusted.UpdateRoot(b); err != nil {
			return explained("root", err)
		}
		w.held.Root = b
	}
	return nil
}

// timestamp takes the newest (5.4). One that is held and that a new root's keys
// have not signed counts for nothing any more: so a fleet gets over versions
// that a stolen key ran up (5.3.11).
func (w *walk) timestamp(ctx context.Context) error {
	if w.held.Timestamp != nil {
		_, err := w.trusted.UpdateTimestamp(w.held.Timestamp)
		var unsigned *metadata.ErrUnsignedMetadata
		switch {
		case errors.As(err, &unsigned) && w.fetch != nil:
			w.held.Timestamp = nil
		case w.trusted.Timestamp == nil:
			return explained("timestamp", err) // the root has expired
		}
	}
	if w.fetch == nil {
		return w.fresh()
	}
	b, err := w.get(ctx, RoleTimestamp, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return refused(Absent, "the server has no timestamp.json: its release metadata is not set up, or not signed yet (ota-fleet metadata show)")
	}
	if err != nil {
		return err
	}
	fresh, err := ParseTimestamp(b)
	if err != nil {
		return err
	}
	before := w.trusted.Timestamp
	if before != nil && fresh.Signed.Version < before.Signed.Version && w.signed(fresh) {
		return refused(OlderThan, "timestamp %d was accepted before, and the server offers %d: an old answer, a server that was set back to a backup, or a stolen online key that ran the version up, over which a root with another online key gets (ota-sign tuf rotate)",
			before.Signed.Version, fresh.Signed.Version)
	}
	_, err = w.trusted.UpdateTimestamp(b)
	if w.trusted.Timestamp != before {
		w.held.Timestamp = b // also when it has expired
	}
	var equal *metadata.ErrEqualVersionNumber
	if err != nil && !errors.As(err, &equal) {
		return explained("timestamp", err)
	}
	return w.fresh()
}

// signed says whether a document that is not taken was the fleet's after all.
func (w *walk) signed(t *Timestamp) bool {
	return w.trusted.Root.VerifyDelegate(metadata.TIMESTAMP, t) == nil
}

// fresh refuses a timestamp that has expired.
func (w *walk) fresh() error {
	if t := w.trusted.Timestamp; t == nil || t.Signed.IsExpired(w.trusted.RefTime) {
		return refused(Expired, "timestamp")
	}
	return nil
}

// snapshot takes the one that the timestamp names (5.5).
func (w *walk) snapshot(ctx context.Context) error {
	want := w.trusted.Timestamp.Signed.Meta["snapshot.json"]
	if w.held.Snapshot != nil {
		_, err := w.trusted.UpdateSnapshot(w.held.Snapshot, true)
		if err == nil {
			return agree(RoleSnapshot, want, w.held.Snapshot)
		}
		if w.fetch == nil {
			return explained("snapshot", err)
		}
		if w.trusted.Snapshot == nil {
			w.held.Snapshot = nil // signed by keys that count no more
		}
	}
	b, err := w.named(ctx, RoleSnapshot, want)
	if err != nil {
		return err
	}
	fresh, err := ParseSnapshot(b)
	if err != nil {
		return err
	}
	before := w.trusted.Snapshot
	if before != nil && w.trusted.Root.VerifyDelegate(metadata.SNAPSHOT, fresh) == nil {
		if is, was := fresh.Signed.Meta["targets.json"].Version, before.Signed.Meta["targets.json"].Version; is < was {
			return refused(OlderThan, "snapshot %d names the list %d, and %d was accepted before: an old list under a new snapshot, by who has the online key or a server that was set back",
				fresh.Signed.Version, is, was)
		}
	}
	_, err = w.trusted.UpdateSnapshot(b, false)
	if w.trusted.Snapshot != before {
		w.held.Snapshot = b
	}
	return explained("snapshot", err)
}

// targets takes the list that the snapshot names (5.6).
func (w *walk) targets(ctx context.Context) error {
	want := w.trusted.Snapshot.Signed.Meta["targets.json"]
	if w.held.Targets != nil {
		_, err := w.trusted.UpdateTargets(w.held.Targets)
		if err == nil || w.fetch == nil {
			return explained("targets", err)
		}
	}
	b, err := w.named(ctx, RoleTargets, want)
	if err != nil {
		return err
	}
	if _, err := ParseTargets(b); err != nil {
		return err
	}
	if _, err := w.trusted.UpdateTargets(b); err != nil {
		return explained("targets", err)
	}
	w.held.Targets = b
	return nil
}

// named gets the document that another one names.
func (w *walk) named(ctx context.Context, role Role, m *metadata.MetaFiles) ([]byte, error) {
	b, err := w.get(ctx, role, m.Version)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refused(Absent, "the server has no %s, which its own metadata names", role.Name(m.Version))
	}
	if err != nil {
		return nil, err
	}
	return b, agree(role, m, b)
}

// agree holds a document against who names it.
func agree(role Role, m *metadata.MetaFiles, b []byte) error {
	if err := m.VerifyLengthHashes(b); err != nil {
		return refused(Mismatch, "%s %d is not the one that is named: %v", role, m.Version, err)
	}
	return nil
}

func (w *walk) get(ctx context.Context, role Role, version int64) ([]byte, error) {
	b, err := w.fetch(ctx, role.Name(version), role.Max())
	if err == nil && int64(len(b)) > role.Max() {
		return nil, refused(TooLarge, "%s: it is longer than %d bytes", role, role.Max())
	}
	return b, err
}

// state is what the documents say, once all of them are trusted.
func (w *walk) state() (State, error) {
	t := w.trusted.Targets[metadata.TARGETS]
	if t == nil || w.trusted.Snapshot == nil || w.trusted.Timestamp == nil {
		return State{}, fmt.Errorf("the walk through the release metadata ended early") // a fault of this package
	}
	files, err := Files(t)
	if err != nil {
		return State{}, err
	}
	return State{
		Root:      Fact{w.trusted.Root.Signed.Version, w.trusted.Root.Signed.Expires},
		Timestamp: Fact{w.trusted.Timestamp.Signed.Version, w.trusted.Timestamp.Signed.Expires},
		Snapshot:  Fact{w.trusted.Snapshot.Signed.Version, w.trusted.Snapshot.Signed.Expires},
		Targets:   Fact{t.Signed.Version, t.Signed.Expires},
		Files:     files,
	}, nil
}

// Facts are versions and expiry of what is held, of documents that can be read;
// they are not verified.
func (h Held) Facts() map[Role]Fact {
	out := map[Role]Fact{}
	if d, err := ParseRoot(h.Root); err == nil {
		out[RoleRoot] = Fact{d.Signed.Version, d.Signed.Expires}
	}
	if d, err := ParseTimestamp(h.Timestamp); err == nil {
		out[RoleTimestamp] = Fact{d.Signed.Version, d.Signed.Expires}
	}
	if d, err := ParseSnapshot(h.Snapshot); err == nil {
		out[RoleSnapshot] = Fact{d.Signed.Version, d.Signed.Expires}
	}
	if d, err := ParseTargets(h.Targets); err == nil {
		out[RoleTargets] = Fact{d.Signed.Version, d.Signed.Expires}
	}
	return out
}

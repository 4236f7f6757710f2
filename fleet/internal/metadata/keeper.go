package metadata

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// Lives says for how long documents are valid that are signed now.
type Lives struct {
	Timestamp, Snapshot, Targets time.Duration
}

// DefaultLives are a day, a week and a quarter.
func DefaultLives() Lives {
	const day = 24 * time.Hour
	return Lives{Timestamp: day, Snapshot: 7 * day, Targets: 90 * day}
}

// Check says what is wrong with them.
func (l Lives) Check() error {
	const least, most = time.Minute, 3650 * 24 * time.Hour
	for name, d := range map[string]time.Duration{"timestamp": l.Timestamp, "snapshot": l.Snapshot, "list": l.Targets} {
		if d < least || d > most {
			return fmt.Errorf("the %s is to be valid for %v: want %v to %v", name, d, least, most)
		}
	}
	return nil
}

// Config of a keeper.
type Config struct {
	Online  *ecdsa.PrivateKey // nil: another server signs
	Targets *ecdsa.PrivateKey // nil: the owner signs the list
	Lives   Lives
	Now     func() time.Time
}

// Keeper signs what is due.
type Keeper struct {
	cfg   Config
	store *store.Store
	log   *slog.Logger
	said  string // what was logged last, so that it is logged once
}

// New makes a keeper.
func New(cfg Config, s *store.Store, log *slog.Logger) *Keeper {
	return &Keeper{cfg: cfg, store: s, log: log}
}

// every is how often it is looked whether something is due: so long may a
// release that was published wait to be listed.
const every = 2 * time.Second

// Run signs what is due until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := k.Renew(ctx); ctx.Err() == nil {
			k.tell(err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// tell logs a fault when it begins, changes and ends.
func (k *Keeper) tell(err error) {
	now := ""
	if err != nil {
		now = err.Error()
	}
	if now == k.said {
		return
	}
	k.said = now
	if err != nil {
		k.log.Error("the release metadata is not signed: robots that want it will refuse updates once it expires", "err", err)
		return
	}
	k.log.Info("the release metadata is signed again")
}

// ErrNotSetUp says that there is no root document.
var ErrNotSetUp = errors.New("there is no root document yet: make one (ota-sign tuf init) and give it to the server (ota-fleet metadata import)")

// Renew looks once and signs what is due. Without a root document there is
// nothing to sign: that is ErrNotSetUp where a key is at hand.
func (k *Keeper) Renew(ctx context.Context) error {
	if k.cfg.Online == nil && k.cfg.Targets == nil {
		return nil
	}
	due := false
	err := k.store.View(ctx, func(r *store.Reader) (err error) {
		due, err = k.due(ctx, r)
		return err
	})
	if err != nil || !due {
		return err
	}
	return k.store.Update(ctx, "sign metadata", func(tx *store.Tx) error {
		p, err := k.pass(ctx, &tx.Reader)
		if err != nil {
			return err
		}
		for _, m := range p.fresh {
			if err := tx.AddMetadata(ctx, m); err != nil {
				return err
			}
			k.log.Info("signed release metadata", "role", m.Role, "version", m.Version)
		}
		return nil
	})
}

func (k *Keeper) due(ctx context.Context, r *store.Reader) (bool, error) {
	p, err := k.pass(ctx, r)
	return len(p.fresh) > 0, err
}

// pass is one look at what there is, and what has to follow from it.
type pass struct {
	now   time.Time
	root  []byte
	fresh []store.Metadata
}

func (k *Keeper) pass(ctx context.Context, r *store.Reader) (*pass, error) {
	root, err := r.NewestMetadata(ctx, string(tuf.RoleRoot))
	if err != nil {
		return &pass{}, err
	}
	if root.Version == 0 {
		return &pass{}, ErrNotSetUp
	}
	p := &pass{now: k.cfg.Now(), root: root.Document}
	list, err := k.list(ctx, r, p)
	if err != nil || k.cfg.Online == nil || list.Version == 0 {
		return p, err
	}
	if err := tuf.CheckTargets(p.root, list.Document); err != nil {
		return p, fmt.Errorf("the list of releases %d is not one for root %d: sign a new one (%w)", list.Version, root.Version, err)
	}
	if err := tuf.CheckOnline(p.root, &k.cfg.Online.PublicKey); err != nil {
		return p, fmt.Errorf("the online key: %w", err)
	}
	snapshot, err := k.snapshot(ctx, r, p, list)
	if err != nil {
		return p, err
	}
	return p, k.timestamp(ctx, r, p, snapshot)
}

// list gives the list that counts: where its key is at hand, a new one when the
// releases are not as it says, or it is a quarter through its life.
func (k *Keeper) list(ctx context.Context, r *store.Reader, p *pass) (store.Metadata, error) {
	have, err := r.NewestMetadata(ctx, string(tuf.RoleTargets))
	if err != nil || k.cfg.Targets == nil {
		return have, err
	}
	releases, err := r.Releases(ctx)
	if err != nil {
		return have, err
	}
	files, err := Listing(releases)
	if err != nil {
		return have, err
	}
	if have.Version != 0 && tuf.CheckTargets(p.root, have.Document) == nil {
		d, err := tuf.ParseTargets(have.Document)
		if err != nil {
			return have, err
		}
		says, err := tuf.Files(d)
		if err != nil {
			return have, err
		}
		if slices.Equal(says, files) && !p.old(d.Signed.Expires, k.cfg.Lives.Targets) {
			return have, nil
		}
	}
	if err := tuf.SpeaksForTargets(p.root, &k.cfg.Targets.PublicKey); err != nil {
		return have, fmt.Errorf("the key for the list of releases: %w", err)
	}
	m := store.Metadata{Role: string(tuf.RoleTargets), Version: next(have.Version, p.now)}
	draft, err := tuf.NewTargets(m.Version, p.now.Add(k.cfg.Lives.Targets), files)
	if err == nil {
		m.Document, err = tuf.Sign(draft, k.cfg.Targets)
	}
	if err != nil {
		return have, err
	}
	p.fresh = append(p.fresh, m)
	return m, nil
}

// snapshot gives the one that counts: a new one for a new list, for a new
// online key, and when it is a quarter through its life.
func (k *Keeper) snapshot(ctx context.Context, r *store.Reader, p *pass, list store.Metadata) (store.Metadata, error) {
	have, err := r.NewestMetadata(ctx, string(tuf.RoleSnapshot))
	if err != nil {
		return have, err
	}
	if have.Version != 0 {
		d, err := tuf.ParseSnapshot(have.Document)
		if err == nil && tuf.Names(d.Signed.Meta, tuf.RoleTargets, list.Version, list.Document) &&
			tuf.SignedBy(d, &k.cfg.Online.PublicKey) && !p.old(d.Signed.Expires, k.cfg.Lives.Snapshot) {
			return have, nil
		}
	}
	m := store.Metadata{Role: string(tuf.RoleSnapshot), Version: next(have.Version, p.now)}
	if m.Document, err = tuf.NewSnapshot(m.Version, p.now.Add(k.cfg.Lives.Snapshot), list.Version, list.Document, k.cfg.Online); err != nil {
		return have, err
	}
	p.fresh = append(p.fresh, m)
	return m, nil
}

// timestamp signs one where it is due, as snapshot does.
func (k *Keeper) timestamp(ctx context.Context, r *store.Reader, p *pass, snapshot store.Metadata) error {
	have, err := r.NewestMetadata(ctx, string(tuf.RoleTimestamp))
	if err != nil {
		return err
	}
	if have.Version != 0 {
		d, err := tuf.ParseTimestamp(have.Document)
		if err == nil && tuf.Names(d.Signed.Meta, tuf.RoleSnapshot, snapshot.Version, snapshot.Document) &&
			tuf.SignedBy(d, &k.cfg.Online.PublicKey) && !p.old(d.Signed.Expires, k.cfg.Lives.Timestamp) {
			return nil
		}
	}
	m := store.Metadata{Role: string(tuf.RoleTimestamp), Version: next(have.Version, p.now)}
	if m.Document, err = tuf.NewTimestamp(m.Version, p.now.Add(k.cfg.Lives.Timestamp), snapshot.Version, snapshot.Document, k.cfg.Online); err != nil {
		return err
	}
	p.fresh = append(p.fresh, m)
	return nil
}

// old: a quarter of its life is over. So a server may be away for the other
// three and no robot notices.
func (p *pass) old(expires time.Time, life time.Duration) bool {
	return expires.Sub(p.now) < life-life/4
}

// next is the version after one.
func next(before int64, now time.Time) int64 { return max(before+1, now.Unix()/60) }

// Listing is what a list says of releases, by name: what robots may take, and
// what they may no more.
func Listing(releases []release.Release) ([]tuf.File, error) {
	all := make([]tuf.File, 0, len(releases))
	for _, r := range releases {
		f := tuf.File{SHA256: r.SHA256, Size: r.Size, SKU: r.SKU, Version: r.Version, Protocol: r.Protocol, Release: r.Name, Status: tuf.Listed}
		if !r.Live() {
			f.Status = tuf.NoLonger
		}
		all = append(all, f)
	}
	if len(all) > tuf.MaxFiles { // what is not listed is refused as well
		all = slices.DeleteFunc(all, func(f tuf.File) bool { return f.Status == tuf.NoLonger })
	}
	if len(all) > tuf.MaxFiles {
		return nil, fmt.Errorf("%d releases can be downloaded, and a list holds %d: withdraw what no robot is to have any more", len(all), tuf.MaxFiles)
	}
	slices.SortFunc(all, func(a, b tuf.File) int { return bytes.Compare([]byte(a.Release+".bin"), []byte(b.Release+".bin")) })
	return all, nil
}

package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
)

// releaseColumns are what scanRelease reads, of releases r, artifacts a, signing_keys k.
const releaseColumns = `r.sku, r.version, r.name, r.protocol, r.sha256, a.size, a.app_sha256, a.key_id, r.published,
	CASE WHEN k.revoked <> 0 AND r.status <> 'withdrawn' THEN 'revoked' ELSE r.status END,
	CASE WHEN k.revoked <> 0 AND r.status <> 'withdrawn' THEN k.revoked ELSE r.changed END,
	CASE WHEN k.revoked <> 0 AND r.status <> 'withdrawn' THEN k.revoked_by ELSE r.by_whom END,
	CASE WHEN k.revoked <> 0 AND r.status <> 'withdrawn' THEN k.reason ELSE r.reason END`

const releaseTables = ` FROM releases r JOIN artifacts a ON a.sha256 = r.sha256 JOIN signing_keys k ON k.id = a.key_id `

func scanRelease(from row) (release.Release, error) {
	var r release.Release
	err := from.Scan(&r.SKU, text{&r.Version}, &r.Name, &r.Protocol, &r.SHA256, &r.Size, &r.AppSHA256, &r.Key, moment{&r.Published},
		&r.Status, moment{&r.Changed}, &r.By, &r.Reason)
	if err == nil {
		err = r.Check()
	}
	if err != nil {
		return release.Release{}, fmt.Errorf("release %s: %w", r.Name, err)
	}
	return r, nil
}

// Releases lists all, by SKU and rising version.
func (r *Reader) Releases(ctx context.Context) ([]release.Release, error) {
	out, err := all(ctx, r.q, scanRelease, `SELECT `+releaseColumns+releaseTables)
	if err != nil {
		return nil, fmt.Errorf("store: releases: %w", err)
	}
	slices.SortFunc(out, func(a, b release.Release) int {
		if c := strings.Compare(a.SKU, b.SKU); c != 0 {
			return c
		}
		return a.Version.Compare(b.Version)
	})
	return out, nil
}

// Release finds one by SKU and version.
func (r *Reader) Release(ctx context.Context, sku string, v compat.Version) (release.Release, error) {
	out, err := one(ctx, r.q, scanRelease, `SELECT `+releaseColumns+releaseTables+`WHERE r.sku = $1 AND r.version = $2`, sku, v.String())
	if err != nil {
		return release.Release{}, fmt.Errorf("store: release %s-%v: %w", sku, v, err)
	}
	return out, nil
}

// ReleaseNamed finds one by its name, such as standard-0.2.1.
func (r *Reader) ReleaseNamed(ctx context.Context, name string) (release.Release, error) {
	out, err := one(ctx, r.q, scanRelease, `SELECT `+releaseColumns+releaseTables+`WHERE r.name = $1`, name)
	if err != nil {
		return release.Release{}, fmt.Errorf("store: release %.64q: %w", name, err)
	}
	return out, nil
}

// Offered lists what a robot of that SKU may be offered now: what is stable,
// and what a rollout that goes on offers this robot, because it has its turn
// and has not put it back. With robot "" only what is stable.
func (r *Reader) Offered(ctx context.Context, sku, robot string) ([]release.Release, error) {
	out, err := all(ctx, r.q, scanRelease, `SELECT `+releaseColumns+releaseTables+`
		WHERE r.sku = $1 AND k.revoked = 0 AND (r.status = 'stable' OR r.status = 'published' AND EXISTS (
			SELECT 1 FROM rollout_robots m JOIN rollouts o ON o.id = m.rollout_id
			WHERE m.robot_id = $2 AND m.sku = r.sku AND o.version = r.version AND o.active
				AND o.phase IN ('running', 'asking') AND m.stage_no <= o.stage_no))
		AND NOT EXISTS (
			SELECT 1 FROM rollout_robots m JOIN rollouts o ON o.id = m.rollout_id
			WHERE m.robot_id = $2 AND o.version = r.version AND m.outcome = 'rolled_back')`, sku, robot)
	if err != nil {
		return nil, fmt.Errorf("store: what %.64q is offered: %w", robot, err)
	}
	return out, nil
}

// ErrRevoked says that the key that signed an image counts for nothing any more.
var ErrRevoked = errors.New("the key that signed it is revoked")

// A WithdrawnError refuses to publish again what was withdrawn.
type WithdrawnError struct{ Have release.Release }

func (e *WithdrawnError) Error() string {
	return fmt.Sprintf("%s was withdrawn on %s (%s): give the new build a new version", e.Have.Name, e.Have.Changed.Format(time.DateOnly), e.Have.Reason)
}

// Publish makes a signed file durable and then visible as fresh, which are the
// releases that release.Prove gave for it, with the status that they are to
// have. Their key has to be known. Publishing the same again changes nothing,
// but that a published one may become stable. Another file under the same SKU
// and version is a *release.ConflictError.
func (s *Store) Publish(ctx context.Context, signed []byte, fresh []release.Release) error {
	sum := sha256.Sum256(signed)
	for _, r := range fresh {
		if err := r.Check(); err != nil {
			return fmt.Errorf("store: publish: %w", err)
		}
		if r.SHA256 != hex.EncodeToString(sum[:]) || r.Size != int64(len(signed)) {
			return fmt.Errorf("store: publish: %s is of another file", r.Name)
		}
		if err := publishable(ctx, &s.Reader, r); err != nil {
			return err
		}
	}
	if err := s.keep(hex.EncodeToString(sum[:]), signed); err != nil {
		return err
	}
	return s.Update(ctx, "publish", func(tx *Tx) error {
		for _, r := range fresh {
			if err := tx.publish(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// publishable says why a release cannot be published; nil: it can.
func publishable(ctx context.Context, from *Reader, r release.Release) error {
	k, err := from.Key(ctx, r.Key)
	if err != nil {
		return err
	}
	if !k.Revoked.IsZero() {
		return fmt.Errorf("%s, key %s: %w", r.Name, r.Key, ErrRevoked)
	}
	have, err := from.Release(ctx, r.SKU, r.Version)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case have.SHA256 != r.SHA256:
		return &release.ConflictError{Have: have}
	case have.Status == release.Withdrawn:
		return &WithdrawnError{Have: have}
	}
	return nil
}

func (tx *Tx) publish(ctx context.Context, r release.Release) error {
	if err := publishable(ctx, &tx.Reader, r); err != nil {
		return err
	}
	if err := exec(ctx, tx.q, `INSERT INTO artifacts (sha256, size, app_sha256, key_id, added) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (sha256) DO NOTHING`, r.SHA256, r.Size, r.AppSHA256, r.Key, stamp(r.Published)); err != nil {
		return err
	}
	return exec(ctx, tx.q, `INSERT INTO releases (sku, version, name, protocol, sha256, published, status, changed, by_whom, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (sku, version) DO UPDATE SET status = excluded.status, changed = excluded.changed, by_whom = excluded.by_whom, reason = excluded.reason
		WHERE releases.status = 'published' AND excluded.status = 'stable'`,
		r.SKU, r.Version.String(), r.Name, r.Protocol, r.SHA256, stamp(r.Published), r.Status, stamp(r.Changed), r.By, r.Reason)
}

// SetStatus changes who may have a release. One that was withdrawn stays so:
// that is ErrConflict, unless it is withdrawn again, which changes nothing.
func (tx *Tx) SetStatus(ctx context.Context, sku string, v compat.Version, to release.Status, by, reason string) error {
	have, err := tx.Release(ctx, sku, v)
	switch {
	case err != nil:
		return err
	case have.Status == to:
		return nil
	case have.Status == release.Withdrawn:
		return fmt.Errorf("%w: %w", ErrConflict, &WithdrawnError{Have: have})
	}
	return only(ctx, tx.q, `UPDATE releases SET status = $3, changed = $4, by_whom = $5, reason = $6 WHERE sku = $1 AND version = $2`,
		sku, v.String(), to, stamp(tx.now()), by, reason)
}

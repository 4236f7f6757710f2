package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// Key is a key that signs images. Whether an image may be published, and
// whether robots get it, hangs on it.
type Key struct {
	ID      string    `json:"id"`
	Source  string    `json:"source"` // the file or the keyring document that it came from
	Added   time.Time `json:"added"`
	Revoked time.Time `json:"revoked,omitzero"`
	By      string    `json:"by,omitempty"`     // who revoked it
	Reason  string    `json:"reason,omitempty"` // and why
	// Public is the key itself; none is known of one that was revoked unseen.
	Public image.Key `json:"-"`
}

func scanKey(from row) (Key, error) {
	var k Key
	var public string
	if err := from.Scan(&k.ID, &public, &k.Source, moment{&k.Added}, moment{&k.Revoked}, &k.By, &k.Reason); err != nil {
		return Key{}, err
	}
	if public == "" {
		return k, nil
	}
	der, err := base64.StdEncoding.DecodeString(public)
	if err != nil {
		return Key{}, fmt.Errorf("key %s: %w", k.ID, err)
	}
	keys, err := image.ParseKeys(der)
	if err != nil || len(keys) != 1 || keys[0].ID != k.ID {
		return Key{}, fmt.Errorf("key %s: what is stored is not that key (%w)", k.ID, errors.Join(err, image.ErrKey))
	}
	k.Public = keys[0]
	return k, nil
}

const keyColumns = `SELECT id, public, source, added, revoked, revoked_by, reason FROM signing_keys `

// Keys lists all keys, the oldest first.
func (r *Reader) Keys(ctx context.Context) ([]Key, error) {
	out, err := all(ctx, r.q, scanKey, keyColumns+`ORDER BY added, id`)
	if err != nil {
		return nil, fmt.Errorf("store: keys: %w", err)
	}
	return out, nil
}

// Key finds a key by its id.
func (r *Reader) Key(ctx context.Context, id string) (Key, error) {
	out, err := one(ctx, r.q, scanKey, keyColumns+`WHERE id = $1`, id)
	if err != nil {
		return Key{}, fmt.Errorf("store: key %.16s: %w", id, err)
	}
	return out, nil
}

// Trusted is what images are verified with: all keys, and which of them are revoked.
func (r *Reader) Trusted(ctx context.Context) (image.Keyring, error) {
	keys, err := r.Keys(ctx)
	if err != nil {
		return image.Keyring{}, err
	}
	var public []image.Key
	var revoked []string
	for _, k := range keys {
		public = append(public, k.Public)
		if !k.Revoked.IsZero() {
			revoked = append(revoked, k.ID)
		}
	}
	return image.NewKeyring(public...).Without(revoked...), nil
}

// AddKey makes a key known. One that is known already, revoked or not, stays
// what it is; false says so.
func (tx *Tx) AddKey(ctx context.Context, k image.Key, source string) (bool, error) {
	public := base64.StdEncoding.EncodeToString(k.DER())
	n, err := changed(ctx, tx.q, `INSERT INTO signing_keys (id, public, source, added) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING`,
		k.ID, public, source, stamp(tx.now()))
	if err != nil || n > 0 {
		return n > 0, err
	}
	// One that was revoked unseen is seen now: a refusal can name it.
	return false, exec(ctx, tx.q, `UPDATE signing_keys SET public = $2 WHERE id = $1 AND public = ''`, k.ID, public)
}

// RevokeKey makes a key, known or not, count for nothing, for ever: what it
// signed is not offered and not served from that moment on. A key that is
// revoked already stays as it was.
func (tx *Tx) RevokeKey(ctx context.Context, id, by, reason string) error {
	at := stamp(tx.now())
	return exec(ctx, tx.q, `INSERT INTO signing_keys (id, public, source, added, revoked, revoked_by, reason) VALUES ($1, '', 'revoked unseen', $2, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET revoked = excluded.revoked, revoked_by = excluded.revoked_by, reason = excluded.reason WHERE signing_keys.revoked = 0`,
		id, at, by, reason)
}

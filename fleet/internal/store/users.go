package store

import (
	"context"
	"fmt"
	"time"
)

// Role is what a person may do.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
)

// User is a person who may look at the dashboard.
type User struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Password is its hash, with the hash's parameters.
	Password string    `json:"-"`
	Added    time.Time `json:"added"`
	Disabled time.Time `json:"disabled,omitzero"`
}

// Session is somebody's who has logged in.
type Session struct {
	User    string
	CSRF    string
	Created time.Time
	Seen    time.Time
	Expires time.Time
}

func scanUser(from row) (User, error) {
	var u User
	err := from.Scan(&u.Name, &u.Role, &u.Password, moment{&u.Added}, moment{&u.Disabled})
	return u, err
}

// Users lists all, by name.
func (r *Reader) Users(ctx context.Context) ([]User, error) {
	out, err := all(ctx, r.q, scanUser, `SELECT name, role, password, added, disabled FROM users ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("store: users: %w", err)
	}
	return out, nil
}

// User finds one by name.
func (r *Reader) User(ctx context.Context, name string) (User, error) {
	out, err := one(ctx, r.q, scanUser, `SELECT name, role, password, added, disabled FROM users WHERE name = $1`, name)
	if err != nil {
		return User{}, fmt.Errorf("store: user %.64q: %w", name, err)
	}
	return out, nil
}

// SaveUser adds a user, or changes one's role, password and whether it is
// disabled. Sessions of one whose password or role changes, or who is
// disabled, end.
func (tx *Tx) SaveUser(ctx context.Context, u User) error {
	if _, err := changed(ctx, tx.q, `INSERT INTO users (name, role, password, added, disabled) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (name) DO UPDATE SET role = excluded.role, password = excluded.password, disabled = excluded.disabled`,
		u.Name, u.Role, u.Password, stamp(tx.now()), stamp(u.Disabled)); err != nil {
		return err
	}
	return exec(ctx, tx.q, `DELETE FROM sessions WHERE user_name = $1`, u.Name)
}

// RemoveUser removes a user, whose sessions end.
func (tx *Tx) RemoveUser(ctx context.Context, name string) error {
	return only(ctx, tx.q, `DELETE FROM users WHERE name = $1`, name)
}

// AddSession stores a session under what the browser has; only its hash is kept.
func (tx *Tx) AddSession(ctx context.Context, id string, s Session) error {
	return exec(ctx, tx.q, `INSERT INTO sessions (id_hash, user_name, csrf, created, seen, expires) VALUES ($1, $2, $3, $4, $5, $6)`,
		hashed(id), s.User, s.CSRF, stamp(s.Created), stamp(s.Seen), stamp(s.Expires))
}

// Session finds a session that has not expired by what the browser has, and
// its user, who is not disabled.
func (r *Reader) Session(ctx context.Context, id string, now time.Time) (Session, User, error) {
	type both struct {
		Session
		User
	}
	out, err := one(ctx, r.q, func(from row) (both, error) {
		var b both
		err := from.Scan(&b.CSRF, moment{&b.Created}, moment{&b.Seen}, moment{&b.Expires},
			&b.Name, &b.Role, &b.Password, moment{&b.Added}, moment{&b.Disabled})
		b.Session.User = b.Name
		return b, err
	}, `SELECT s.csrf, s.created, s.seen, s.expires, u.name, u.role, u.password, u.added, u.disabled
		FROM sessions s JOIN users u ON u.name = s.user_name WHERE s.id_hash = $1 AND s.expires > $2 AND u.disabled = 0`, hashed(id), stamp(now))
	if err != nil {
		return Session{}, User{}, fmt.Errorf("store: session: %w", err)
	}
	return out.Session, out.User, nil
}

// SeeSession notes that a session was used, and until when it is good.
func (tx *Tx) SeeSession(ctx context.Context, id string, seen, expires time.Time) error {
	return only(ctx, tx.q, `UPDATE sessions SET seen = $2, expires = $3 WHERE id_hash = $1`, hashed(id), stamp(seen), stamp(expires))
}

// EndSession ends a session; one that is none is ended already.
func (tx *Tx) EndSession(ctx context.Context, id string) error {
	return exec(ctx, tx.q, `DELETE FROM sessions WHERE id_hash = $1`, hashed(id))
}

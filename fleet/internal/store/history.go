package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Event is one that a robot told of: a transition, a verdict on a command.
type Event struct {
	Robot    string    `json:"robot"`
	ID       string    `json:"id"` // that no other event of this robot has
	Kind     string    `json:"kind"`
	Seq      uint64    `json:"seq,omitempty"`
	At       time.Time `json:"at"`       // by the robot's clock
	Received time.Time `json:"received"` // by the server's
	JobID    string    `json:"job_id,omitempty"`
	Command  string    `json:"command_id,omitempty"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	Code     string    `json:"code,omitempty"`
	Text     string    `json:"text,omitempty"`
	// Body is the event as it came.
	Body json.RawMessage `json:"body"`
}

func scanEvent(from row) (Event, error) {
	var e Event
	err := from.Scan(&e.Robot, &e.ID, &e.Kind, &e.Seq, moment{&e.At}, moment{&e.Received}, &e.JobID, &e.Command, &e.From, &e.To, &e.Code, &e.Text, raw{&e.Body})
	return e, err
}

const eventColumns = `robot_id, event_id, kind, seq, at, received, job_id, command_id, from_state, to_state, code, text, body`

// AddEvent writes an event into a robot's history. False: it stands there
// already, and nothing that follows from it is to be done again.
func (tx *Tx) AddEvent(ctx context.Context, e Event) (bool, error) {
	body, err := given(e.Body)
	if err != nil {
		return false, err
	}
	n, err := changed(ctx, tx.q, `INSERT INTO robot_events (`+eventColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (robot_id, event_id) DO NOTHING`,
		e.Robot, e.ID, e.Kind, signed(e.Seq), stamp(e.At), stamp(e.Received), e.JobID, e.Command, e.From, e.To, e.Code, e.Text, body)
	return n > 0, err
}

// Events lists a robot's latest events, the newest first, those received
// before a moment; zero: all.
func (r *Reader) Events(ctx context.Context, robot string, before time.Time, limit int) ([]Event, error) {
	until := stamp(before)
	if until == 0 {
		until = 1 << 62
	}
	out, err := all(ctx, r.q, scanEvent, `SELECT `+eventColumns+` FROM robot_events WHERE robot_id = $1 AND received < $2
		ORDER BY received DESC, seq DESC, event_id DESC LIMIT $3`, robot, until, limit)
	if err != nil {
		return nil, fmt.Errorf("store: events of %.64q: %w", robot, err)
	}
	return out, nil
}

// Update is one update that a robot tried: what success rates and download
// times are made of.
type Update struct {
	Robot   string         `json:"robot"`
	JobID   string         `json:"job_id"`
	SKU     string         `json:"sku"`
	From    compat.Version `json:"from,omitzero"`
	Version compat.Version `json:"version,omitzero"`
	Rollout string         `json:"rollout,omitempty"`
	Origin  string         `json:"origin,omitempty"`
	Started time.Time      `json:"started"`
	// Download is how long the download took, in seconds; 0: not known.
	Download float64   `json:"download_seconds,omitempty"`
	Ended    time.Time `json:"ended,omitzero"`
	Outcome  string    `json:"outcome,omitempty"` // confirmed, failed, rolled_back
	Code     string    `json:"code,omitempty"`
	Text     string    `json:"text,omitempty"`
}

const updateColumns = `robot_id, job_id, sku, from_version, version, rollout_id, origin, started, download_seconds, ended, outcome, code, text`

func scanUpdate(from row) (Update, error) {
	var u Update
	err := from.Scan(&u.Robot, &u.JobID, &u.SKU, text{&u.From}, text{&u.Version}, &u.Rollout, &u.Origin, moment{&u.Started}, &u.Download,
		moment{&u.Ended}, &u.Outcome, &u.Code, &u.Text)
	return u, err
}

// SaveUpdate writes what is known of an update, in place of what was known.
func (tx *Tx) SaveUpdate(ctx context.Context, u Update) error {
	return exec(ctx, tx.q, `INSERT INTO updates (`+updateColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (robot_id, job_id) DO UPDATE SET sku = excluded.sku, from_version = excluded.from_version, version = excluded.version,
			rollout_id = excluded.rollout_id, origin = excluded.origin, started = excluded.started, download_seconds = excluded.download_seconds,
			ended = excluded.ended, outcome = excluded.outcome, code = excluded.code, text = excluded.text`,
		u.Robot, u.JobID, u.SKU, versionText(u.From), versionText(u.Version), u.Rollout, u.Origin, stamp(u.Started), u.Download,
		stamp(u.Ended), u.Outcome, u.Code, u.Text)
}

// UpdateOf finds an update by its job.
func (r *Reader) UpdateOf(ctx context.Context, robot, job string) (Update, error) {
	out, err := one(ctx, r.q, scanUpdate, `SELECT `+updateColumns+` FROM updates WHERE robot_id = $1 AND job_id = $2`, robot, job)
	if err != nil {
		return Update{}, fmt.Errorf("store: update %.64q of %.64q: %w", job, robot, err)
	}
	return out, nil
}

// EachUpdate calls do with one update after the other that began since a moment,
// those of one robot or, with "", of all.
func (r *Reader) EachUpdate(ctx context.Context, robot string, since time.Time, do func(Update) error) error {
	var f filter
	f.add("started >= ?", stamp(since))
	if robot != "" {
		f.add("robot_id = ?", robot)
	}
	err := each(ctx, r.q, func(from row) error {
		u, err := scanUpdate(from)
		if err != nil {
			return err
		}
		return do(u)
	}, `SELECT `+updateColumns+` FROM updates`+f.where()+` ORDER BY started, robot_id, job_id`, f.args...)
	if err != nil {
		return fmt.Errorf("store: updates: %w", err)
	}
	return nil
}

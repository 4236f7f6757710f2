package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Verb is what a command asks of a robot: the topic that it is published on is
// fleet/{robot}/commands/{verb}.
type Verb string

// The verbs.
const (
	VerbOTA      Verb = "ota"
	VerbRollback Verb = "rollback"
	VerbCancel   Verb = "cancel"
)

// Command is one to a robot, from when it was decided until it is complied with.
type Command struct {
	// ID is the command's own: robots act on it once. It follows from what it
	// was decided by, so that the same decision never makes two.
	ID       string          `json:"id"`
	Robot    string          `json:"robot"`
	Verb     Verb            `json:"verb"`
	Payload  json.RawMessage `json:"payload"`
	Version  compat.Version  `json:"version,omitzero"` // that it is about
	Rollout  string          `json:"rollout,omitempty"`
	Incident string          `json:"incident,omitempty"`
	Created  time.Time       `json:"created"`
	// Sent is when the broker took it last, Sends how often it did.
	Sent  time.Time `json:"sent,omitzero"`
	Sends int       `json:"sends,omitempty"`
	// Acknowledged is when the robot answered, with which verdict and code.
	Acknowledged time.Time `json:"acknowledged,omitzero"`
	Verdict      string    `json:"verdict,omitempty"`
	Code         string    `json:"code,omitempty"`
	// Complied is when the robot was seen to have done it, Dropped when it
	// became pointless.
	Complied time.Time `json:"complied,omitzero"`
	Dropped  time.Time `json:"dropped,omitzero"`
}

const commandColumns = `id, robot_id, verb, payload, version, rollout_id, incident_id, created, sent, sends, acknowledged, verdict, code, complied, dropped`

func scanCommand(from row) (Command, error) {
	var c Command
	err := from.Scan(&c.ID, &c.Robot, &c.Verb, raw{&c.Payload}, text{&c.Version}, &c.Rollout, &c.Incident, moment{&c.Created}, moment{&c.Sent}, &c.Sends,
		moment{&c.Acknowledged}, &c.Verdict, &c.Code, moment{&c.Complied}, moment{&c.Dropped})
	return c, err
}

// Enqueue stores commands to be sent. One that is there already stays as it is.
func (tx *Tx) Enqueue(ctx context.Context, commands ...Command) error {
	at := stamp(tx.now())
	rows := make([][]any, len(commands))
	for i, c := range commands {
		rows[i] = []any{c.ID, c.Robot, c.Verb, string(c.Payload), versionText(c.Version), c.Rollout, c.Incident, at}
	}
	return insert(ctx, tx.q, `INSERT INTO outbox (id, robot_id, verb, payload, version, rollout_id, incident_id, created)`, rows, `ON CONFLICT (id) DO NOTHING`)
}

// Due lists commands that are to be sent now: first those that the broker has
// not taken, the oldest first, then those that the robot has not answered for a
// while after the last time. That is unit times the square of how often it was
// sent, up to 100 units: soon at first, and seldom to a robot that is away.
func (r *Reader) Due(ctx context.Context, now time.Time, unit time.Duration, limit int) ([]Command, error) {
	out, err := all(ctx, r.q, scanCommand, `SELECT `+commandColumns+` FROM outbox
		WHERE complied = 0 AND dropped = 0 AND acknowledged = 0
			AND (sent = 0 OR sent + CAST($1 AS BIGINT) * (CASE WHEN sends < 10 THEN sends * sends ELSE 100 END) < $2)
		ORDER BY sent, created, id LIMIT $3`, unit.Microseconds(), stamp(now), limit)
	if err != nil {
		return nil, fmt.Errorf("store: outbox: %w", err)
	}
	return out, nil
}

// CommandQuery chooses commands; what is empty chooses nothing out.
type CommandQuery struct {
	Robot, Rollout, Incident string
	// Open leaves out what was complied with or dropped.
	Open bool
}

// Commands lists commands, the oldest first.
func (r *Reader) Commands(ctx context.Context, q CommandQuery) ([]Command, error) {
	var f filter
	for condition, value := range map[string]string{"robot_id = ?": q.Robot, "rollout_id = ?": q.Rollout, "incident_id = ?": q.Incident} {
		if value != "" {
			f.add(condition, value)
		}
	}
	if q.Open {
		f.add("complied = ? AND dropped = 0", 0)
	}
	out, err := all(ctx, r.q, scanCommand, `SELECT `+commandColumns+` FROM outbox`+f.where()+` ORDER BY created, id`, f.args...)
	if err != nil {
		return nil, fmt.Errorf("store: commands: %w", err)
	}
	return out, nil
}

// Command finds one by its id.
func (r *Reader) Command(ctx context.Context, id string) (Command, error) {
	out, err := one(ctx, r.q, scanCommand, `SELECT `+commandColumns+` FROM outbox WHERE id = $1`, id)
	if err != nil {
		return Command{}, fmt.Errorf("store: command %.64q: %w", id, err)
	}
	return out, nil
}

// Sent notes that the broker took the commands.
func (tx *Tx) Sent(ctx context.Context, ids ...string) error {
	at := stamp(tx.now())
	for _, id := range ids {
		if err := exec(ctx, tx.q, `UPDATE outbox SET sent = $2, sends = sends + 1 WHERE id = $1`, id, at); err != nil {
			return err
		}
	}
	return nil
}

// Acknowledge notes the first answer of a robot to its command. False: there is
// no such command of this robot, or it was answered before.
func (tx *Tx) Acknowledge(ctx context.Context, robot, id, verdict, code string) (bool, error) {
	n, err := changed(ctx, tx.q, `UPDATE outbox SET acknowledged = $3, verdict = $4, code = $5 WHERE id = $1 AND robot_id = $2 AND acknowledged = 0`,
		id, robot, stamp(tx.now()), verdict, code)
	return n > 0, err
}

// Comply notes that a robot was seen to have done what a command asks. False:
// it was noted before, or there is no such command of this robot.
func (tx *Tx) Comply(ctx context.Context, robot, id string) (bool, error) {
	n, err := changed(ctx, tx.q, `UPDATE outbox SET complied = $3 WHERE id = $1 AND robot_id = $2 AND complied = 0`, id, robot, stamp(tx.now()))
	return n > 0, err
}

// Drop notes that a command is not to be sent any more.
func (tx *Tx) Drop(ctx context.Context, ids ...string) error {
	at := stamp(tx.now())
	for _, id := range ids {
		if err := exec(ctx, tx.q, `UPDATE outbox SET dropped = $2 WHERE id = $1 AND dropped = 0 AND complied = 0`, id, at); err != nil {
			return err
		}
	}
	return nil
}

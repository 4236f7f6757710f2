package store

import (
	"context"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// UpdateCount is how many updates of a SKU ended, or not yet, in the same way.
type UpdateCount struct {
	SKU     string
	Outcome string // as in Update; "": it goes on
	Code    string
	Updates int
	// Downloads of which the time is known, and the sum of these times in seconds.
	Downloads int
	Seconds   float64
}

// CountUpdates counts the updates that began since a moment.
func (r *Reader) CountUpdates(ctx context.Context, since time.Time) ([]UpdateCount, error) {
	out, err := all(ctx, r.q, func(from row) (UpdateCount, error) {
		var c UpdateCount
		err := from.Scan(&c.SKU, &c.Outcome, &c.Code, &c.Updates, &c.Downloads, &c.Seconds)
		return c, err
	}, `SELECT sku, outcome, code, count(*), COALESCE(sum(CASE WHEN download_seconds > 0 THEN 1 ELSE 0 END), 0), COALESCE(sum(download_seconds), 0)
		FROM updates WHERE started >= $1 GROUP BY sku, outcome, code ORDER BY sku, outcome, code`, stamp(since))
	if err != nil {
		return nil, fmt.Errorf("store: count updates: %w", err)
	}
	return out, nil
}

// VersionCount is how many robots of a SKU run a firmware.
type VersionCount struct {
	SKU     string
	Version compat.Version // zero: not known yet
	Robots  int
}

// CountVersions counts the robots by SKU and by the firmware that they say they run.
func (r *Reader) CountVersions(ctx context.Context) ([]VersionCount, error) {
	out, err := all(ctx, r.q, func(from row) (VersionCount, error) {
		var c VersionCount
		err := from.Scan(&c.SKU, text{&c.Version}, &c.Robots)
		return c, err
	}, `SELECT r.sku, COALESCE(s.version, ''), count(*) FROM robots r LEFT JOIN robot_states s ON s.robot_id = r.id GROUP BY 1, 2 ORDER BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("store: count versions: %w", err)
	}
	return out, nil
}

// KeyCount is how many robots say that their firmware embeds a key, and have a
// keyring document of a version.
type KeyCount struct {
	Key     string // the id as the robots say it; "": they say none
	Keyring uint64 // 0: none
	Robots  int
}

// CountKeys counts the robots by what they say of their keys.
func (r *Reader) CountKeys(ctx context.Context) ([]KeyCount, error) {
	out, err := all(ctx, r.q, func(from row) (KeyCount, error) {
		var c KeyCount
		err := from.Scan(&c.Key, &c.Keyring, &c.Robots)
		return c, err
	}, `SELECT COALESCE(s.signing_key, ''), COALESCE(s.keyring, 0), count(*) FROM robots r LEFT JOIN robot_states s ON s.robot_id = r.id GROUP BY 1, 2 ORDER BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("store: count keys: %w", err)
	}
	return out, nil
}

// Presence is how many robots there are, and how many of them are heard.
type Presence struct {
	Robots int
	// Online: connected to the broker by their own word. Silent: heard once, and
	// not since the moment asked for. Never: not heard at all.
	Online, Silent, Never int
}

// Presence counts the robots that are heard; silent are those that nothing came
// from since a moment.
func (r *Reader) Presence(ctx context.Context, since time.Time) (Presence, error) {
	out, err := one(ctx, r.q, func(from row) (Presence, error) {
		var p Presence
		err := from.Scan(&p.Robots, &p.Online, &p.Silent, &p.Never)
		return p, err
	}, `SELECT count(*), COALESCE(sum(CASE WHEN s.online THEN 1 ELSE 0 END), 0),
		COALESCE(sum(CASE WHEN s.received > 0 AND s.received < $1 THEN 1 ELSE 0 END), 0),
		COALESCE(sum(CASE WHEN COALESCE(s.received, 0) = 0 THEN 1 ELSE 0 END), 0)
		FROM robots r LEFT JOIN robot_states s ON s.robot_id = r.id`, stamp(since))
	if err != nil {
		return Presence{}, fmt.Errorf("store: presence: %w", err)
	}
	return out, nil
}

// CommandCount is how many commands of a kind robots have not complied with.
type CommandCount struct {
	Verb Verb
	// Unsent: the broker has not taken them. Waiting: it has, and the robots
	// have not answered. Answered: they have, and were not seen to have done it.
	Unsent, Waiting, Answered int
}

// CountCommands counts the commands that are neither complied with nor dropped.
func (r *Reader) CountCommands(ctx context.Context) ([]CommandCount, error) {
	out, err := all(ctx, r.q, func(from row) (CommandCount, error) {
		var c CommandCount
		err := from.Scan(&c.Verb, &c.Unsent, &c.Waiting, &c.Answered)
		return c, err
	}, `SELECT verb, sum(CASE WHEN acknowledged = 0 AND sent = 0 THEN 1 ELSE 0 END), sum(CASE WHEN acknowledged = 0 AND sent > 0 THEN 1 ELSE 0 END),
		sum(CASE WHEN acknowledged > 0 THEN 1 ELSE 0 END) FROM outbox WHERE complied = 0 AND dropped = 0 GROUP BY verb ORDER BY verb`)
	if err != nil {
		return nil, fmt.Errorf("store: count commands: %w", err)
	}
	return out, nil
}

// StageCount is how many robots of a rollout have their turn at a stage and
// have come equally far.
type StageCount struct {
	Stage   string
	Outcome string // as in Assignment
	Robots  int
	// Offered of them have been offered the release.
	Offered int
}

// CountStages counts the robots of a rollout, stage after stage.
func (r *Reader) CountStages(ctx context.Context, rollout string) ([]StageCount, error) {
	out, err := all(ctx, r.q, func(from row) (StageCount, error) {
		var c StageCount
		err := from.Scan(&c.Stage, &c.Outcome, &c.Robots, &c.Offered)
		return c, err
	}, `SELECT stage, outcome, count(*), sum(CASE WHEN offered > 0 THEN 1 ELSE 0 END) FROM rollout_robots WHERE rollout_id = $1
		GROUP BY stage_no, stage, outcome ORDER BY stage_no, outcome`, rollout)
	if err != nil {
		return nil, fmt.Errorf("store: stages of rollout %.64q: %w", rollout, err)
	}
	return out, nil
}

// LastConfirmed is when the last of a rollout's robots confirmed the release,
// of those that did so far; zero: none has.
func (r *Reader) LastConfirmed(ctx context.Context, rollout string) (time.Time, error) {
	out, err := one(ctx, r.q, func(from row) (time.Time, error) {
		var t time.Time
		err := from.Scan(moment{&t})
		return t, err
	}, `SELECT COALESCE(max(confirmed), 0) FROM rollout_robots WHERE rollout_id = $1`, rollout)
	if err != nil {
		return time.Time{}, fmt.Errorf("store: rollout %.64q: %w", rollout, err)
	}
	return out, nil
}

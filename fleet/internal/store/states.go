package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// RobotState is what a robot last said of itself. Nothing of it is trusted to
// make sense. Who writes it decides which message is the newest.
type RobotState struct {
	Version    compat.Version  `json:"version,omitzero"` // of the firmware that runs
	Slot       string          `json:"slot,omitempty"`
	OTAState   string          `json:"ota_state,omitempty"`
	AppSHA256  string          `json:"app_sha256,omitempty"`
	Protocol   compat.Protocol `json:"protocol,omitempty"`
	SigningKey string          `json:"signing_key,omitempty"` // that the firmware embeds
	Companion  compat.Version  `json:"companion,omitzero"`
	Agent      string          `json:"agent,omitempty"`
	Keyring    uint64          `json:"keyring,omitempty"` // version of the keyring document

	JobID     string `json:"job_id,omitempty"`
	JobState  string `json:"job_state,omitempty"`
	JobTarget string `json:"job_target,omitempty"`

	// Status and Diagnostics are the last messages, as they came.
	Status      json.RawMessage `json:"status,omitempty"`
	Diagnostics json.RawMessage `json:"diagnostics,omitempty"`
	Diagnosed   time.Time       `json:"diagnosed,omitzero"`

	Online   bool   `json:"online"`
	Farewell string `json:"farewell,omitempty"` // the reason of the last good-bye: stopped, connection_lost, Silent

	// At, Epoch and Seq tell which status is newer; At is by the robot's clock.
	At    time.Time `json:"at,omitzero"`
	Epoch string    `json:"epoch,omitempty"`
	Seq   uint64    `json:"seq,omitempty"`
	// Received is when the last word of any kind came, by the server's clock,
	// Checked when the update server was last asked.
	Received time.Time `json:"received,omitzero"`
	Checked  time.Time `json:"checked,omitzero"`
}

// stateColumns are of robot_states s, which may be missing.
const stateColumns = `COALESCE(s.version, ''), COALESCE(s.slot, ''), COALESCE(s.ota_state, ''), COALESCE(s.app_sha256, ''), COALESCE(s.protocol, 0),
	COALESCE(s.signing_key, ''), COALESCE(s.companion, ''), COALESCE(s.agent, ''), COALESCE(s.keyring, 0),
	COALESCE(s.job_id, ''), COALESCE(s.job_state, ''), COALESCE(s.job_target, ''), ` + messageColumns + `, COALESCE(s.diagnosed, 0),
	COALESCE(s.online, FALSE), COALESCE(s.farewell, ''), COALESCE(s.at, 0), COALESCE(s.epoch, ''), COALESCE(s.seq, 0), COALESCE(s.received, 0), COALESCE(s.checked, 0)`

// messageColumns are what most of a state is, in bytes.
const messageColumns = `COALESCE(s.status, ''), COALESCE(s.diagnostics, '')`

// columns are where stateColumns are scanned to.
func (s *RobotState) columns() []any {
	return []any{text{&s.Version}, &s.Slot, &s.OTAState, &s.AppSHA256, &s.Protocol, &s.SigningKey, text{&s.Companion}, &s.Agent, &s.Keyring,
		&s.JobID, &s.JobState, &s.JobTarget, raw{&s.Status}, raw{&s.Diagnostics}, moment{&s.Diagnosed},
		&s.Online, &s.Farewell, moment{&s.At}, &s.Epoch, &s.Seq, moment{&s.Received}, moment{&s.Checked}}
}

// SetState replaces what is known of a robot; ErrNotFound where it is not
// registered. Read it with Tx.Robot in the same transaction: then nobody
// else's change is lost.
func (tx *Tx) SetState(ctx context.Context, robot string, s RobotState) error {
	status, err := given(s.Status)
	if err != nil {
		return err
	}
	diagnostics, err := given(s.Diagnostics)
	if err != nil {
		return err
	}
	n, err := changed(ctx, tx.q, `INSERT INTO robot_states (robot_id, version, slot, ota_state, app_sha256, protocol, signing_key, companion, agent, keyring,
			job_id, job_state, job_target, status, diagnostics, diagnosed, online, farewell, at, epoch, seq, received, checked)
		SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23 FROM robots WHERE id = $1
		ON CONFLICT (robot_id) DO UPDATE SET version = excluded.version, slot = excluded.slot, ota_state = excluded.ota_state, app_sha256 = excluded.app_sha256,
			protocol = excluded.protocol, signing_key = excluded.signing_key, companion = excluded.companion, agent = excluded.agent, keyring = excluded.keyring,
			job_id = excluded.job_id, job_state = excluded.job_state, job_target = excluded.job_target, status = excluded.status,
			diagnostics = excluded.diagnostics, diagnosed = excluded.diagnosed, online = excluded.online, farewell = excluded.farewell,
			at = excluded.at, epoch = excluded.epoch, seq = excluded.seq, received = excluded.received, checked = excluded.checked`,
		robot, versionText(s.Version), s.Slot, s.OTAState, s.AppSHA256, int64(s.Protocol), s.SigningKey, versionText(s.Companion), s.Agent, signed(s.Keyring),
		s.JobID, s.JobState, s.JobTarget, status, diagnostics, stamp(s.Diagnosed), s.Online, s.Farewell,
		stamp(s.At), s.Epoch, signed(s.Seq), stamp(s.Received), stamp(s.Checked))
	if err == nil && n == 0 {
		err = fmt.Errorf("robot %.64q: %w", robot, ErrNotFound)
	}
	return err
}

// Silent is the farewell of a robot that said none.
const Silent = "silent"

// Silence takes robots for gone that were online and have not been heard since a
// moment. It gives their number.
func (tx *Tx) Silence(ctx context.Context, since time.Time) (int64, error) {
	return changed(ctx, tx.q, `UPDATE robot_states SET online = FALSE, farewell = $2 WHERE online AND received < $1`, stamp(since), Silent)
}

// NoteCheck notes that a robot asked for what it should have, and which version
// it was offered; zero: none. That is how a rollout knows whom it has offered its release.
func (tx *Tx) NoteCheck(ctx context.Context, robot string, offered compat.Version) error {
	at := stamp(tx.now())
	if _, err := changed(ctx, tx.q, `INSERT INTO robot_states (robot_id, checked) SELECT id, $2 FROM robots WHERE id = $1
		ON CONFLICT (robot_id) DO UPDATE SET checked = excluded.checked`, robot, at); err != nil || offered.IsZero() {
		return err
	}
	return exec(ctx, tx.q, `UPDATE rollout_robots SET offered = $3 WHERE robot_id = $1 AND offered = 0
		AND rollout_id IN (SELECT id FROM rollouts WHERE version = $2 AND active)`, robot, offered.String(), at)
}

// versionText is a version as stored: empty where it is not known.
func versionText(v compat.Version) string {
	if v.IsZero() {
		return ""
	}
	return v.String()
}

package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
)

// Robot is one of the fleet: as it was registered, and as it reports itself.
type Robot struct {
	ID  string `json:"id"`
	SKU string `json:"sku"`
	// Companion is the version of the companion's software as registered; zero:
	// not known. What the robot reports comes first.
	Companion compat.Version `json:"companion,omitzero"`
	// Internal robots are test robots: a rollout's first stage.
	Internal bool     `json:"internal,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Note     string   `json:"note,omitempty"`
	// TokenAt is since when it has the bearer token that it has; zero: it has none.
	TokenAt time.Time `json:"token_at,omitzero"`
	// Certificate is the common name of its client certificate; empty: its id.
	Certificate string     `json:"certificate,omitempty"`
	Added       time.Time  `json:"added"`
	State       RobotState `json:"state"`
}

// CompanionVersion is the version of the companion's software, as reported or
// else as registered.
func (r Robot) CompanionVersion() compat.Version {
	if !r.State.Companion.IsZero() {
		return r.State.Companion
	}
	return r.Companion
}

// Bounds of what is registered.
const (
	maxTags = 16
	maxTag  = 40  // bytes
	maxNote = 500 // bytes
)

var robotID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ErrRobot says that something cannot be a robot's.
var ErrRobot = errors.New("not a robot that can be registered")

// IsRobotID says whether a robot can have that id.
func IsRobotID(id string) bool { return robotID.MatchString(id) }

// Check says why the robot cannot be registered; nil: it can.
func (r Robot) Check() error {
	switch {
	case !IsRobotID(r.ID):
		return fmt.Errorf("%w: its id %.64q: want 1 to 64 letters, digits, - and _", ErrRobot, r.ID)
	case !release.Known(r.SKU):
		return fmt.Errorf("%w: its SKU %.40q is unknown", ErrRobot, r.SKU)
	case len(r.Tags) > maxTags:
		return fmt.Errorf("%w: it has %d tags, at most %d are possible", ErrRobot, len(r.Tags), maxTags)
	case len(r.Note) > maxNote:
		return fmt.Errorf("%w: its note has more than %d bytes", ErrRobot, maxNote)
	case r.Certificate != "" && (len(r.Certificate) > 64 || !robotID.MatchString(r.Certificate)):
		return fmt.Errorf("%w: the certificate's name %.64q: want 1 to 64 letters, digits, - and _", ErrRobot, r.Certificate)
	}
	for _, t := range r.Tags {
		if t == "" || len(t) > maxTag {
			return fmt.Errorf("%w: the tag %.40q: want 1 to %d bytes", ErrRobot, t, maxTag)
		}
	}
	return nil
}

const robotColumns = `SELECT r.id, r.sku, r.companion, r.internal, r.tags, r.note, r.token_at, r.certificate, r.added, ` + stateColumns + `
	FROM robots r LEFT JOIN robot_states s ON s.robot_id = r.id `

func scanRobot(from row) (Robot, error) {
	var r Robot
	into := append([]any{&r.ID, &r.SKU, text{&r.Companion}, &r.Internal, document{&r.Tags}, &r.Note, moment{&r.TokenAt}, &r.Certificate, moment{&r.Added}},
		r.State.columns()...)
	if err := from.Scan(into...); err != nil {
		return Robot{}, fmt.Errorf("robot %s: %w", r.ID, err)
	}
	if r.Certificate == r.ID {
		r.Certificate = ""
	}
	return r, nil
}

// Robot finds a robot by its id.
func (r *Reader) Robot(ctx context.Context, id string) (Robot, error) {
	out, err := one(ctx, r.q, scanRobot, robotColumns+`WHERE r.id = $1`, id)
	if err != nil {
		return Robot{}, fmt.Errorf("store: robot %.64q: %w", id, err)
	}
	return out, nil
}

// RobotWithToken finds the robot that has a bearer token.
func (r *Reader) RobotWithToken(ctx context.Context, token string) (Robot, error) {
	out, err := one(ctx, r.q, scanRobot, robotColumns+`WHERE r.token_hash = $1 AND r.token_hash <> ''`, hashed(token)) // the latter for the index
	if err != nil {
		return Robot{}, fmt.Errorf("store: robot of a token: %w", err)
	}
	return out, nil
}

// RobotWithCertificate finds the robot of a client certificate's common name.
func (r *Reader) RobotWithCertificate(ctx context.Context, name string) (Robot, error) {
	out, err := one(ctx, r.q, scanRobot, robotColumns+`WHERE r.certificate = $1`, name)
	if err != nil {
		return Robot{}, fmt.Errorf("store: robot of the certificate %.64q: %w", name, err)
	}
	return out, nil
}

// RobotQuery chooses robots, by rising id.
type RobotQuery struct {
	SKU   string // "": all
	After string // the id of the last one that was seen
	Limit int    // 0: all
	// Brief leaves out the last messages, State.Status and State.Diagnostics: for
	// whoever looks at the whole fleet again and again.
	Brief bool
}

// Robots lists robots.
func (r *Reader) Robots(ctx context.Context, q RobotQuery) ([]Robot, error) {
	var out []Robot
	err := r.EachRobot(ctx, q, func(robot Robot) error { out = append(out, robot); return nil })
	return out, err
}

// EachRobot calls do with one robot after the other.
func (r *Reader) EachRobot(ctx context.Context, q RobotQuery, do func(Robot) error) error {
	var f filter
	if q.SKU != "" {
		f.add("r.sku = ?", q.SKU)
	}
	if q.After != "" {
		f.add("r.id > ?", q.After)
	}
	columns := robotColumns
	if q.Brief {
		columns = strings.Replace(columns, messageColumns, `'', ''`, 1)
	}
	query := columns + f.where() + ` ORDER BY r.id`
	if q.Limit > 0 {
		query += ` LIMIT ` + strconv.Itoa(q.Limit)
	}
	err := each(ctx, r.q, func(from row) error {
		robot, err := scanRobot(from)
		if err != nil {
			return err
		}
		return do(robot)
	}, query, f.args...)
	if err != nil {
		return fmt.Errorf("store: robots: %w", err)
	}
	return nil
}

// CountRobots counts the robots of each SKU.
func (r *Reader) CountRobots(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	err := each(ctx, r.q, func(from row) error {
		var sku string
		var n int
		err := from.Scan(&sku, &n)
		out[sku] = n
		return err
	}, `SELECT sku, count(*) FROM robots GROUP BY sku`)
	if err != nil {
		return nil, fmt.Errorf("store: count robots: %w", err)
	}
	return out, nil
}

// AddRobot registers a robot; ErrExists where there is one of that id, or with
// that certificate.
func (tx *Tx) AddRobot(ctx context.Context, r Robot) error {
	if err := r.Check(); err != nil {
		return err
	}
	tags, err := encoded(append([]string{}, r.Tags...))
	if err != nil {
		return err
	}
	n, err := changed(ctx, tx.q, `INSERT INTO robots (id, sku, companion, internal, tags, note, certificate, added) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT DO NOTHING`, r.ID, r.SKU, versionText(r.Companion), r.Internal, tags, r.Note, r.commonName(), stamp(tx.now()))
	if err == nil && n == 0 {
		err = fmt.Errorf("robot %s, or its certificate's name: %w", r.ID, ErrExists)
	}
	return err
}

// EnsureRobot registers a robot that nobody registered: one that is heard in a
// laboratory. One that is there stays as it is.
func (tx *Tx) EnsureRobot(ctx context.Context, id, sku string) error {
	err := tx.AddRobot(ctx, Robot{ID: id, SKU: sku})
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// SaveRobot changes what is registered of a robot: all but its id and token.
func (tx *Tx) SaveRobot(ctx context.Context, r Robot) error {
	if err := r.Check(); err != nil {
		return err
	}
	tags, err := encoded(append([]string{}, r.Tags...))
	if err != nil {
		return err
	}
	return only(ctx, tx.q, `UPDATE robots SET sku = $2, companion = $3, internal = $4, tags = $5, note = $6, certificate = $7 WHERE id = $1`,
		r.ID, r.SKU, versionText(r.Companion), r.Internal, tags, r.Note, r.commonName())
}

// SetToken gives a robot a bearer token in place of the one that it had; an
// empty one takes it away. Only the token's hash is kept.
func (tx *Tx) SetToken(ctx context.Context, id, token string) error {
	hash, at := "", int64(0)
	if token != "" {
		hash, at = hashed(token), stamp(tx.now())
	}
	return only(ctx, tx.q, `UPDATE robots SET token_hash = $2, token_at = $3 WHERE id = $1`, id, hash, at)
}

// RemoveRobot takes a robot out of the fleet, with its state and history. What
// rollouts have noted of it stays.
func (tx *Tx) RemoveRobot(ctx context.Context, id string) error {
	return only(ctx, tx.q, `DELETE FROM robots WHERE id = $1`, id)
}

// commonName is the certificate's name as stored.
func (r Robot) commonName() string {
	if r.Certificate == "" {
		return r.ID
	}
	return r.Certificate
}

// hashed is the form in which secrets are kept that are random and long.
func hashed(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

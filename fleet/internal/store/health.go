package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Counters are sums of what an agent counted. The fields are those of
// rollout.Counters, in their order, so that one converts to the other.
type Counters struct {
	OK          float64 `json:"ok"` // minutes, by the worst level of the diagnostics in each
	Warn        float64 `json:"warn"`
	Error       float64 `json:"error"`
	Silent      float64 `json:"silent"`
	Odometry    float64 `json:"odometry"` // messages
	Diagnostics float64 `json:"diagnostics"`
	Battery     float64 `json:"battery"`
	Used        float64 `json:"used"`        // charge, a fraction
	Discharging float64 `json:"discharging"` // seconds
	EStops      float64 `json:"estops"`
	Reboots     float64 `json:"reboots"`
	Tries       float64 `json:"tries"` // DTLS handshakes
	Failures    float64 `json:"failures"`
}

func (c *Counters) columns() []any {
	return []any{&c.OK, &c.Warn, &c.Error, &c.Silent, &c.Odometry, &c.Diagnostics, &c.Battery, &c.Used, &c.Discharging, &c.EStops, &c.Reboots, &c.Tries, &c.Failures}
}

func (c Counters) values() []any {
	return []any{c.OK, c.Warn, c.Error, c.Silent, c.Odometry, c.Diagnostics, c.Battery, c.Used, c.Discharging, c.EStops, c.Reboots, c.Tries, c.Failures}
}

// ErrNumber says that a counter is infinite or no number.
var ErrNumber = errors.New("a counter is infinite or no number")

// Hour is what was counted of a robot in an hour under one firmware.
type Hour struct {
	Robot    string
	Begin    time.Time // the beginning of the hour, by the server's clock
	Firmware compat.Version
	// First and Last word that came in it, and the longest silence that ended in it, in seconds.
	First, Last time.Time
	Gap         float64
	Counters
}

// AddHealth adds to what was counted in an hour: the counters are sums, the
// words widen, the longer gap counts. The caller sees to it that each minute
// is added once: see Ledger.
func (tx *Tx) AddHealth(ctx context.Context, h Hour) error {
	for _, v := range append(h.values(), h.Gap) {
		if f, _ := v.(float64); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("health of %s: %w", h.Robot, ErrNumber)
		}
	}
	args := append([]any{h.Robot, stamp(h.Begin.Truncate(time.Hour)), versionText(h.Firmware), stamp(h.First), stamp(h.Last), h.Gap}, h.values()...)
	return exec(ctx, tx.q, `INSERT INTO health (robot_id, hour, firmware, first_heard, last_heard, gap, `+counterColumns+`)
		VALUES `+placeholders(1, len(args))+`
		ON CONFLICT (robot_id, hour, firmware) DO UPDATE SET
			first_heard = CASE WHEN excluded.first_heard < health.first_heard THEN excluded.first_heard ELSE health.first_heard END,
			last_heard = CASE WHEN excluded.last_heard > health.last_heard THEN excluded.last_heard ELSE health.last_heard END,
			gap = CASE WHEN excluded.gap > health.gap THEN excluded.gap ELSE health.gap END,
			ok = health.ok + excluded.ok, warn = health.warn + excluded.warn, error = health.error + excluded.error, silent = health.silent + excluded.silent,
			odometry = health.odometry + excluded.odometry, diagnostics = health.diagnostics + excluded.diagnostics, battery = health.battery + excluded.battery,
			used = health.used + excluded.used, discharging = health.discharging + excluded.discharging, estops = health.estops + excluded.estops,
			reboots = health.reboots + excluded.reboots, tries = health.tries + excluded.tries, failures = health.failures + excluded.failures`, args...)
}

const counterColumns = `ok, warn, error, silent, odometry, diagnostics, battery, used, discharging, estops, reboots, tries, failures`

func scanHour(from row) (Hour, error) {
	var h Hour
	into := append([]any{&h.Robot, moment{&h.Begin}, text{&h.Firmware}, moment{&h.First}, moment{&h.Last}, &h.Gap}, h.columns()...)
	err := from.Scan(into...)
	return h, err
}

// HealthQuery chooses hours, by robot and then by time.
type HealthQuery struct {
	Robot string // "": every robot
	SKU   string // "": of every SKU
	// From and To are bounds: hours that begin at From or later and before To.
	// Zero: no bound.
	From, To time.Time
}

// EachHour calls do with what was counted, hour after hour.
func (r *Reader) EachHour(ctx context.Context, q HealthQuery, do func(Hour) error) error {
	var f filter
	if q.Robot != "" {
		f.add("robot_id = ?", q.Robot)
	}
	if q.SKU != "" {
		f.add("robot_id IN (SELECT id FROM robots WHERE sku = ?)", q.SKU)
	}
	if !q.From.IsZero() {
		f.add("hour >= ?", stamp(q.From.Truncate(time.Hour)))
	}
	if !q.To.IsZero() {
		f.add("hour < ?", stamp(q.To))
	}
	err := each(ctx, r.q, func(from row) error {
		h, err := scanHour(from)
		if err != nil {
			return err
		}
		return do(h)
	}, `SELECT robot_id, hour, firmware, first_heard, last_heard, gap, `+counterColumns+` FROM health`+f.where()+` ORDER BY robot_id, hour, firmware`, f.args...)
	if err != nil {
		return fmt.Errorf("store: health: %w", err)
	}
	return nil
}

// Ledger is how far a robot's cumulative counters were counted in, as its
// keeper wrote it; nil: nothing was.
func (r *Reader) Ledger(ctx context.Context, robot string) (json.RawMessage, error) {
	out, err := all(ctx, r.q, func(from row) (json.RawMessage, error) {
		var l json.RawMessage
		err := from.Scan(raw{&l})
		return l, err
	}, `SELECT ledger FROM ledgers WHERE robot_id = $1`, robot)
	if err != nil {
		return nil, fmt.Errorf("store: ledger of %.64q: %w", robot, err)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out[0], nil
}

// SetLedger replaces it, in the transaction that adds what it says was counted.
func (tx *Tx) SetLedger(ctx context.Context, robot string, l json.RawMessage) error {
	ledger, err := given(l)
	if err != nil {
		return err
	}
	return exec(ctx, tx.q, `INSERT INTO ledgers (robot_id, ledger) VALUES ($1, $2) ON CONFLICT (robot_id) DO UPDATE SET ledger = excluded.ledger`, robot, ledger)
}

package ingest

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// stamp orders messages: of one epoch a higher number is newer.
type stamp struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// maxSeq is more than any agent counts to, and what a database still holds.
const maxSeq = 1 << 62

func (s stamp) check() error {
	if !named(s.Epoch) {
		return fmt.Errorf("epoch: want 1 to %d printable characters", maxName)
	}
	if s.Seq == 0 || s.Seq > maxSeq {
		return fmt.Errorf("seq: want 1 to 2⁶², not %d", s.Seq)
	}
	return nil
}

// origin is who says it; every message but diagnostics has more than that.
type origin struct {
	RobotID string `json:"robot_id"`
	SKU     string `json:"sku"`
}

// installed is a firmware.
type installed struct {
	Slot      string         `json:"slot"`
	Version   compat.Version `json:"version"`
	AppSHA256 string         `json:"app_sha256"`
}

// statusWord is ota/status, as far as it is read.
type statusWord struct {
	origin
	stamp
	At        time.Time       `json:"at"`
	Agent     string          `json:"agent"`
	Companion compat.Version  `json:"companion"`
	Protocol  compat.Protocol `json:"protocol"`
	OTAState  string          `json:"ota_state"`
	State     string          `json:"state"`
	JobID     string          `json:"job_id"`
	Running   installed       `json:"running"`
	Target    compat.Version  `json:"target"`
	Keys      struct {
		Keyring  uint64 `json:"keyring"`
		Firmware string `json:"firmware"`
	} `json:"keys"`
}

func (s statusWord) check() error {
	if s.State == "" {
		return fmt.Errorf("state: %w", errMissing)
	}
	return s.stamp.check()
}

// onlineWord is ota/online.
type onlineWord struct {
	origin
	stamp
	Online bool      `json:"online"`
	Reason string    `json:"reason"`
	Agent  string    `json:"agent"`
	At     time.Time `json:"at"`
}

// eventWord is ota/event, as far as it is read.
type eventWord struct {
	origin
	ID      string         `json:"id"`
	Seq     uint64         `json:"seq"`
	At      time.Time      `json:"at"`
	Kind    string         `json:"kind"`
	JobID   string         `json:"job_id"`
	Command string         `json:"command_id"`
	Topic   string         `json:"topic"`
	Verdict string         `json:"verdict"`
	Code    string         `json:"code"`
	Text    string         `json:"text"`
	JobKind string         `json:"job_kind"`
	Origin  string         `json:"origin"`
	From    string         `json:"from"`
	To      string         `json:"to"`
	Running installed      `json:"running"`
	Target  compat.Version `json:"target"`
}

func (e eventWord) check() error {
	switch {
	case !named(e.ID):
		return fmt.Errorf("id: want 1 to %d printable characters", maxName)
	case !named(e.Kind):
		return fmt.Errorf("kind: want 1 to %d printable characters", maxName)
	case e.Seq > maxSeq:
		return fmt.Errorf("seq: want at most 2⁶², not %d", e.Seq)
	}
	return nil
}

// healthWord is ota/health: cumulative counters of an epoch.
type healthWord struct {
	origin
	stamp
	Schema   int            `json:"schema"`
	Firmware compat.Version `json:"firmware"`
	At       time.Time      `json:"at"`
	Seconds  float64        `json:"seconds"`
	Counters store.Counters `json:"counters"`
}

// healthSchema is the form of health that is read.
const healthSchema = 1

// Bounds of what can have been counted; a count is never negative, and the
// charge only by what readings are off.
const (
	maxCount  = 1e12
	maxCharge = 1e6
)

func (h healthWord) check() error {
	if h.Schema != healthSchema {
		return fmt.Errorf("schema %d: this server reads %d", h.Schema, healthSchema)
	}
	for name, v := range map[string]float64{
		"seconds": h.Seconds, "ok": h.Counters.OK, "warn": h.Counters.Warn, "error": h.Counters.Error, "silent": h.Counters.Silent,
		"odometry": h.Counters.Odometry, "diagnostics": h.Counters.Diagnostics, "battery": h.Counters.Battery, "discharging": h.Counters.Discharging,
		"estops": h.Counters.EStops, "reboots": h.Counters.Reboots, "tries": h.Counters.Tries, "failures": h.Counters.Failures,
	} {
		if !(v >= 0 && v <= maxCount) {
			return fmt.Errorf("%s: %v cannot have been counted", name, v)
		}
	}
	if math.Abs(h.Counters.Used) > maxCharge {
		return fmt.Errorf("used: %v cannot have been counted", h.Counters.Used)
	}
	const slack = 2 // minutes
	if c := h.Counters; c.OK+c.Warn+c.Error+c.Silent > h.Seconds/60+slack {
		return fmt.Errorf("more minutes are counted than the %v s that it took", h.Seconds)
	}
	return h.stamp.check()
}

// diagnosticsWord is diagnostics, as the robot's bridge publishes them.
type diagnosticsWord struct {
	RobotID   string  `json:"robot_id"`
	Timestamp float64 `json:"timestamp"` // unix, in seconds
	Status    []struct {
		Name  string `json:"name"`
		Level int    `json:"level"`
	} `json:"status"`
}

// at is the moment of the timestamp, which is of a four-digit year.
func (d diagnosticsWord) at() time.Time {
	return time.UnixMicro(int64(d.Timestamp * 1e6)).UTC()
}

// worst is the highest level.
func (d diagnosticsWord) worst() int {
	worst := 0
	for _, s := range d.Status {
		worst = max(worst, s.Level)
	}
	return worst
}

func (d diagnosticsWord) check() error {
	const year10000 = 253402300800
	if !(d.Timestamp > 0 && d.Timestamp < year10000) {
		return fmt.Errorf("timestamp: %v is no unix time in seconds", d.Timestamp)
	}
	return nil
}

// word is one of the above.
type word interface {
	check() error
	who() string
}

func (o origin) who() string          { return o.RobotID }
func (d diagnosticsWord) who() string { return d.RobotID }

// read reads a message of any kind.
func read(m Message) (word, error) {
	if len(m.Payload) > MaxPayload {
		return nil, m.refuse(codeOversized, "it has more than %d bytes", MaxPayload)
	}
	switch m.Kind {
	case Status:
		return readAs[statusWord](m)
	case Event:
		return readAs[eventWord](m)
	case Health:
		return readAs[healthWord](m)
	case Online:
		return readAs[onlineWord](m)
	case Diagnostics:
		return readAs[diagnosticsWord](m)
	}
	return nil, m.refuse(codeMalformed, "it is of no known kind")
}

func readAs[W word](m Message) (word, error) {
	var w W
	if err := json.Unmarshal(m.Payload, &w); err != nil {
		return nil, m.refuse(codeMalformed, "%.200s", err)
	}
	if w.who() != m.Robot {
		return nil, m.refuse(codeForeign, "its robot_id is %.64q", w.who())
	}
	if err := w.check(); err != nil {
		return nil, m.refuse(codeMalformed, "%v", err)
	}
	return w, nil
}

// errMissing says that a field is not there.
var errMissing = fmt.Errorf("is missing")

// named says that s can name something.
func named(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// clip bounds a text that is kept.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

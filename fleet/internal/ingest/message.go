package ingest

import (
	"fmt"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Kind of a message: the end of its topic.
type Kind string

// The kinds.
const (
	Status      Kind = "status"
	Event       Kind = "event"
	Health      Kind = "health"
	Online      Kind = "online"
	Diagnostics Kind = "diagnostics"
)

// Bounds.
const (
	// MaxPayload is the most bytes of a message.
	MaxPayload = 64 << 10
	// maxDocuments are the most messages of one report.
	maxDocuments = 16
	maxName      = 128  // bytes of an id or a name
	maxText      = 1000 // bytes of a text for people that is kept in a column
)

// Message is what a robot said.
type Message struct {
	Robot   string
	Kind    Kind
	Payload []byte
	// Retained: the broker kept it, for whoever asks; the robot has not said it
	// now.
	Retained bool
	// Received is when it came, by the server's clock.
	Received time.Time
}

// Topic tells what is published on a topic; false: nothing that is taken.
func Topic(topic string) (robot string, k Kind, ok bool) {
	rest, ours := strings.CutPrefix(topic, "fleet/")
	robot, rest, whole := strings.Cut(rest, "/")
	if !ours || !whole || !store.IsRobotID(robot) {
		return "", "", false
	}
	if k, ok = under(rest); !ok {
		return "", "", false
	}
	return robot, k, true
}

// under is the kind on a topic below fleet/{robot_id}/.
func under(topic string) (Kind, bool) {
	switch topic {
	case "ota/status":
		return Status, true
	case "ota/event":
		return Event, true
	case "ota/health":
		return Health, true
	case "ota/online":
		return Online, true
	case "diagnostics":
		return Diagnostics, true
	}
	return "", false
}

// RefusedError says what is wrong with a message. Nothing of it was stored, and
// saying it again does not help.
type RefusedError struct {
	Robot string
	Kind  Kind
	// Code is one of few: malformed, oversized, foreign, unknown_robot.
	Code string
	Why  string
}

// The codes of refusals.
const (
	codeMalformed = "malformed"
	codeOversized = "oversized"
	codeForeign   = "foreign"
	codeUnknown   = "unknown_robot"
)

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s of robot %.64q is not taken: %s", e.Kind, e.Robot, e.Why)
}

// Refusal is what the robot is told.
func (e *RefusedError) Refusal() string { return string(e.Kind) + ": " + e.Why }

func (m Message) refuse(code, format string, args ...any) *RefusedError {
	return &RefusedError{Robot: m.Robot, Kind: m.Kind, Code: code, Why: fmt.Sprintf(format, args...)}
}

package mqttlink

import (
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Kinds of event.
const (
	KindTransition = "transition"
	KindCommand    = "command"
)

// Verdicts on commands.
const (
	VerdictFollowed = "followed"
	VerdictRefused  = "refused"
	VerdictIgnored  = "ignored" // a duplicate: its effect is there
)

// Event is one message on ota/event.
type Event struct {
	// ID is the same in every copy of an event, and in no other event of the
	// fleet's robots.
	ID string `json:"id"`
	// Seq counts the events of one state directory; a gap is a loss.
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	RobotID string    `json:"robot_id"`
	Kind    string    `json:"kind"` // transition, command
	// Lost counts the events that were given up, all in all, because the
	// broker was away for too long.
	Lost uint64 `json:"lost,omitempty"`

	JobID   string        `json:"job_id,omitempty"`
	Command string        `json:"command_id,omitempty"`
	Topic   string        `json:"topic,omitempty"`   // of a command, below fleet/{robot_id}/
	Verdict string        `json:"verdict,omitempty"` // on a command
	Code    string        `json:"code,omitempty"`    // of a verdict or failure
	Text    string        `json:"text,omitempty"`    // the same for people
	JobKind update.Kind   `json:"job_kind,omitempty"`
	Origin  update.Origin `json:"origin,omitempty"`
	From    update.State  `json:"from,omitempty"`
	To      update.State  `json:"to,omitempty"`
	Cause   string        `json:"cause,omitempty"` // what led from one to the other
	// Running is what the chip held before the job, Target what it is to hold.
	Running update.Installed `json:"running,omitzero"`
	Target  compat.Version   `json:"target,omitzero"`
	Slot    string           `json:"slot,omitempty"`
	AppHash string           `json:"app_sha256,omitempty"`
	// Downloaded bytes of the image, and Patched: it was rebuilt from one that
	// the robot kept.
	Downloaded int64 `json:"downloaded_bytes,omitempty"`
	Patched    bool  `json:"patched,omitempty"`

	Reasons  []preflight.Reason `json:"reasons,omitempty"`
	Evidence []string           `json:"evidence,omitempty"`
}

// Online is the retained message on ota/online. Stamp is of the connection: the
// same in its beginning, its farewell and its last will.
type Online struct {
	Online bool   `json:"online"`
	Reason string `json:"reason,omitempty"` // stopped, connection_lost
	Agent  string `json:"agent,omitempty"`  // version of this program
	// At is when it was said; of the last will, when the connection began.
	At      time.Time `json:"at,omitzero"`
	RobotID string    `json:"robot_id"`
	Stamp
}

// Bounds of what an event repeats.
const (
	maxEvidence = 50       // entries
	maxText     = 1000     // runes of each entry and of Text
	maxLines    = 32 << 10 // bytes of all entries: the fleet takes 64 KiB
)

// transition tells a step that changed the state or the job; false: it did
// neither.
func transition(before, after update.Job, cause string, now time.Time) (Event, bool) {
	if before.ID == after.ID && before.State == after.State {
		return Event{}, false
	}
	cause = strings.TrimPrefix(cause, "update.")
	e := Event{
		At: now, Kind: KindTransition, JobID: after.ID, Command: after.Request.Command, JobKind: after.Kind, Origin: after.Request.Origin,
		From: before.State, To: after.State, Cause: cause, Running: after.From, Target: after.Image.Version, Slot: after.To,
		AppHash: after.Image.AppSHA256, Downloaded: after.Downloaded, Patched: after.Patched, Reasons: after.Reasons,
	}
	if e.Target.IsZero() {
		e.Target = after.Offer.Version
	}
	if e.Target.IsZero() {
		e.Target = after.Request.Version
	}
	if f := after.Failure; f != nil {
		e.Code, e.Text = f.Code, short(f.Text)
	}
	e.Evidence = latest(after.Evidence)
	return e, true
}

// latest are the last lines, as far as there is room for them.
func latest(evidence []string) []string {
	var out []string
	room := maxLines
	for _, line := range slices.Backward(evidence) {
		line = short(line)
		if room -= len(line); room < 0 || len(out) == maxEvidence {
			break
		}
		out = append(out, line)
	}
	slices.Reverse(out)
	return out
}

// followed tells that a command took effect.
func followed(m message, c command, job string, now time.Time) Event {
	return Event{At: now, Kind: KindCommand, JobID: job, Command: c.id, Topic: "commands/" + string(m.verb), Verdict: VerdictFollowed}
}

// verdict tells that a command has no effect, and why.
func verdict(m message, c command, r *refusal, now time.Time) Event {
	e := Event{
		At: now, Kind: KindCommand, JobID: r.job, Command: c.id, Topic: "commands/" + string(m.verb),
		Verdict: VerdictRefused, Code: r.code, Text: short(r.text),
	}
	if r.code == codeDuplicate {
		e.Verdict = VerdictIgnored
	}
	return e
}

func short(s string) string {
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText]) + "…"
	}
	return s
}

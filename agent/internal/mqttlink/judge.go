package mqttlink

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// How old a command may be.
const (
	// fresh is the greatest age of a command that says when it was issued.
	fresh = 24 * time.Hour
	// recent is how long a command without an id keeps an equal one from
	// acting again, after its job has ended.
	recent = 15 * time.Minute
)

// The codes of refusals, part of the events' contract.
const (
	codeOversized  = "oversized"
	codeMalformed  = "malformed"
	codeRetained   = "retained"
	codeForeignSKU = "foreign_sku"
	codeStale      = "stale"
	codeClock      = "issued_in_the_future"
	codeNotNewer   = "not_newer"
	codeNotRunning = "not_running"
	codeEnded      = "ended"
	codeUnknown    = "unknown_job"
	codeDuplicate  = "duplicate"
	codeRequest    = "bad_request"
	codeBusy       = "busy"
	codeTooLate    = "too_late"
	codeNothing    = "nothing_to_do"
	codeAgent      = "agent"
)

// refusal is why a command is not followed.
type refusal struct {
	code, text string
	job        string // that stands in the way, or was started by the same command before
}

func refuse(code, format string, args ...any) *refusal {
	return &refusal{code: code, text: fmt.Sprintf(format, args...)}
}

// message is what arrived.
type message struct {
	verb     verb
	payload  []byte
	retained bool // left on the broker: heard because we subscribed, not because somebody said it now
	again    bool // the broker says that it may have delivered it before
}

// key is how a message is known when it comes again.
func (m message) key(c command) string {
	if c.id != "" {
		return string(m.verb) + " " + c.id
	}
	return string(m.verb) + " " + m.digest()
}

// digest names a command that has no id.
func (m message) digest() string {
	sum := sha256.Sum256(m.payload)
	return "sha256-" + hex.EncodeToString(sum[:8])
}

// situation is what a message is judged by.
type situation struct {
	now    time.Time
	sku    string
	status update.Status
	// known is what is remembered of a key, false: nothing.
	known func(key string) (known, bool)
}

// known is a command that took effect.
type known struct {
	Key string    `json:"key"`
	Job string    `json:"job,omitempty"`
	At  time.Time `json:"at"`
}

// action is what a message asks to be done now.
type action struct {
	command command
	key     string
	request update.Request // with verbUpdate
}

// judge decides what a message means. The command is as far as it could be
// read.
func judge(m message, s situation) (action, *refusal) {
	if m.retained {
		return action{}, refuse(codeRetained, "the command was left on the broker as a retained message, which every robot that connects would follow again: publish commands without the retain flag, and clear this topic with an empty retained message")
	}
	c, bad := parse(m.verb, m.payload)
	a := action{command: c, key: m.key(c)}
	if bad != nil {
		return a, bad
	}
	if c.sku != "" && c.sku != s.sku {
		return a, refuse(codeForeignSKU, "the command is for robots of the SKU %q, this one is %q", clip(c.sku), s.sku)
	}
	if bad := a.duplicate(m, s); bad != nil {
		return a, bad
	}
	if bad := timely(c, s.now); bad != nil {
		return a, bad
	}
	switch c.verb {
	case verbUpdate:
		return a.update(m, s)
	case verbRollback:
		running := s.status.Running.Version
		if !c.version.IsZero() && c.version != running {
			return a, refuse(codeNotRunning, "the command is to roll %s back, but %s runs here", c.version, orUnknown(running.String()))
		}
	case verbCancel:
		return a, a.cancel(s)
	}
	return a, nil
}

// duplicate recognises a command that took effect before. With an id it is the
// same for ever; without one only as long as nobody can mean it anew.
func (a action) duplicate(m message, s situation) *refusal {
	before, ok := s.known(a.key)
	if !ok {
		// A crash may have come between the effect and its being remembered.
		if m.verb != verbUpdate || s.status.Command != a.command.name(m) {
			return nil
		}
		before = known{Job: s.status.JobID, At: s.status.Since}
	}
	current := before.Job != "" && before.Job == s.status.JobID && s.status.State.Busy()
	if a.command.id == "" && !m.again && !current && s.now.Sub(before.At) > recent {
		return nil
	}
	return &refusal{code: codeDuplicate, job: before.Job,
		text: "the command has been followed before, and is not followed twice: to ask again, send it with a new id"}
}

// name is what the engine is told of the command.
func (c command) name(m message) string {
	if c.id != "" {
		return c.id
	}
	return m.digest()
}

func timely(c command, now time.Time) *refusal {
	switch {
	case c.issued.IsZero():
		return nil
	case now.Sub(c.issued) > fresh:
		return refuse(codeStale, "the command was issued at %s, more than %s ago: send it anew if it still holds", c.issued.UTC().Format(time.RFC3339), fresh)
	case c.issued.Sub(now) > fresh:
		return refuse(codeClock, "the command was issued at %s, and this robot's clock says %s: one of the two clocks is wrong",
			c.issued.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

func (a action) update(m message, s situation) (action, *refusal) {
	c := a.command
	a.request = update.Request{
		URL: c.url, SHA256: c.sha256, Version: c.version, Origin: update.FromMQTT, Command: c.name(m),
	}.Normalized()
	if err := a.request.Validate(); err != nil {
		return a, refuse(codeRequest, "%v", err)
	}
	if running := s.status.Running.Version; !running.IsZero() && c.version.Compare(running) <= 0 {
		return a, refuse(codeNotNewer, "the command asks for %s, and %s runs here: to go back, send commands/rollback", c.version, running)
	}
	return a, nil
}

// cancel lets an id name what is to be cancelled, by its command or its job.
// Nothing else is cancelled, so that a late one does not hit the next job.
func (a action) cancel(s situation) *refusal {
	id := a.command.id
	if id == s.status.JobID || id == s.status.Command {
		return nil
	}
	for _, v := range []verb{verbUpdate, verbRollback} {
		before, ok := s.known(string(v) + " " + id)
		switch {
		case !ok:
		case before.Job != "" && before.Job == s.status.JobID:
			return nil
		default:
			return &refusal{code: codeEnded, job: before.Job,
				text: fmt.Sprintf("what the command %q began has ended: what goes on now is left alone", clip(id))}
		}
	}
	return refuse(codeUnknown, "%q is neither the job that goes on here (%s) nor its command: what goes on is left alone; ota/status names it (job_id)",
		clip(id), cmp.Or(s.status.JobID, "none"))
}

func orUnknown(version string) string {
	if version == "" || version == "0.0.0" {
		return "an unknown version"
	}
	return version
}

package control

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Trigger asks for an update, or for what one would do.
type Trigger struct {
	URL     string `json:"url,omitempty"`    // "": what the update server offers
	SHA256  string `json:"sha256,omitempty"` // of the signed file, hex
	Version string `json:"version,omitempty"`
	Force   bool   `json:"force,omitempty"`
	AnyTime bool   `json:"any_time,omitempty"` // outside of the maintenance windows as well
}

// Rollback asks for the firmware before the last update.
type Rollback struct {
	Reason string `json:"reason,omitempty"` // at most 200 bytes
}

// Inhibit leases "do not update now".
type Inhibit struct {
	Owner   string `json:"owner"`
	Reason  string `json:"reason,omitempty"`
	Seconds int64  `json:"seconds"` // 0 releases, at most a day
}

// Started answers a command that began a job.
type Started struct {
	JobID string `json:"job_id"`
}

// Code says for machines why something was refused.
type Code string

// The codes. A code is never given another meaning.
const (
	Busy              Code = "busy"                 // another job goes on; the problem names it
	TooLate           Code = "too_late"             // the slot has been switched
	NothingToCancel   Code = "nothing_to_cancel"    // no job goes on
	NothingToRollBack Code = "nothing_to_roll_back" // no update is known
	BadRequest        Code = "bad_request"          // not well-formed
	NotFound          Code = "not_found"            // no such address or method
	Refused           Code = "refused"              // for the reason that the detail gives
	Unanswered        Code = "unanswered"           // the plan needs a server that did not help
	Stopping          Code = "stopping"             // the agent is on its way out
	Internal          Code = "internal"
)

// Problem is a refusal, as told and as received.
type Problem struct {
	Type   string `json:"type"` // about:blank
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   Code   `json:"code"`
	// JobID and State of the job that stands in the way, with Busy.
	JobID string       `json:"job_id,omitempty"`
	State update.State `json:"state,omitempty"`
}

// Error is the detail, in words for people.
func (p *Problem) Error() string { return p.Detail }

// request turns what was sent into what the engine takes.
func (t Trigger) request() (update.Request, error) {
	r := update.Request{URL: t.URL, SHA256: t.SHA256, Force: t.Force, AnyTime: t.AnyTime, Origin: update.FromCLI}.Normalized()
	if v := strings.TrimSpace(t.Version); v != "" {
		var err error
		if r.Version, err = compat.ParseVersion(v); err != nil {
			return update.Request{}, fmt.Errorf("%w: %w", update.ErrRequest, err)
		}
	}
	return r, r.Validate()
}

// maxText bounds free text from outside, in bytes.
const maxText = 200

func free(what, s string) error {
	if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%w: %s must be at most %d bytes of printable text", update.ErrRequest, what, maxText)
	}
	return nil
}

func (r Rollback) validate() error { return free("reason", r.Reason) }

// maxLease is the longest lease, in seconds: a day.
const maxLease = 24 * 60 * 60

func (i Inhibit) validate() error {
	if err := free("owner", i.Owner); err != nil {
		return err
	}
	if strings.TrimSpace(i.Owner) == "" {
		return fmt.Errorf("%w: owner is missing: say which application holds updates back", update.ErrRequest)
	}
	if i.Seconds < 0 || i.Seconds > maxLease {
		return fmt.Errorf("%w: seconds must be 0 (release) to %d (a day), not %d: renew the lease instead", update.ErrRequest, maxLease, i.Seconds)
	}
	return free("reason", i.Reason)
}

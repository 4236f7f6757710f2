package hawkbit

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// execution is what a robot says of an action. closed ends it.
type execution string

const (
	proceeding execution = "proceeding"
	scheduled  execution = "scheduled"
	downloaded execution = "downloaded"
	closed     execution = "closed"
	rejected   execution = "rejected"
)

// finished is the result of what was executed. An action that is closed with
// none counts as a success with hawkBit, so that is never sent.
type finished string

const (
	success finished = "success"
	failure finished = "failure"
	none    finished = "none"
)

// feedback is what is told the server about an action.
type feedback struct {
	ID     string `json:"id"`                  // servers before 0.3 want it
	Time   int64  `json:"timestamp,omitempty"` // milliseconds since 1970
	Status struct {
		Execution execution `json:"execution"`
		Result    struct {
			Finished finished  `json:"finished"`
			Progress *progress `json:"progress,omitempty"`
		} `json:"result"`
		Details []string `json:"details,omitempty"`
	} `json:"status"`
}

// progress of the step that goes on.
type progress struct {
	Count int `json:"cnt"`
	Of    int `json:"of"`
}

// Bounds of a feedback. hawkBit takes 50 details, and cuts them after 512
// characters.
const (
	maxDetails = 50
	maxDetail  = 500
)

func newFeedback(id string, e execution, f finished, details ...string) feedback {
	fb := feedback{ID: id}
	fb.Status.Execution, fb.Status.Result.Finished = e, f
	fb.Status.Details = clipped(details)
	return fb
}

// clipped keeps the first details, each of one printable line.
func clipped(details []string) []string {
	var out []string
	for _, d := range details[:min(len(details), maxDetails)] {
		out = append(out, line(d, maxDetail))
	}
	return out
}

func line(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return s
}

// explain says for each reason what would lift it.
func explain(reasons []preflight.Reason) []string {
	out := []string{"waiting until the robot may be updated"}
	for _, r := range reasons {
		out = append(out, fmt.Sprintf("%s: %s; waits for: %s", r.Code, r.Text, r.Lift))
	}
	return out
}

// closing is the end of an action, as it is told.
func (e ending) closing(id string) feedback {
	f := failure
	if e.Success {
		f = success
	}
	return newFeedback(id, closed, f, e.Details...)
}

// ended tells how a job ended, with its evidence.
func ended(j update.Job, ok bool, text string) *ending {
	e := &ending{Success: ok, Details: []string{text}}
	if f := j.Failure; f != nil && !ok {
		e.Details = append(e.Details, fmt.Sprintf("%s in %s: %s", f.Code, f.State, f.Text))
	}
	e.Details = clipped(append(e.Details, j.Evidence...))
	return e
}

// Attributes: hawkBit takes 128 characters of this set for each.
const maxAttribute = 128

const attributeSet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-!@#$%^&*()+=[]{}|;:'\",.<>/\\? "

// attribute makes a text fit to be the value of one.
func attribute(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(attributeSet, r) {
			return r
		}
		return '?'
	}, s)
	return s[:min(len(s), maxAttribute)]
}

// configData is what a robot says of itself.
type configData struct {
	Mode string            `json:"mode"`
	Data map[string]string `json:"data"`
}

// last is how the latest job ended, whoever asked for it.
type last struct {
	Outcome update.State `json:"outcome,omitempty"` // confirmed, failed, rolled_back
	Version string       `json:"version,omitempty"` // that it was about
	Action  string       `json:"action,omitempty"`  // of the server; "": somebody else asked
	Reason  string       `json:"reason,omitempty"`
	At      time.Time    `json:"at,omitzero"`
}

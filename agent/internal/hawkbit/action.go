package hawkbit

import (
	"fmt"
	"slices"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// action is what is known of an action of the server.
type action struct {
	ID string `json:"id"`
	// Job of the engine that works at it, or did; "": none yet.
	Job string `json:"job,omitempty"`
	// App is the image's own digest, as the firmware that runs it reports it.
	App string `json:"app_sha256,omitempty"`
	// Hold says why the image is not to be installed yet; "": it may be.
	Hold string `json:"hold,omitempty"`
	// Stopped: the engine was told to give it up because the server wants it
	// no more. Then the end of its job is not the action's.
	Stopped bool `json:"stopped,omitempty"`
	// Downloaded was told.
	Downloaded bool `json:"downloaded,omitempty"`
	// Told counts the feedbacks that did not close it.
	Told int `json:"told,omitempty"`
	// Tries that lost the server while downloading, and the latest such job.
	Tries int    `json:"tries,omitempty"`
	Lost  string `json:"lost,omitempty"`
	// End; nil: it has not ended.
	End *ending `json:"end,omitempty"`
}

// ending is how an action ended here.
type ending struct {
	Success bool     `json:"success"`
	Details []string `json:"details,omitempty"`
	// Taken: the server has been told, and knows.
	Taken bool `json:"taken,omitempty"`
	// Gone: since then it does not offer the action any more. One that is
	// offered after that is meant anew: goosebit calls actions by their
	// software, so that one id may come twice.
	Gone bool `json:"gone,omitempty"`
}

// maxTries is how often a download that lost the server is begun anew. Each of
// them has download.give_up to get on.
const maxTries = 10

// fate is what a step of its job makes of an action.
type fate int

const (
	goesOn    fate = iota
	ends           // as its End says
	forgotten      // nothing came of it, and nothing is to be told
)

// step follows the job one step; the same one twice is one. stays says that
// the running firmware is not on trial.
func (a action) step(j update.Job, stays bool) (action, fate) {
	if a.End != nil && a.Job != j.ID { // it ended long ago, and is meant anew
		a = action{ID: a.ID, Hold: a.Hold}
	}
	a.Job, a.App = j.ID, j.Image.AppSHA256
	switch j.State {
	case update.Idle:
		if j.ConfirmedAt.IsZero() { // the server took it back before it was asked
			return a, forgotten
		}
		return a.succeeded(j)
	case update.Observing:
		return a.succeeded(j)
	case update.Failed:
		return a.failed(j, stays)
	case update.RolledBack:
		return a.rolledBack(j), ends
	case update.Checking, update.Downloading, update.Verifying, update.Waiting, update.Handover, update.Connecting,
		update.Writing, update.Attesting, update.Booting, update.Validating, update.Confirmed, update.RollingBack:
	}
	return a, goesOn
}

func (a action) succeeded(j update.Job) (action, fate) {
	if a.End == nil {
		a.End = ended(j, true, fmt.Sprintf("%s runs in %s and is confirmed", j.Image.Version, j.To))
	}
	return a, ends
}

// rolledBack: what was told stays told; the attributes tell the rest.
func (a action) rolledBack(j update.Job) action {
	if a.End == nil || a.End.Success && !a.End.Taken {
		a.End = ended(j, false, fmt.Sprintf("%s was rolled back: %s runs what ran before", j.Image.Version, j.From.Slot))
	}
	return a
}

func (a action) failed(j update.Job, stays bool) (action, fate) {
	f := update.Failure{}
	if j.Failure != nil {
		f = *j.Failure
	}
	switch {
	case a.End != nil:
	case a.Stopped:
		return a, forgotten
	case f.Code == "already_running" && stays:
		a.End = ended(j, true, f.Text)
	case f.State == update.Checking && f.Code != "failed_before": // not begun: it is begun by a later poll
		return a, forgotten
	case a.Lost == j.ID:
		return a, goesOn
	case f.State == update.Downloading && lostServer(f.Code) && a.Tries < maxTries:
		a.Tries, a.Lost = a.Tries+1, j.ID
		return a, goesOn
	default:
		a.End = ended(j, false, "the robot was not updated")
	}
	return a, ends
}

// lostServer: the download may go on when the server is there again.
func lostServer(code string) bool {
	return slices.Contains([]string{"server_unreachable", "transfer_interrupted", "http_408", "http_425", "http_429",
		"http_500", "http_502", "http_503", "http_504"}, code)
}

// early says that the chip has not been touched, so that the job may be given
// up without a word.
func early(s update.State) bool {
	switch s {
	case update.Checking, update.Downloading, update.Verifying, update.Waiting, update.Handover:
		return true
	case update.Idle, update.Connecting, update.Writing, update.Attesting, update.Booting, update.Validating,
		update.Confirmed, update.Observing, update.Failed, update.RollingBack, update.RolledBack:
	}
	return false
}

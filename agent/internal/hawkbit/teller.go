package hawkbit

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// How often the server is told. hawkBit takes 1000 entries an action; those
// that it makes itself count as well.
const (
	maxTold    = 400
	statePause = time.Second
	// moved is how much a step must have progressed to be told again, and
	// movePause how long that takes at least.
	moved     = 0.1
	movePause = 10 * time.Second
	// deferPause is the least time between two deferrals with other reasons.
	deferPause = 5 * time.Minute
)

// never is longer than anybody waits.
const never = time.Duration(math.MaxInt64)

// teller decides what of a job is worth telling, and when. It remembers what
// was told; a restarted agent begins anew.
type teller struct {
	job      string
	state    update.State
	fraction float64
	at       time.Time // of the last progress
	reasons  string
	deferred time.Time // of the last deferral
}

// next is what to tell of the action at work now; false: nothing, until wait
// has passed or the status changes.
func (t *teller) next(a action, s update.Status, now time.Time) (fb feedback, wait time.Duration, ok bool) {
	if s.JobID != t.job {
		*t = teller{job: s.JobID}
	}
	switch {
	case a.Told >= maxTold:
		return feedback{}, never, false
	case proven(s.State) && !a.Downloaded:
		return newFeedback(a.ID, downloaded, none, fmt.Sprintf("Downloaded 100%%: %s, and its signature is good", s.Target)), 0, true
	case s.State == update.Waiting:
		return t.deferral(a, s.Reasons, now)
	case worth(s.State):
		return t.progress(a, s, now)
	}
	return feedback{}, never, false
}

// deferral tells the reasons when they are others than those told last.
func (t *teller) deferral(a action, reasons []preflight.Reason, now time.Time) (feedback, time.Duration, bool) {
	key := codes(reasons)
	if len(reasons) == 0 || key == t.reasons {
		return feedback{}, never, false
	}
	if wait := t.deferred.Add(deferPause).Sub(now); wait > 0 {
		return feedback{}, wait, false
	}
	t.reasons, t.deferred, t.state = key, now, update.Waiting
	return newFeedback(a.ID, scheduled, none, explain(reasons)...), 0, true
}

func (t *teller) progress(a action, s update.Status, now time.Time) (feedback, time.Duration, bool) {
	pause := movePause
	switch {
	case s.State != t.state:
		pause = statePause
	case s.Progress < t.fraction+moved:
		return feedback{}, never, false
	}
	if wait := t.at.Add(pause).Sub(now); wait > 0 {
		return feedback{}, wait, false
	}
	t.state, t.fraction, t.at = s.State, s.Progress, now
	percent := int(s.Progress * 100)
	text := s.Message
	if s.State == update.Downloading { // in SWUpdate's words: goosebit reads its progress from them
		text = fmt.Sprintf("Downloaded %d%%", percent)
	}
	fb := newFeedback(a.ID, proceeding, none, text)
	fb.Status.Result.Progress = &progress{Count: percent, Of: 100}
	return fb, 0, true
}

// worth says that a step lasts long enough to be told of.
func worth(s update.State) bool {
	switch s {
	case update.Downloading, update.Connecting, update.Writing, update.Attesting, update.Booting, update.Validating, update.RollingBack:
		return true
	case update.Idle, update.Checking, update.Verifying, update.Waiting, update.Handover, update.Confirmed, update.Observing,
		update.Failed, update.RolledBack:
	}
	return false
}

// proven says that the image lies in the store and is genuine.
func proven(s update.State) bool {
	return s == update.Waiting || s == update.Handover || worth(s) && s != update.Downloading && s != update.RollingBack
}

func codes(reasons []preflight.Reason) string {
	var b strings.Builder
	for _, r := range reasons {
		b.WriteString(string(r.Code) + " ")
	}
	return b.String()
}

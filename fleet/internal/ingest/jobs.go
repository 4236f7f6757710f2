package ingest

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// The words of transitions that are read here.
const (
	kindTransition = "transition"
	kindCommand    = "command"
	jobUpdate      = "update"
	jobRollback    = "rollback"

	toIdle        = "idle"
	toChecking    = "checking"
	toDownloading = "downloading"
	toObserving   = "observing"
	toFailed      = "failed"
	toRolledBack  = "rolled_back"
)

// step is a transition as it counts.
type step struct {
	eventWord
	epoch string
	at    time.Time // moment
}

// steps are the transitions of stored events, in the robot's own order: events
// of one state directory by their number, directories by when they began.
func steps(events []store.Event) []step {
	var out []step
	began := map[string]time.Time{}
	for _, e := range events {
		s := step{at: moment(e.At, e.Received)}
		if e.Kind != kindTransition || e.JobID == "" || json.Unmarshal(e.Body, &s.eventWord) != nil {
			continue
		}
		s.epoch, _, _ = strings.Cut(e.ID, "-")
		if t, ok := began[s.epoch]; !ok || s.at.Before(t) {
			began[s.epoch] = s.at
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b step) int {
		return cmp.Or(began[a.epoch].Compare(began[b.epoch]), cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// job is an update that a robot tried, or was about to.
type job struct {
	store.Update
	downloading time.Time // since then; zero: it does not
	tried       bool
}

// jobs are the updates that transitions, in order, tell of. A roll-back that
// was asked for changes how the update before it went.
func jobs(robot store.Robot, in []step) []job {
	var out []job
	for _, s := range in {
		if s.JobKind == jobRollback {
			i := len(out) - 1
			for i >= 0 && (out[i].Version != s.Target || out[i].Outcome != string(rollout.Confirmed)) {
				i--
			}
			if i >= 0 && s.To == toRolledBack {
				out[i].end(rollout.RolledBack, s)
			}
			continue
		}
		i := slices.IndexFunc(out, func(j job) bool { return j.JobID == s.JobID })
		if i < 0 {
			i = len(out)
			out = append(out, job{Update: store.Update{
				Robot: robot.ID, JobID: clip(s.JobID, maxName), SKU: robot.SKU, Origin: clip(s.Origin, maxName), Started: s.at,
			}})
		}
		out[i].take(s)
	}
	return slices.DeleteFunc(out, func(j job) bool { return j.Version.IsZero() || !j.tried })
}

// take takes the next transition in.
func (j *job) take(s step) {
	if !s.Target.IsZero() {
		j.Version = s.Target
	}
	if !s.Running.Version.IsZero() {
		j.From = s.Running.Version
	}
	if !j.downloading.IsZero() {
		j.Download += max(0, s.at.Sub(j.downloading).Seconds())
		j.downloading = time.Time{}
	}
	if s.To == toDownloading {
		j.downloading = s.at
	}
	switch o := outcome(s.To); o {
	case rollout.Pending:
	case rollout.Trying:
		j.tried = true
	case rollout.Confirmed, rollout.Failed, rollout.RolledBack:
		j.tried = true
		j.end(o, s)
	}
}

func (j *job) end(o rollout.Outcome, s step) {
	j.Ended, j.Outcome, j.Code, j.Text = s.at, string(o), clip(s.Code, maxName), clip(s.Text, maxText)
}

// outcome is what a state means for a release. It is confirmed once the new
// slot is kept, which observing tells.
func outcome(state string) rollout.Outcome {
	switch state {
	case "", toIdle, toChecking:
		return rollout.Pending
	case toObserving:
		return rollout.Confirmed
	case toFailed:
		return rollout.Failed
	case toRolledBack:
		return rollout.RolledBack
	}
	return rollout.Trying
}

// progress is a robot's part in a rollout of a version after the transitions
// since the rollout began.
func progress(a store.Assignment, v compat.Version, began time.Time, in []step) store.Assignment {
	p := rollout.Progress{
		Outcome: rollout.Outcome(a.Outcome), Code: a.Code, Trigger: a.Trigger,
		Offered: a.Offered, Trying: a.Trying, Confirmed: a.Confirmed, Failed: a.Failed, RolledBack: a.RolledBack,
	}
	for _, s := range in {
		if s.Target == v && !s.at.Before(began.Add(-grace)) {
			p = p.With(outcome(s.To), clip(s.Code, maxName), s.at)
		}
	}
	a.Outcome, a.Code, a.Trigger = string(p.Outcome), p.Code, p.Trigger
	a.Offered, a.Trying, a.Confirmed, a.Failed, a.RolledBack = p.Offered, p.Trying, p.Confirmed, p.Failed, p.RolledBack
	return a
}

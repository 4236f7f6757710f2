package engine

import (
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// settleEvery is how often the history is tried again that could not be written.
const settleEvery = time.Minute

// stopped is a timer that does not run.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// settle writes to the history what is owed to it, again and again until that
// works.
func (e *Engine) settle() {
	left, err := e.ports.Journal.Settle()
	if err != nil {
		e.log.Error("the history could not be written; it is tried again", "left", left, "err", err)
	}
	if left > 0 {
		e.again.Reset(settleEvery)
	}
}

// spend notes how long the job was in the state that next leaves.
func (e *Engine) spend(next update.Job, now time.Time) {
	was := e.mem.Job
	if next.ID != was.ID {
		e.spent = nil
		return
	}
	if next.State != was.State && was.State.Busy() {
		e.spent = append(e.spent, update.Duration{State: was.State, Seconds: now.Sub(was.Since).Seconds()})
	}
}

// finished is the record of a job, if these effects ask for one.
func (e *Engine) finished(j update.Job, effects []update.Effect, now time.Time) []update.Record {
	if !slices.Contains(effects, update.DoRecord) {
		return nil
	}
	from := j.From
	if from.Slot == "" { // the chip was not asked: what the firmware says has to do
		from = installed(e.ports.Robot.Facts().Firmware)
	}
	outcome := j.State
	if outcome == update.Observing {
		outcome = update.Confirmed
	}
	return []update.Record{{
		JobID: j.ID, Kind: j.Kind, Origin: j.Request.Origin, Outcome: outcome, From: from, To: j.To,
		Image: j.Image, URL: j.Offer.URL, Downloaded: j.Downloaded, Patched: j.Patched, Started: j.Started, Ended: now, Failure: j.Failure,
		Evidence: slices.Clone(j.Evidence), Durations: slices.Clone(e.spent),
		AwaySeconds: j.AwaySeconds,
	}}
}

package update

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Bounds that keep a job from going on for ever.
const (
	// MaxAttempts at connecting, writing and attesting.
	MaxAttempts = 3
	// MaxRestarts of the agent within one job, until it is confirmed.
	MaxRestarts = 5
	// steady is how long an agent must have waited with a job for that not to be
	// what ended it: a robot that is switched off every evening may wait for its
	// maintenance window for weeks.
	steady = time.Minute
	// maxBad versions remembered.
	maxBad = 64
)

// Codes of failures that the machine itself finds.
const (
	CodeCancelled   = "cancelled"
	CodeRestarts    = "restarted_too_often"
	CodeInterrupted = "interrupted"
	CodeOperator    = "operator"
)

// ErrTooLate refuses to cancel a job that has switched slots.
var ErrTooLate = errors.New("the slot has been switched: the update can no longer be cancelled, only rolled back")

// ErrNothingToCancel refuses to cancel where no job runs.
var ErrNothingToCancel = errors.New("no update is going on")

// ErrNothingToRollBack refuses a roll-back where no update has been confirmed.
var ErrNothingToRollBack = errors.New("no confirmed update of this robot is known that could be rolled back")

// BusyError refuses a job because of another.
type BusyError struct {
	JobID string
	State State
	Held  bool
}

func (e *BusyError) Error() string {
	if e.Held && e.State.Terminal() {
		if e.JobID == "" {
			return "the chip and its serial line are in use, or still being put back"
		}
		return fmt.Sprintf("job %s has ended (%s), but the chip and its serial line are in use, or still being put back", e.JobID, e.State)
	}
	return fmt.Sprintf("job %s is going on (%s)", e.JobID, e.State)
}

// An Unexpected event does not belong to the state: a late result of an effect
// that was ended, to be dropped.
type Unexpected struct {
	State State
	Event Event
}

func (e *Unexpected) Error() string {
	return fmt.Sprintf("event %T does not belong to state %s", e.Event, e.State)
}

// Next is the state machine. An error is a refusal: nothing has changed and
// nothing is to be done.
func Next(m Memory, ev Event, now time.Time) (Memory, []Effect, error) {
	s := step{m: m, now: now}
	var err error
	switch e := ev.(type) {
	case Trigger:
		err = s.trigger(e)
	case CancelAsked:
		err = s.cancel()
	case RollbackAsked:
		err = s.rollback(e)
	case VisitAsked:
		err = s.visit()
	case Restarted:
		s.restarted()
	case Released:
		err = s.released(e)
	case EffectFailed:
		s.failed(e)
	default:
		err = s.progress(ev)
	}
	if err != nil {
		return m, nil, err
	}
	return s.m, s.effects, nil
}

// step is one application of Next in the making.
type step struct {
	m       Memory
	now     time.Time
	effects []Effect
}

func (s *step) enter(state State, effects ...Effect) {
	s.m.Job.State, s.m.Job.Since = state, s.now
	s.m.Job.Reasons = nil
	s.effects = append(s.effects, effects...)
}

// end enters a terminal state; what is still held is released first of all.
func (s *step) end(state State) {
	s.enter(state, DoRecord)
	if s.m.Held {
		s.effects = append(s.effects, DoRelease)
	}
}

func (s *step) fail(code, text string) {
	if away := s.back(); away > 0 { // what it still takes to bring it back is not known yet
		s.note("the firmware had been away for %.1f s when the update failed", away)
	}
	s.m.Job.Failure = &Failure{State: s.m.Job.State, Code: code, Text: text}
	s.end(Failed)
}

// abandon is the way out of a trial: put the old slot back, at once. The robot
// stood when the trial began half a minute ago, and what drives it now is not
// proven.
func (s *step) abandon(code, text string) {
	s.blame(code, text)
	if s.m.Job.TakenAt.IsZero() {
		s.m.Job.TakenAt = s.now
	}
	s.seize()
	s.enter(RollingBack, DoRestore)
}

// putBack is the way out of a firmware that was confirmed: it may be driving, and
// the reset of the chip takes the motors their control. So the robot is to stand
// first.
func (s *step) putBack(code, text string) {
	s.blame(code, text)
	s.enter(RollingBack, DoStand)
}

// seize notes that an effect is about to take line and chip; letGo that they
// are back where they belong.
func (s *step) seize() { s.m.Held, s.m.Loader = true, true }
func (s *step) letGo() { s.m.Held, s.m.Loader = false, false }

// blame notes why the version is put back, and remembers it, so that the next
// check does not install it again; unless it was merely interrupted.
func (s *step) blame(code, text string) {
	j := &s.m.Job
	j.Failure = &Failure{State: j.State, Code: code, Text: text}
	if code == CodeInterrupted || j.Image.Version.IsZero() {
		return
	}
	bad := slices.DeleteFunc(slices.Clone(s.m.Bad), func(b FailedVersion) bool { return b.Version == j.Image.Version })
	bad = append(bad, FailedVersion{Version: j.Image.Version, Code: code, Text: text, At: s.now})
	s.m.Bad = bad[max(0, len(bad)-maxBad):]
}

func (s *step) trigger(e Trigger) error {
	if s.m.Job.State.Busy() || s.m.Held {
		return s.busy()
	}
	if s.m.Job.State == Observing && e.Request.Origin == FromSchedule {
		return s.busy() // nothing that nobody asked for ends an observation
	}
	s.m.Job = Job{ID: e.ID, Kind: KindUpdate, Request: e.Request, Started: s.now}
	s.enter(Checking, DoCheck)
	return nil
}

func (s *step) busy() error {
	return &BusyError{JobID: s.m.Job.ID, State: s.m.Job.State, Held: s.m.Held}
}

func (s *step) cancel() error {
	switch s.m.Job.State {
	case Checking, Downloading, Verifying, Waiting, Handover, Connecting, Writing:
	case Attesting:
		if s.m.Job.Switched {
			return ErrTooLate
		}
	case Booting, Validating, Confirmed:
		return ErrTooLate
	case RollingBack:
		return s.busy()
	case Idle, Observing, Failed, RolledBack:
		return ErrNothingToCancel
	}
	s.fail(CodeCancelled, "cancelled on request; the running firmware was not touched")
	return nil
}

func (s *step) rollback(e RollbackAsked) error {
	switch s.m.Job.State {
	case Booting, Validating: // ends the trial; the job stays the same
		s.abandon(CodeOperator, e.Reason)
		return nil
	case Idle, Observing, Failed, RolledBack:
	case Checking, Downloading, Verifying, Waiting, Handover, Connecting, Writing, Attesting, Confirmed, RollingBack:
		return s.busy()
	}
	if s.m.Held {
		return s.busy()
	}
	last := s.m.Last
	if last == nil {
		return ErrNothingToRollBack
	}
	s.m.Job = Job{
		ID: e.ID, Kind: KindRollback, Started: s.now, Switched: true,
		Request: Request{Origin: e.Origin, Command: e.Command},
		State:   s.m.Job.State, From: last.From, To: last.To, Image: last.Image,
	}
	s.putBack(CodeOperator, e.Reason)
	return nil
}

// released belongs to the states that wait for line and chip to be back. In any
// other they may have been taken since, and it tells of an earlier time.
func (s *step) released(e Released) error {
	switch s.m.Job.State {
	case Idle, Failed, RolledBack, Booting:
	case Waiting:
		s.effects = append(s.effects, DoAskGates)
	case Checking, Downloading, Verifying, Handover, Connecting, Writing, Attesting, Validating, Confirmed, Observing, RollingBack:
		return s.unexpected(e)
	}
	s.letGo()
	return nil
}

// failed is the answer to an effect that failed, by the state it was for.
func (s *step) failed(e EffectFailed) {
	j := &s.m.Job
	switch j.State {
	case Checking:
		if j.Request.Origin == FromSchedule { // nobody asked; the next check may go better
			j.Failure = &Failure{State: j.State, Code: e.Code, Text: e.Text}
			s.enter(Idle)
			return
		}
		s.fail(e.Code, e.Text)
	case Downloading, Verifying, Waiting, Handover:
		s.fail(e.Code, e.Text)
	case Connecting, Writing, Attesting:
		switch {
		case j.Switched: // it may have happened, or half of it
			s.abandon(e.Code, e.Text)
		case e.Retry && j.Attempts < MaxAttempts:
			j.Evidence = append(slices.Clone(j.Evidence), fmt.Sprintf("attempt %d failed in %s: %s", j.Attempts, j.State, e.Text))
			s.connect()
		case j.Attempts > 1 && len(j.Evidence) > 0:
			s.fail(e.Code, e.Text+"; before that, "+j.Evidence[0])
		default:
			s.fail(e.Code, e.Text)
		}
	case Booting, Validating, Confirmed:
		s.abandon(e.Code, e.Text)
	case RollingBack: // there is no other way out: the engine waits, and tries again
		s.seize()
		s.effects = append(s.effects, DoRestore)
	case Idle, Observing, Failed, RolledBack: // nothing hangs on it
	}
}

func (s *step) connect() {
	s.m.Job.Attempts++
	s.m.Loader = true
	s.enter(Connecting, DoConnect)
}

// restarted finds the way on after the agent died at any point.
func (s *step) restarted() {
	j := &s.m.Job
	switch j.State {
	case Idle, Failed, RolledBack:
		if s.m.Held {
			s.effects = append(s.effects, DoRelease)
		}
		return
	case Confirmed:
		s.effects = append(s.effects, DoConfirm)
		return
	case Observing:
		s.effects = append(s.effects, DoObserve)
		return
	case RollingBack:
		j.TakenAt = time.Time{} // see below
		if s.m.Held {
			s.effects = append(s.effects, DoRestore)
		} else {
			s.effects = append(s.effects, DoStand)
		}
		return
	case Checking, Downloading, Verifying, Waiting, Handover, Connecting, Writing, Attesting, Booting, Validating:
	}
	if j.State == Waiting && s.now.Sub(j.Since) >= steady {
		j.Restarts = 0
	}
	j.Restarts++
	j.TakenAt = time.Time{} // when a firmware first spoke was missed, and the clock may have been set
	if j.Switched && j.Restarts > MaxRestarts {
		s.abandon(CodeInterrupted, fmt.Sprintf("the agent was restarted %d times during this update", j.Restarts))
		return
	}
	if j.Switched {
		s.enter(Booting, DoAwait)
		return
	}
	if j.Restarts > MaxRestarts {
		s.fail(CodeRestarts, fmt.Sprintf("the agent was restarted %d times during this update; the running firmware was not touched", j.Restarts))
		return
	}
	switch j.State {
	case Checking:
		if j.Request.Origin == FromSchedule { // who dies of a check is not to ask again at once
			j.Failure = &Failure{State: j.State, Code: CodeInterrupted, Text: "the agent was restarted during the check"}
			s.enter(Idle)
			return
		}
		s.enter(Checking, DoCheck)
	case Downloading:
		s.enter(Downloading, DoDownload)
	case Verifying:
		s.enter(Verifying, DoVerify)
	default: // nothing was switched: give the chip back, then ask the gates anew
		reasons := j.Reasons // "since when" survives
		if s.m.Held {
			s.enter(Waiting, DoRelease)
		} else {
			s.enter(Waiting, DoAskGates)
		}
		j.Reasons = reasons
	}
}

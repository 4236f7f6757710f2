package update

import (
	"fmt"
	"slices"
	"time"
)

// progress is the way forward: each event belongs to one state, and anything
// else is Unexpected.
func (s *step) progress(ev Event) error {
	switch s.m.Job.State {
	case Checking, Downloading, Verifying, Waiting, Handover:
		return s.prepare(ev)
	case Connecting, Writing, Attesting:
		return s.flash(ev)
	case Booting, Validating, Confirmed, Observing, RollingBack:
		return s.prove(ev)
	case Idle, Failed, RolledBack:
		return s.borrowed(ev)
	}
	return s.unexpected(ev)
}

func (s *step) unexpected(ev Event) error {
	return &Unexpected{State: s.m.Job.State, Event: ev}
}

// prepare goes from the request to the line in our hands.
func (s *step) prepare(ev Event) error {
	j := &s.m.Job
	switch e := ev.(type) {
	case Resolved:
		if j.State != Checking {
			return s.unexpected(ev)
		}
		j.Offer = e.Offer
		s.enter(Downloading, DoDownload)
	case NothingNewer:
		if j.State != Checking {
			return s.unexpected(ev)
		}
		s.enter(Idle)
	case Fetched:
		if j.State != Downloading {
			return s.unexpected(ev)
		}
		j.Offer.SHA256, j.Offer.Size = e.SHA256, e.Size
		j.Downloaded, j.Patched = e.Downloaded, e.Patched
		s.enter(Verifying, DoVerify)
	case Proven:
		if j.State != Verifying {
			return s.unexpected(ev)
		}
		j.Image = e.Image
		s.enter(Waiting, DoAskGates)
	case Clear:
		if j.State != Waiting {
			return s.unexpected(ev)
		}
		s.m.Held = true
		s.enter(Handover, DoTakeLine)
	case Blocked:
		return s.blocked(e)
	case LineTaken:
		if j.State != Handover {
			return s.unexpected(ev)
		}
		j.TakenAt = s.now
		s.connect()
	default:
		return s.unexpected(ev)
	}
	return nil
}

// blocked keeps a job waiting, or sends it back there from the hand-over.
func (s *step) blocked(e Blocked) error {
	j := &s.m.Job
	switch j.State {
	case Waiting: // its effect goes on asking
	case Handover:
		if s.m.Held {
			s.enter(Waiting, DoRelease)
		} else {
			s.enter(Waiting, DoAskGates)
		}
	default:
		return s.unexpected(e)
	}
	j.Reasons = slices.Clone(e.Reasons)
	return nil
}

// flash goes from the chip's first answer to the switched slot.
func (s *step) flash(ev Event) error {
	j := &s.m.Job
	switch e := ev.(type) {
	case Connected:
		if j.State != Connecting {
			return s.unexpected(ev)
		}
		j.From, j.To = e.From, e.To
		s.m.Last = nil // its way back is about to be overwritten
		s.enter(Writing, DoWrite)
	case Written:
		if j.State != Writing {
			return s.unexpected(ev)
		}
		s.enter(Attesting, DoAttest)
	case Attested:
		if j.State != Attesting || j.Switched {
			return s.unexpected(ev)
		}
		j.Switched = true // durable before the switch is begun
		s.effects = append(s.effects, DoSwitch)
	case Switched:
		if j.State != Attesting || !j.Switched {
			return s.unexpected(ev)
		}
		s.enter(Booting, DoAwait)
	default:
		return s.unexpected(ev)
	}
	return nil
}

// prove goes from the boot of the new slot to its confirmation, or back.
func (s *step) prove(ev Event) error {
	j := &s.m.Job
	switch e := ev.(type) {
	case Up:
		if j.State != Booting {
			return s.unexpected(ev)
		}
		if away := s.back(); away > 0 {
			s.note("the firmware was away for %.1f s, from the reset into the loader to its first word", away)
		}
		s.enter(Validating, DoWatch)
	case TrialPassed:
		if j.State != Validating {
			return s.unexpected(ev)
		}
		j.Evidence = append(slices.Clone(j.Evidence), e.Evidence...)
		s.seize()
		s.enter(Confirmed, DoConfirm)
	case Kept:
		if j.State != Confirmed {
			return s.unexpected(ev)
		}
		s.letGo()
		j.ConfirmedAt = s.now
		s.m.Last = &Update{From: j.From, To: j.To, Image: j.Image}
		s.enter(Observing, DoRecord, DoObserve)
	case TrialFailed:
		if j.State != Booting && j.State != Validating {
			return s.unexpected(ev)
		}
		s.trialFailed(e)
	case Fired:
		if j.State != Observing {
			return s.unexpected(ev)
		}
		j.Evidence = append(slices.Clone(j.Evidence), e.Evidence...)
		j.AwaySeconds = 0 // the record of its confirmation has told it
		s.putBack(e.Code, e.Text)
	case Blocked:
		if j.State != RollingBack || s.m.Held {
			return s.unexpected(ev)
		}
		j.Reasons = slices.Clone(e.Reasons)
	case Standing:
		if j.State != RollingBack || s.m.Held {
			return s.unexpected(ev)
		}
		j.Reasons = nil
		j.TakenAt = s.now
		s.seize()
		s.effects = append(s.effects, DoRestore)
	case ObservationOver:
		if j.State != Observing {
			return s.unexpected(ev)
		}
		s.enter(Idle)
	case Restored:
		if j.State != RollingBack || !s.m.Held {
			return s.unexpected(ev)
		}
		j.Evidence = append(slices.Clone(j.Evidence), e.Evidence...)
		s.restored(e.Heard)
		j.Switched, s.m.Last = false, nil
		s.letGo()
		s.end(RolledBack)
	default:
		return s.unexpected(ev)
	}
	return nil
}

// back ends a time without firmware and says how long it was; 0: it was not
// followed, or the clock was set back meanwhile.
func (s *step) back() (seconds float64) {
	j := &s.m.Job
	if !j.TakenAt.IsZero() {
		seconds = max(0, s.now.Sub(j.TakenAt).Seconds())
	}
	j.TakenAt = time.Time{}
	j.AwaySeconds += seconds
	return seconds
}

// restored ends it when the old firmware is back: heard, or not.
func (s *step) restored(heard bool) {
	j := &s.m.Job
	if s.back(); j.AwaySeconds == 0 {
		return
	}
	until := "until the old one spoke again"
	if !heard {
		until = "and has not been heard again"
	}
	s.note("the firmware was away for %.1f s in all, %s", j.AwaySeconds, until)
}

func (s *step) note(format string, args ...any) {
	s.m.Job.Evidence = append(slices.Clone(s.m.Job.Evidence), fmt.Sprintf(format, args...))
}

func (s *step) trialFailed(e TrialFailed) {
	j := &s.m.Job
	j.Evidence = append(slices.Clone(j.Evidence), e.Evidence...)
	if !e.Back {
		s.abandon(e.Code, e.Text)
		return
	}
	s.blame(e.Code, e.Text)
	s.restored(true)
	j.Switched = false
	s.end(RolledBack)
}

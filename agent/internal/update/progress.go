package update

import (
	"fmt"
	"slices"
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
		s.spoke()
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
		j.Switched, s.m.Last = false, nil
		s.letGo()
		s.end(RolledBack)
	default:
		return s.unexpected(ev)
	}
	return nil
}

// spoke notes how long the robot was without firmware, if that was followed, and
// by a clock that was not set back meanwhile.
func (s *step) spoke() {
	j := &s.m.Job
	away := s.now.Sub(j.TakenAt)
	if j.TakenAt.IsZero() || away <= 0 {
		return
	}
	j.AwaySeconds = away.Seconds()
	j.Evidence = append(slices.Clone(j.Evidence),
		fmt.Sprintf("the firmware was away for %.1f s, from the reset into the loader to its first word", j.AwaySeconds))
}

func (s *step) trialFailed(e TrialFailed) {
	j := &s.m.Job
	j.Evidence = append(slices.Clone(j.Evidence), e.Evidence...)
	if !e.Back {
		s.abandon(e.Code, e.Text)
		return
	}
	s.blame(e.Code, e.Text)
	j.Switched = false
	s.end(RolledBack)
}

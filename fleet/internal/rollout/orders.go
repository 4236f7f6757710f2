package rollout

import (
	"fmt"
	"strings"
	"time"
)

// Order is what a person wants of a rollout: Pause, Resume, Advance or Halt.
type Order struct {
	Verdict Verdict
	By      string
	Reason  string
}

// maxReason bounds a reason; robots take no longer one with a command. Bytes.
const maxReason = 400

// OrderError refuses an order.
type OrderError struct {
	Order Order
	Phase Phase
	Why   string
}

func (e *OrderError) Error() string { return e.Why }

// Begin is the state of a rollout that starts, and the decision to start it.
func Begin(p Plan, by, reason string, now time.Time) (State, Decision) {
	s := State{Schema: Schema, Phase: Running, Stage: Internal, Opened: now}
	d := s.decision(Start, CodeStarted, now, fmt.Sprintf("the rollout of %s starts with its %d test robots", p.Release, len(p.Internal)))
	d.By, d.Reason = by, reason
	s.Latest = d
	return s, d
}

// Obey does what a person orders. An *OrderError refuses what makes no sense in
// the rollout's phase, or has no reason.
func Obey(s State, o Order, now time.Time) (State, Decision, error) {
	o.Reason = strings.TrimSpace(o.Reason)
	refuse := func(format string, args ...any) (State, Decision, error) {
		return s, Decision{}, &OrderError{Order: o, Phase: s.Phase, Why: fmt.Sprintf(format, args...)}
	}
	switch {
	case o.By == "":
		return refuse("an order needs to say by whom it is given")
	case o.Reason == "" || len(o.Reason) > maxReason:
		return refuse("an order needs a reason of up to %d bytes: it is kept with the rollout", maxReason)
	case !s.Phase.Active():
		return refuse("the rollout is %s, and that is final", s.Phase)
	}
	var d Decision
	switch {
	case o.Verdict == Halt:
		s, d = s.halt(CodeOrdered, now, "halted by "+o.By)
	case o.Verdict == Pause && s.Phase == Paused:
		return refuse("the rollout is paused already")
	case o.Verdict == Pause:
		s.Phase, s.PausedAt = Paused, now
		d = s.decision(Pause, CodeOrdered, now, "paused by "+o.By+": nobody is offered the release")
	case o.Verdict == Resume && s.Phase != Paused:
		return refuse("the rollout is %s, not paused", s.Phase)
	case o.Verdict == Resume:
		s = s.resume(now)
		d = s.decision(Resume, CodeOrdered, now, "resumed by "+o.By)
	case o.Verdict == Advance && s.Phase == Paused:
		return refuse("the rollout is paused: resume it first")
	case o.Verdict == Advance:
		s, d = s.advance(CodeOrdered, now, "promoted by "+o.By)
		s.Passed[len(s.Passed)-1].By = o.By
	default:
		return refuse("%.40q is no order: want %s, %s, %s or %s", o.Verdict, Pause, Resume, Advance, Halt)
	}
	d.By, d.Reason = o.By, o.Reason
	s.Latest = d
	return s, d, nil
}

// decision is one in this state.
func (s State) decision(v Verdict, code Code, now time.Time, text string) Decision {
	return Decision{Schema: Schema, At: now, Verdict: v, Code: code, Stage: s.Stage, Text: text}
}

// resume goes on: the time in which nobody was offered the release is no time
// of the stage's patience.
func (s State) resume(now time.Time) State {
	paused := now.Sub(s.PausedAt)
	if s.Filled.IsZero() {
		s.Opened = s.Opened.Add(paused)
	}
	s.Phase, s.PausedAt, s.Asked = Running, time.Time{}, time.Time{}
	return s
}

// advance opens the next stage, or completes the rollout.
func (s State) advance(code Code, now time.Time, text string) (State, Decision) {
	s.Passed = append(append([]Passage(nil), s.Passed...), Passage{Stage: s.Stage, Opened: s.Opened, Filled: s.Filled, Passed: now})
	next, more := s.Stage.Next()
	if !more {
		d := s.decision(Complete, code, now, text+"; the release is stable")
		s.Phase, s.Ended, s.Asked = Stable, now, time.Time{}
		return s, d
	}
	d := s.decision(Advance, code, now, text+"; the stage "+string(next)+" has its turn")
	d.To = next
	s.Phase, s.Stage, s.Opened, s.Filled, s.Asked = Running, next, now, time.Time{}, time.Time{}
	s.Looks, s.NextLook, s.Tests = 0, time.Time{}, nil
	if s.Split.IsZero() {
		s.Split = now
	}
	return s, d
}

// halt ends the rollout.
func (s State) halt(code Code, now time.Time, text string) (State, Decision) {
	d := s.decision(Halt, code, now, text)
	s.Phase, s.Ended, s.Asked, s.PausedAt = Halted, now, time.Time{}, time.Time{}
	return s, d
}

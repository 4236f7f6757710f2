package watch

import (
	"fmt"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Identity is how a firmware is told from another: the slot that it runs from,
// its version, and the SHA-256 of its app image in lower-case hex.
type Identity struct {
	Slot      string
	Version   compat.Version
	AppSHA256 string
}

// is says whether the firmware that spoke is id. What id does not know is not
// asked for; a slot that the firmware does not tell is passed over.
func (id Identity) is(w robot.Firmware) bool {
	return w.Version == id.Version && (id.AppSHA256 == "" || w.AppSHA256 == id.AppSHA256) &&
		(id.Slot == "" || w.Slot == "" || w.Slot == id.Slot)
}

// TrialPolicy is how long and how strictly a new firmware is tried.
type TrialPolicy struct {
	// Window during which it must be in good health, from its first word on.
	Window time.Duration
	// BootTimeout for that first word, from the reset on.
	BootTimeout time.Duration
	// Silence of its status that counts as a hang.
	Silence time.Duration
	// Grace for a firmware that gave itself up to bring the old one back by
	// itself, before somebody else does.
	Grace time.Duration
	// SelfConfirm: the firmware itself must have marked its slot valid by the
	// end of the window.
	SelfConfirm bool
	Meter       MeterPolicy
}

// DefaultTrialPolicy is the mission's 30 s window.
func DefaultTrialPolicy() TrialPolicy {
	return TrialPolicy{Window: 30 * time.Second, BootTimeout: 60 * time.Second, Silence: 10 * time.Second, Grace: 10 * time.Second,
		SelfConfirm: true, Meter: DefaultMeterPolicy()}
}

// Phase of a trial.
type Phase int

// The phases.
const (
	Waiting Phase = iota // nothing heard of the new firmware yet
	Running              // it has spoken, the window runs
	Passed
	Failed
)

// Codes of what ends a trial or an observation.
const (
	CodeNoSign       = "no_sign_of_life"
	CodeBack         = "rolled_back_by_itself"
	CodeStranger     = "wrong_firmware"
	CodeSelfTest     = "self_test_failed"
	CodeUnhealthy    = "unhealthy"
	CodeSilent       = "silent"
	CodeRebooted     = "rebooted"
	CodeNotConfirmed = "not_confirmed"
	CodeEStop        = "unexplained_estop"
	CodeReboots      = "reboots"
	CodeDTLS         = "dtls_failures"
	CodeDrain        = "battery_drain"
)

// Verdict on a trial, as of the last look.
type Verdict struct {
	Phase      Phase
	Code, Text string // of a failure
	// Back: the old firmware runs again by itself.
	Back     bool
	Evidence []string
	// Left of the window, or of the time to boot.
	Left time.Duration
}

// Trial follows one firmware from its reset to a verdict.
type Trial struct {
	policy   TrialPolicy
	want     Identity
	was      Identity
	start    time.Time // reset
	up       time.Time // first word
	last     time.Time // latest word
	words    int
	longest  time.Duration // silence
	valid    time.Time     // first seen confirmed
	boots    uint64        // boot count at the first word
	oldWords int
	doomed   Verdict // the firmware has given itself up
	doomedAt time.Time
	stops    stops
	meter    meter // from the first word on
}

// NewTrial expects want after a reset at start, where was ran before it.
func NewTrial(p TrialPolicy, want, was Identity, start time.Time) Trial {
	return Trial{policy: p, want: want, was: was, start: start, meter: meter{in: "trial"}}
}

// Against is the trial with the baseline of the time before the update.
func (t Trial) Against(base Tally) Trial {
	t.meter.base = base
	return t
}

// Look is the trial after a look at the facts of now, and the verdict so far.
func (t Trial) Look(f robot.Facts, now time.Time) (Trial, Verdict) {
	w := f.Firmware
	if w.At.After(t.start) && w.At.After(t.last) {
		if v, over := t.hear(w); over {
			return t, t.with(v)
		}
	}
	if v, over := t.unexplainedStop(f.EStop); over {
		return t, t.with(v)
	}
	if !t.up.IsZero() {
		t.meter = t.meter.look(f, now)
		if a := t.meter.alarm(t.policy.Meter); a != nil {
			return t, t.with(Verdict{Phase: Failed, Code: a.Code, Text: a.Text})
		}
	}
	return t, t.with(t.judge(w, now))
}

// hear takes in one word of a firmware.
func (t *Trial) hear(w robot.Firmware) (Verdict, bool) {
	if !t.last.IsZero() {
		t.longest = max(t.longest, w.At.Sub(t.last))
	}
	t.last = w.At
	switch {
	case t.want.is(w):
		t.oldWords = 0
	case t.was.is(w):
		// One word may have been on its way since before the reset.
		if t.oldWords++; t.oldWords < 2 {
			return Verdict{}, false
		}
		return t.back(w), true
	default:
		return Verdict{Phase: Failed, Code: CodeStranger,
			Text: fmt.Sprintf("firmware %s (image %s, slot %s) answers, expected %s (image %s, slot %s)",
				w.Version, short(w.AppSHA256), w.Slot, t.want.Version, short(t.want.AppSHA256), t.want.Slot)}, true
	}
	t.words++
	if t.up.IsZero() {
		t.up, t.boots = w.At, w.BootCount
	}
	if t.valid.IsZero() && w.OTAState == "valid" {
		t.valid = w.At
	}
	return t.sick(w)
}

// back is the verdict when the old firmware runs again by itself.
func (t *Trial) back(w robot.Firmware) Verdict {
	if t.doomed.Phase == Failed {
		v := t.doomed
		v.Back = true
		return v
	}
	return Verdict{Phase: Failed, Code: CodeBack, Back: true,
		Text: fmt.Sprintf("the old firmware %s runs again (reset reason %q): the new one did not confirm itself", w.Version, w.ResetReason)}
}

// giveUp notes that the firmware has given itself up: it is about to reset, and
// is not to be disturbed in that.
func (t *Trial) giveUp(at time.Time, format string, args ...any) {
	if t.doomed.Phase != Failed {
		t.doomed = Verdict{Phase: Failed, Code: CodeSelfTest, Text: fmt.Sprintf(format, args...)}
		t.doomedAt = at
	}
}

// sick says what in the new firmware's own words ends the trial at once.
func (t *Trial) sick(w robot.Firmware) (Verdict, bool) {
	fail := func(code, format string, args ...any) (Verdict, bool) {
		return Verdict{Phase: Failed, Code: code, Text: fmt.Sprintf(format, args...)}, true
	}
	switch {
	case w.OTAState == "invalid" || w.OTAState == "aborted":
		t.giveUp(w.At, "the firmware has marked itself %s: %s", w.OTAState, w.Message)
	case strings.EqualFold(w.SelfTest, "failed"):
		t.giveUp(w.At, "the firmware reports that its self-test failed: %s", w.Message)
	case w.Level == robot.Error:
		return fail(CodeUnhealthy, "the firmware reports ERROR: %s", w.Message)
	case w.BootCount > t.boots && t.doomed.Phase != Failed:
		return fail(CodeRebooted, "the firmware has rebooted on trial (reset reason %q)", w.ResetReason)
	}
	return Verdict{}, false
}

// unexplainedStop: an emergency stop in the trial that no operator announced.
func (t *Trial) unexplainedStop(e robot.EStop) (Verdict, bool) {
	if t.up.IsZero() || !t.stops.unexplained(e, t.up) {
		return Verdict{}, false
	}
	return Verdict{Phase: Failed, Code: CodeEStop,
		Text: fmt.Sprintf("emergency stop without an operator's action during the trial (reason %q)", e.Reason)}, true
}

// judge looks at the time.
func (t *Trial) judge(w robot.Firmware, now time.Time) Verdict {
	if t.up.IsZero() {
		left := t.start.Add(t.policy.BootTimeout).Sub(now)
		if left > 0 {
			return Verdict{Phase: Waiting, Left: left}
		}
		return Verdict{Phase: Failed, Code: CodeNoSign,
			Text: fmt.Sprintf("nothing was heard of the new firmware within %s of its boot", t.policy.BootTimeout)}
	}
	if t.doomed.Phase == Failed {
		if left := t.doomedAt.Add(t.policy.Grace).Sub(now); left > 0 {
			return Verdict{Phase: Running, Left: left}
		}
		return t.doomed
	}
	if quiet := now.Sub(t.last); quiet > t.policy.Silence {
		return Verdict{Phase: Failed, Code: CodeSilent,
			Text: fmt.Sprintf("the new firmware fell silent %s after its first word", t.last.Sub(t.up).Round(time.Second))}
	}
	if left := t.up.Add(t.policy.Window).Sub(now); left > 0 {
		return Verdict{Phase: Running, Left: left}
	}
	return t.final(w)
}

// final is asked once the window is over.
func (t *Trial) final(w robot.Firmware) Verdict {
	switch {
	case t.policy.SelfConfirm && (t.valid.IsZero() || w.OTAState != "valid"):
		return Verdict{Phase: Failed, Code: CodeNotConfirmed,
			Text: fmt.Sprintf("the firmware did not confirm itself within %s (state %q)", t.policy.Window, w.OTAState)}
	case w.SafetyState != "" && !strings.EqualFold(w.SafetyState, "normal"):
		return Verdict{Phase: Failed, Code: CodeUnhealthy, Text: fmt.Sprintf("the safety state at the end of the window is %q", w.SafetyState)}
	case w.MotorsBusy():
		return Verdict{Phase: Failed, Code: CodeUnhealthy, Text: fmt.Sprintf("the motors are %q at the end of the window", w.Motors)}
	case w.SelfTest != "" && !strings.EqualFold(w.SelfTest, "passed"):
		return Verdict{Phase: Failed, Code: CodeSelfTest, Text: fmt.Sprintf("the self-test is %q at the end of the window", w.SelfTest)}
	}
	return Verdict{Phase: Passed}
}

// with adds what the trial has seen so far.
func (t *Trial) with(v Verdict) Verdict {
	if v.Phase != Passed && v.Phase != Failed {
		return v
	}
	if t.up.IsZero() {
		return v
	}
	v.Evidence = append(v.Evidence,
		fmt.Sprintf("firmware %s, image %s, first heard %.1fs after the boot", t.want.Version, short(t.want.AppSHA256), t.up.Sub(t.start).Seconds()),
		fmt.Sprintf("%d reports in %.1fs, longest silence %.1fs", t.words, t.last.Sub(t.up).Seconds(), t.longest.Seconds()))
	if !t.valid.IsZero() {
		v.Evidence = append(v.Evidence, fmt.Sprintf("marked valid %.1fs after its first report", t.valid.Sub(t.up).Seconds()))
	}
	v.Evidence = append(v.Evidence, t.meter.evidence(t.policy.Meter)...)
	return v
}

func short(sum string) string {
	if sum == "" {
		return "of unknown hash"
	}
	return sum[:min(12, len(sum))]
}

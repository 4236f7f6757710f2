package rollout

import (
	"slices"
	"time"
)

// Outcome is how far a robot has come with a release. Its names are persisted.
type Outcome string

// The outcomes.
const (
	Pending    Outcome = "" // nothing was heard of it
	Trying     Outcome = "trying"
	Confirmed  Outcome = "confirmed"   // the chip attests it
	Failed     Outcome = "failed"      // before the switch: what ran runs
	RolledBack Outcome = "rolled_back" // it ran, and was put back
)

// estop is the trigger that is none the less one for coming in a trial.
const estop = "unexplained_estop"

// Triggers are the codes of the rollback triggers, as agents report them.
func Triggers() []string {
	return []string{estop, "reboots", "dtls_failures", "battery_drain", "silent"}
}

// byHand are the codes of an update that a person cancelled or had put back: they
// say nothing of the release.
func byHand() []string { return []string{"cancelled", "operator"} }

// Progress is a robot's way with a release. Times are when each happened
// first; zero: it has not.
type Progress struct {
	Outcome Outcome
	Code    string // of the failure
	// Trigger that fired on the confirmed release; an emergency stop also in its trial.
	Trigger string

	Offered, Trying, Confirmed, Failed, RolledBack time.Time
}

// With is the progress after one more outcome. An older word of the same
// attempt, which comes late, does not undo a newer one.
func (p Progress) With(o Outcome, code string, at time.Time) Progress {
	first := func(t *time.Time) {
		if t.IsZero() || at.Before(*t) {
			*t = at
		}
	}
	switch o {
	case Pending:
		return p
	case Trying:
		first(&p.Trying)
		if p.Outcome != Pending {
			return p
		}
	case Confirmed:
		first(&p.Confirmed)
		if p.Outcome == RolledBack && !at.After(p.RolledBack) {
			return p
		}
	case Failed:
		first(&p.Failed)
		if p.Outcome == Confirmed || p.Outcome == RolledBack {
			return p
		}
	case RolledBack:
		first(&p.RolledBack)
	default:
		return p
	}
	p.Outcome, p.Code = o, code
	if o == RolledBack && (code == estop || !p.Confirmed.IsZero() && slices.Contains(Triggers(), code)) {
		p.Trigger = code
	}
	return p
}

// Took says whether the robot runs the release, or is about to: it has to be
// told when the release is called back.
func (p Progress) Took() bool { return p.Outcome == Confirmed || p.Outcome == Trying }

// Fault says whether the update went wrong, and not by a person's hand.
func (p Progress) Fault() bool {
	return (p.Outcome == Failed || p.Outcome == RolledBack) && !slices.Contains(byHand(), p.Code)
}

// Counters are sums of what an agent counted.
type Counters struct {
	OK          float64 `json:"ok"` // minutes, by the worst level of the diagnostics in each
	Warn        float64 `json:"warn"`
	Error       float64 `json:"error"`
	Silent      float64 `json:"silent"`
	Odometry    float64 `json:"odometry"` // messages
	Diagnostics float64 `json:"diagnostics"`
	Battery     float64 `json:"battery"`
	Used        float64 `json:"used"`        // charge, a fraction
	Discharging float64 `json:"discharging"` // seconds
	EStops      float64 `json:"estops"`
	Reboots     float64 `json:"reboots"`
	Tries       float64 `json:"tries"` // DTLS handshakes
	Failures    float64 `json:"failures"`
}

// Heard is of how many minutes diagnostics were received.
func (c Counters) Heard() float64 { return c.OK + c.Warn + c.Error }

// Add sums.
func (c Counters) Add(d Counters) Counters {
	return Counters{
		OK: c.OK + d.OK, Warn: c.Warn + d.Warn, Error: c.Error + d.Error, Silent: c.Silent + d.Silent,
		Odometry: c.Odometry + d.Odometry, Diagnostics: c.Diagnostics + d.Diagnostics, Battery: c.Battery + d.Battery,
		Used: c.Used + d.Used, Discharging: c.Discharging + d.Discharging,
		EStops: c.EStops + d.EStops, Reboots: c.Reboots + d.Reboots, Tries: c.Tries + d.Tries, Failures: c.Failures + d.Failures,
	}
}

// Window is what was counted of a robot over some time.
type Window struct {
	First time.Time `json:"first,omitzero"` // word
	Last  time.Time `json:"last,omitzero"`  // word
	Counters
}

// Robot is one of a rollout, as it was seen.
type Robot struct {
	ID      string
	Stage   Stage // at which it has its turn
	Stratum string
	Progress
	// Unfit says why its companion cannot talk to the release; "": it can.
	Unfit string
	// Heard is when the last word of it came.
	Heard time.Time
	// Before, Since and Recent are what was counted: before State.Split; with
	// the release, or of others since the stage was opened; and with the release
	// in the last hours, as long as the stage's watch. They are set in
	// Observations that are measured.
	Before, Since, Recent Window
}

// Observations are what is known of all robots of a rollout.
type Observations struct {
	Robots []Robot
	// Measured says that the windows are set.
	Measured bool
	// Withdrawn says why the release cannot be offered any more; "": it can.
	Withdrawn string
}

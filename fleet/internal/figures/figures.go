// Package figures makes of counts the figures that a fleet is judged by. It is
// pure: no I/O, no clock, no log. The dashboard shows them and the metrics hold
// them, so that both say the same.
package figures

import (
	"slices"
	"time"
)

// Targets of the fleet's operators.
const (
	SuccessTarget  = 0.99 // more than this share of the updates is confirmed
	RollbackTarget = 0.01 // less than this share of them is rolled back
)

// Outcomes of an update.
const (
	Confirmed  = "confirmed"
	Failed     = "failed"
	RolledBack = "rolled_back"
)

// cancelled is the code of an update that a person has cancelled.
const cancelled = "cancelled"

// SilentAfter is how long a robot that was heard may say nothing until it
// counts as silent.
const SilentAfter = 15 * time.Minute

// Tally counts updates.
type Tally struct {
	Confirmed, Failed, RolledBack int
	// Running have not ended; Other were cancelled by a person, before the robot
	// had anything new. Neither says how good updates are: they are in no rate.
	Running, Other int
	// Downloads of which the time is known, and the sum of these times in seconds.
	Downloads int
	Seconds   float64
}

// Add counts updates of one outcome ("": they go on) and code.
func (t *Tally) Add(outcome, code string, updates, downloads int, seconds float64) {
	switch {
	case outcome == Confirmed:
		t.Confirmed += updates
	case outcome == Failed && code != cancelled:
		t.Failed += updates
	case outcome == RolledBack:
		t.RolledBack += updates
	case outcome == "":
		t.Running += updates
	default:
		t.Other += updates
	}
	t.Downloads += downloads
	t.Seconds += seconds
}

// Ended is of how many updates the rates are.
func (t Tally) Ended() int { return t.Confirmed + t.Failed + t.RolledBack }

// Success is the share of the updates that was confirmed; false: none ended.
func (t Tally) Success() (float64, bool) { return share(t.Confirmed, t.Ended()) }

// Rollback is the share of the updates that was rolled back; false: none ended.
func (t Tally) Rollback() (float64, bool) { return share(t.RolledBack, t.Ended()) }

// Download is how long a download took, on average; false: it is known of none.
func (t Tally) Download() (time.Duration, bool) {
	if t.Downloads == 0 {
		return 0, false
	}
	return time.Duration(t.Seconds / float64(t.Downloads) * float64(time.Second)), true
}

func share(part, of int) (float64, bool) {
	if of == 0 {
		return 0, false
	}
	return float64(part) / float64(of), true
}

// Mean of durations; false: there are none.
func Mean(all []time.Duration) (time.Duration, bool) {
	if len(all) == 0 {
		return 0, false
	}
	var sum float64
	for _, d := range all {
		sum += d.Seconds()
	}
	return time.Duration(sum / float64(len(all)) * float64(time.Second)), true
}

// Codes are those that a robot gives for a roll-back: operator is an order, by
// hand or by a rollout that was halted, the others are what went wrong.
func Codes() []string {
	return []string{"battery_drain", "dtls_failures", "no_sign_of_life", "not_confirmed", "operator", "reboots", "rebooted", "restarted_too_often",
		"rolled_back_by_itself", "self_test_failed", "silent", "unexplained_estop", "unhealthy", "wrong_firmware"}
}

// Code is a robot's code for a roll-back, or "other": robots may say anything,
// and a metric has a bounded number of labels.
func Code(said string) string {
	if slices.Contains(Codes(), said) {
		return said
	}
	return "other"
}

package emergency

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// need is what has to be asked of a robot.
type need int

const (
	// clear: it neither runs the firmware nor is on its way to it.
	clear need = iota
	// unheard: what it runs is not known.
	unheard
	// giveUp: it is on its way to the firmware and has not switched to it.
	giveUp
	// putBack: it runs the firmware, or tries it.
	putBack
	// returning: it puts the firmware back already.
	returning
)

// States of a job, as robots report them: before the switch, in the trial, and
// on the way back.
func beforeSwitch() []string {
	return []string{"checking", "downloading", "verifying", "waiting", "handover", "connecting", "writing", "attesting"}
}

func inTrial() []string { return []string{"booting", "validating", "confirmed"} }

const rollingBack = "rolling_back"

// needOf tells what a robot that reports itself so needs, if that firmware is
// to be had by nobody.
func needOf(s store.RobotState, bad compat.Version) need {
	target := s.JobTarget == bad.String()
	switch {
	case s.JobState == rollingBack && (target || s.Version == bad):
		return returning
	case s.Version == bad, target && slices.Contains(inTrial(), s.JobState):
		return putBack
	case target && slices.Contains(beforeSwitch(), s.JobState):
		return giveUp
	case s.Version.IsZero():
		return unheard
	}
	return clear
}

// Waiting times until a robot that refused, or that said yes and still runs the
// firmware, is asked anew: doubled with each attempt, up to the last.
const (
	firstRetry = 5 * time.Minute
	lastRetry  = 6 * time.Hour
)

// step is what follows for a robot from what it needs and was told.
type step struct {
	enqueue      []store.Command
	comply, drop []string
}

func (s step) empty() bool { return len(s.enqueue)+len(s.comply)+len(s.drop) == 0 }

// stepOf decides what is to be done about a robot. have are the commands that
// it was given in this incident, in their order.
func stepOf(incident store.Incident, r record, robot store.Robot, have []store.Command, now time.Time) step {
	var s step
	bad := versionFor(r.Targets, robot.SKU)
	var verb store.Verb // that it is to have; "": none
	switch needOf(robot.State, bad) {
	case clear:
		for _, c := range open(have) {
			s.comply = append(s.comply, c.ID)
		}
		return s
	case unheard, returning: // it is to be heard first
		return s
	case giveUp:
		if nameable(robot.State.JobID) {
			verb = store.VerbCancel
		}
	case putBack:
		if r.Rollback {
			verb = store.VerbRollback
		}
	}
	for _, c := range open(have) {
		if c.Verb == verb && !again(c, len(have), now) {
			return step{}
		}
		s.drop = append(s.drop, c.ID)
	}
	if verb == "" {
		return s
	}
	id := fmt.Sprintf("%s/%d/%s", incident.ID, len(have)+1, robot.ID)
	s.enqueue = []store.Command{{
		ID: id, Robot: robot.ID, Verb: verb, Version: bad, Incident: incident.ID,
		Payload: payload(verb, id, robot.State.JobID, incident.Reason, bad, now),
	}}
	return s
}

// open leaves out what is over.
func open(have []store.Command) []store.Command {
	return slices.DeleteFunc(slices.Clone(have), func(c store.Command) bool { return !c.Complied.IsZero() || !c.Dropped.IsZero() })
}

// again says that a command had its answer and no effect, for long enough.
func again(c store.Command, attempts int, now time.Time) bool {
	if c.Acknowledged.IsZero() {
		return false
	}
	wait := lastRetry
	if attempts < 8 { // 5 min · 2⁷ is more than 6 h
		wait = min(lastRetry, firstRetry<<(attempts-1))
	}
	return now.Sub(c.Acknowledged) >= wait
}

// nameable says that a command may name what the robot calls its job. The
// agent takes 1 to 128 printable characters.
func nameable(job string) bool {
	return job != "" && len(job) <= 128 && !strings.ContainsFunc(job, func(r rune) bool { return !unicode.IsPrint(r) })
}

// payload is the command as robots take it. A rollback names the version that
// is to go, so that one that comes late puts nothing else back; it holds for
// ever. A cancel names the job, and a late one is refused by its age.
func payload(verb store.Verb, id, job, reason string, bad compat.Version, now time.Time) json.RawMessage {
	fields := map[string]any{"id": id, "reason": reason, "version": bad.String()}
	if verb == store.VerbCancel {
		fields = map[string]any{"id": job, "issued": now.Unix()}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err) // texts and a number
	}
	return b
}

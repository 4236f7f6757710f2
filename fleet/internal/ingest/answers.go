package ingest

import (
	"encoding/json"
	"strings"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Verdicts and codes of agents that decide.
const (
	verdictFollowed = "followed"
	codeDuplicate   = "duplicate"
)

// answer is what a robot said to a command.
type answer struct{ id, verdict, code string }

// answers are those that an event gives to commands of the robot. One that
// stands in for later (the robot is busy, or its agent did not answer in time) is
// none: the command is sent again.
func answers(commands []store.Command, e eventWord) []answer {
	verdict, verb := e.Verdict, store.Verb(strings.TrimPrefix(e.Topic, "commands/"))
	switch {
	case e.Command == "":
		return nil
	case e.Kind == kindTransition && e.JobKind == jobUpdate:
		verdict, verb = verdictFollowed, store.VerbOTA
	case e.Kind != kindCommand, e.Code == "busy", e.Code == "agent":
		return nil
	case e.Code == codeDuplicate: // its effect is there
		verdict = verdictFollowed
	}
	var out []answer
	for _, c := range commands {
		if c.Acknowledged.IsZero() && c.Verb == verb && payloadID(c) == e.Command {
			code := e.Code
			if verdict == verdictFollowed {
				code = ""
			}
			out = append(out, answer{c.ID, clip(verdict, maxName), clip(code, maxName)})
		}
	}
	return out
}

// payloadID is the id by which the robot knows a command. A cancel's is that of
// what it is to cancel.
func payloadID(c store.Command) string {
	var p struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(c.Payload, &p) != nil || p.ID == "" {
		return c.ID
	}
	return p.ID
}

// complied are the commands that ask for what the robot is seen to have
// done: it runs the version that it was to take, or does not any more the one
// that it was to put back. In a trial nothing is done yet.
func complied(commands []store.Command, s store.RobotState) []string {
	if s.Version.IsZero() || !settled(s.JobState) {
		return nil
	}
	var out []string
	for _, c := range commands {
		if c.Version.IsZero() || !c.Complied.IsZero() || !c.Dropped.IsZero() {
			continue
		}
		switch c.Verb {
		case store.VerbOTA:
			if s.Version == c.Version {
				out = append(out, c.ID)
			}
		case store.VerbRollback:
			if s.Version != c.Version {
				out = append(out, c.ID)
			}
		case store.VerbCancel: // who asked for it sees what came of it
		}
	}
	return out
}

// settled says that in this state the running version is there to stay.
func settled(state string) bool {
	switch state {
	case toIdle, toChecking, toDownloading, "verifying", "waiting", toObserving, toFailed, toRolledBack:
		return true
	}
	return false
}

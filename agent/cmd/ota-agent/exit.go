package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/robot-platform/robot-ota/agent/internal/control"
)

// Exit codes. They are part of the interface: scripts depend on them.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitFailed      = 3
	exitRolledBack  = 4
	exitRefused     = 5
	exitUnreachable = 6
	exitDoubtful    = 7
	exitSick        = 8
	exitDetached    = 130
)

const exitHelp = `Exit codes:
  0    done; with trigger and check: confirmed, or nothing newer
  1    error
  2    the command line is wrong
  3    the update failed; the firmware of before runs, untouched
  4    the new firmware did not prove itself; the one of before was put back
  5    the agent refused: another job goes on, too late, nothing to do it to
  6    no agent is reachable on the control socket
  7    doctor: there are warnings, and no failures
  8    doctor: something fails; history --verify: the history was changed
  130  interrupted; with trigger, check and rollback: the update goes on`

// outcome ends a command with an exit code and without an error message: all
// was said already.
type outcome int

func (o outcome) Error() string { return fmt.Sprintf("exit code %d", int(o)) }

// usageError is a command line that is wrong in itself.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// code is the exit code that belongs to an error.
func (a *app) code(err error) int {
	var (
		o outcome
		u usageError
		p *control.Problem
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &o):
		return int(o)
	case errors.As(err, &u), !a.ran: // cobra did not get as far as the command
		return exitUsage
	case errors.As(err, &p):
		switch p.Code {
		case control.Internal, control.NotFound, control.Unanswered, control.Stopping:
			return exitError
		case control.BadRequest:
			return exitUsage
		default:
			return exitRefused
		}
	case errors.Is(err, control.ErrUnreachable), errors.Is(err, control.ErrDenied), errors.Is(err, control.ErrLost):
		return exitUnreachable
	}
	return exitError
}

// failure is an error as --json tells it.
type failure struct {
	Error string       `json:"error"`
	Code  control.Code `json:"code,omitempty"`
	JobID string       `json:"job_id,omitempty"`
	Exit  int          `json:"exit"`
}

// conclude tells an error and returns the exit code.
func (a *app) conclude(err error) int {
	exit := a.code(err)
	var o outcome
	if err == nil || errors.As(err, &o) {
		return exit
	}
	if a.json {
		f := failure{Error: err.Error(), Exit: exit}
		var p *control.Problem
		if errors.As(err, &p) {
			f.Code, f.JobID = p.Code, p.JobID
		}
		if b, jerr := json.Marshal(f); jerr == nil {
			a.warn("%s", b)
			return exit
		}
	}
	a.warn("ota-agent: %v", err)
	if exit == exitUsage {
		a.warn("See: ota-agent --help")
	}
	return exit
}

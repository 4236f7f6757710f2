package update

import (
	"errors"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Visit is what a trip of the chip into its serial loader and back into its
// application has shown.
type Visit struct {
	// Boots is what the chip boots, read from its flash.
	Boots Installed `json:"boots"`
	// Connect is the time from the free line to the loader that has told what
	// the flash holds, in seconds.
	Connect float64 `json:"connect_seconds"`
	// Back is the time from the end of the visit to the firmware's first
	// word, in seconds; 0: it was not heard.
	Back float64 `json:"back_seconds,omitempty"`
}

// Check is a question to the update server, and what came of it.
type Check struct {
	At time.Time `json:"at"`
	// Origin is who had it asked.
	Origin Origin `json:"origin,omitempty"`
	// Offered is what it offered; zero: nothing newer.
	Offered compat.Version `json:"offered,omitzero"`
	// Err is why there was no answer, "" where there was one.
	Err string `json:"err,omitempty"`
	// Wait is how long the server asks to be left alone, 0: it does not.
	Wait time.Duration `json:"-"`
}

// ErrObserved refuses to restart the chip for a visit.
var ErrObserved = errors.New("a confirmed firmware is still being observed, and a restart of the chip would count against it")

// NotNowError refuses what the state of the robot does not allow.
type NotNowError struct{ Reasons []preflight.Reason }

// Error names each reason and what would lift it.
func (e *NotNowError) Error() string {
	all := make([]string, len(e.Reasons))
	for i, r := range e.Reasons {
		all[i] = r.Text + " (lifted by " + r.Lift + ")"
	}
	return "not now: " + strings.Join(all, "; ")
}

// visit takes the line for a visit of the loader. Only a robot without a job
// has the time.
func (s *step) visit() error {
	switch s.m.Job.State {
	case Idle, Failed, RolledBack:
	case Observing:
		return ErrObserved
	case Checking, Downloading, Verifying, Waiting, Handover, Connecting, Writing, Attesting, Booting, Validating, Confirmed, RollingBack:
		return s.busy()
	}
	if s.m.Held {
		return s.busy()
	}
	s.m.Held = true
	s.effects = append(s.effects, DoBorrow)
	return nil
}

// borrowed goes on with the visit once the line is free.
func (s *step) borrowed(ev Event) error {
	if _, taken := ev.(LineTaken); !taken || !s.m.Held || s.m.Loader {
		return s.unexpected(ev)
	}
	s.m.Loader = true
	s.effects = append(s.effects, DoVisit)
	return nil
}

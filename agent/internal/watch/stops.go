package watch

import (
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// stops tells the emergency stops that somebody accounts for from those that
// nobody does. A stop that was accounted for stays so until it is over:
// released, or in recovery.
type stops struct{ borne bool }

// unexplained says whether the stop of now, heard after since, is one that no
// operator announced.
func (s *stops) unexplained(e robot.EStop, since time.Time) bool {
	switch {
	case !e.At.After(since):
		return false
	case !pressed(e):
		s.borne = false
		return false
	case s.borne || e.Announced || Announced(e.Reason):
		s.borne = true
		return false
	}
	return true
}

func pressed(e robot.EStop) bool { return e.Stopped || e.State == robot.EStopStopped }

// Announced says whether the reason of an emergency stop is an operator's own.
func Announced(reason string) bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(reason)), "operator")
}

package update

import (
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Status is what is published: the same to ROS, MQTT and the command line.
type Status struct {
	State  State     `json:"state"`
	Since  time.Time `json:"since,omitzero"`
	JobID  string    `json:"job_id,omitempty"`
	Kind   Kind      `json:"kind,omitempty"`
	Origin Origin    `json:"origin,omitempty"`
	// Command is the id that the sender gave to the command behind the job.
	Command string `json:"command,omitempty"`
	// Running is what the firmware says of itself.
	Running Installed `json:"running,omitzero"`
	// Target version and slot of the job.
	Target compat.Version `json:"target,omitzero"`
	Slot   string         `json:"slot,omitempty"`
	// Progress of the state that goes on, 0-1.
	Progress   float64 `json:"progress"`
	BytesDone  int64   `json:"bytes_done,omitempty"`
	BytesTotal int64   `json:"bytes_total,omitempty"`
	Rate       float64 `json:"rate,omitempty"` // bytes a second
	// Patch: what is downloaded is a patch.
	Patch bool `json:"patch,omitempty"`
	// Reasons that hold the update back while it waits, or a roll-back while the
	// robot moves.
	Reasons []preflight.Reason `json:"reasons,omitempty"`
	Failure *Failure           `json:"failure,omitempty"`
	// Message is the state of things in one line.
	Message string `json:"message"`
	// LastCheck is the latest question to the update server, and NextCheck when
	// it is asked next without being told; zero: never.
	LastCheck *Check    `json:"last_check,omitempty"`
	NextCheck time.Time `json:"next_check,omitzero"`
	// Metadata is how release metadata stands; nil: it is not asked for.
	Metadata *Metadata `json:"metadata,omitempty"`
	// Held: the chip may still sit in its loader; it is being put back.
	Held bool `json:"held,omitempty"`
}

// Outcome is how the job ended, "" while it has not.
func (s Status) Outcome() State {
	switch s.State {
	case Observing:
		return Confirmed
	case Failed, RolledBack:
		return s.State
	case Idle, Checking, Downloading, Verifying, Waiting, Handover, Connecting, Writing, Attesting, Booting, Validating,
		Confirmed, RollingBack:
	}
	return ""
}

// Plan is what a request would do, without doing it.
type Plan struct {
	// WouldUpdate: the update would start at once.
	WouldUpdate bool           `json:"would_update"`
	Message     string         `json:"message"`
	Running     Installed      `json:"running,omitzero"`
	Target      compat.Version `json:"target,omitzero"`
	Slot        string         `json:"slot,omitempty"`
	// Reasons are the gates that stand in the way now.
	Reasons []preflight.Reason `json:"reasons,omitempty"`
	// Estimate of the time until it is confirmed, from the image's size.
	Estimate time.Duration `json:"estimate_ns"`
}

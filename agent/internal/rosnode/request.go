package rosnode

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// request is what came over ROS as the agent takes it. The agent judges it;
// here it is only read.
func request(url, sha256, version string) (update.Request, error) {
	r := update.Request{URL: url, SHA256: sha256, Origin: update.FromROS}.Normalized()
	if version == "" {
		return r, nil
	}
	v, err := compat.ParseVersion(version)
	if err != nil {
		return update.Request{}, fmt.Errorf("%w: %w", update.ErrRequest, err)
	}
	r.Version = v
	return r, nil
}

// refused is an answer to a request that was not taken on: the message, and
// the job that stands in the way, if one does.
func refused(err error) (message, job string) {
	var busy *update.BusyError
	if errors.As(err, &busy) {
		job = busy.JobID
	}
	return "refused: " + err.Error(), job
}

// health is the agent's own diagnostic level and message.
func health(s update.Status) (level uint8, message string) {
	const ok, warn, bad = 0, 1, 2
	switch {
	case s.Held && s.State.Terminal():
		return bad, s.Message
	case s.State == update.RolledBack:
		return warn, s.Message
	case s.State == update.Failed && (s.Failure == nil || s.Failure.Code != update.CodeCancelled):
		return warn, s.Message
	}
	return ok, s.Message
}

// warned is the same where there is something to look into besides the update.
func warned(level uint8, message string, warnings []string) (uint8, string) {
	if len(warnings) == 0 {
		return level, message
	}
	return max(level, uint8(robot.Warn)), message + "; " + strings.Join(warnings, "; ")
}

// allReasons are what holds an update back and what ended it: ROS has one list
// for both.
func allReasons(s update.Status) []preflight.Reason {
	out := slices.Clone(s.Reasons)
	if s.Failure != nil && s.State.Terminal() && s.State != update.Idle {
		out = append(out, preflight.Reason{Code: preflight.Code(s.Failure.Code), Text: s.Failure.Text, Since: s.Since})
	}
	return out
}

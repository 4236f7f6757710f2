//go:build ros2

package rosnode

import (
	"errors"
	"fmt"
	"math"
	"time"

	action_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/action_msgs/msg"
	builtin_interfaces "github.com/robot-platform/robot-ota/internal/rosmsgs/builtin_interfaces/msg"
	diagnostic_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/diagnostic_msgs/msg"
	robot_action "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/action"
	robot_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/msg"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/internal/rcl"
)

// actionName is the action; its services and topics lie below it, hidden.
const actionName = "ota/update/_action/"

// outlets are the topics that the node publishes.
type outlets struct {
	cfg                                     Config
	statusTopic, health, fed, goalsStatuses *rcl.Publisher
}

func newOutlets(n *rcl.Node, cfg Config) (*outlets, error) {
	o := &outlets{cfg: cfg}
	var errs [4]error
	o.statusTopic, errs[0] = n.Publisher("ota/status",
		rcl.Outgoing[robot_msgs.COtaStatus](robot_msgs.OtaStatusTypeSupport), rcl.Latched(1))
	o.health, errs[1] = n.Publisher(cfg.Topics.Diagnostics,
		rcl.Outgoing[diagnostic_msgs.CDiagnosticArray](diagnostic_msgs.DiagnosticArrayTypeSupport), rcl.Reliable(10))
	o.fed, errs[2] = n.Publisher(actionName+"feedback",
		rcl.Outgoing[robot_action.COtaUpdate_FeedbackMessage](robot_action.OtaUpdate_FeedbackMessageTypeSupport), rcl.Reliable(10))
	o.goalsStatuses, errs[3] = n.Publisher(actionName+"status",
		rcl.Outgoing[action_msgs.CGoalStatusArray](action_msgs.GoalStatusArrayTypeSupport), rcl.Latched(1))
	return o, errors.Join(errs[:]...)
}

// status publishes how things stand.
func (o *outlets) status(s update.Status, now time.Time) error {
	m := robot_msgs.NewOtaStatus()
	m.Header.Stamp = stamp(now)
	m.State = string(s.State)
	m.JobId = s.JobID
	m.RunningVersion = versionText(s.Running.Version)
	m.TargetVersion = versionText(s.Target)
	m.Slot = s.Running.Slot
	m.TargetSlot = s.Slot
	m.Progress = fraction(s.Progress)
	m.BytesDone, m.BytesTotal = uint64(max(s.BytesDone, 0)), uint64(max(s.BytesTotal, 0))
	m.Rate = float32(s.Rate)
	m.Reasons = reasons(allReasons(s))
	m.Message = s.Message
	return o.statusTopic.Publish(m)
}

// diagnostics publishes the agent's own health and the robot's firmware.
func (o *outlets) diagnostics(s update.Status, now time.Time) error {
	level, message := health(s)
	if o.cfg.Warnings != nil {
		level, message = warned(level, message, o.cfg.Warnings())
	}
	d := diagnostic_msgs.DiagnosticStatus{
		Level: level, Name: o.cfg.ownStatus(), Message: message, HardwareId: o.cfg.RobotID,
		Values: []diagnostic_msgs.KeyValue{
			{Key: "state", Value: string(s.State)},
			{Key: "job_id", Value: s.JobID},
			{Key: "firmware_version", Value: versionText(s.Running.Version)},
			{Key: "slot", Value: s.Running.Slot},
			{Key: "target_version", Value: versionText(s.Target)},
			{Key: "progress", Value: fmt.Sprintf("%.2f", fraction(s.Progress))},
			{Key: "agent_version", Value: o.cfg.Version},
		},
	}
	if o.cfg.Vitals != nil {
		for _, v := range o.cfg.Vitals() {
			d.Values = append(d.Values, diagnostic_msgs.KeyValue{Key: v.Key, Value: v.Value})
		}
	}
	m := diagnostic_msgs.NewDiagnosticArray()
	m.Header.Stamp = stamp(now)
	m.Status = []diagnostic_msgs.DiagnosticStatus{d}
	return o.health.Publish(m)
}

// feedback tells the client of a goal how its job goes on.
func (o *outlets) feedback(id goalID, s update.Status) error {
	m := robot_action.NewOtaUpdate_FeedbackMessage()
	m.GoalID.Uuid = id
	m.Feedback.State, m.Feedback.Progress, m.Feedback.Message = string(s.State), fraction(s.Progress), s.Message
	return o.fed.Publish(m)
}

// goals publishes the status of the action's goals.
func (o *outlets) goals(all []entry) error {
	m := action_msgs.NewGoalStatusArray()
	for _, e := range all {
		var row action_msgs.GoalStatus
		row.GoalInfo, row.Status = goalInfo(e.id, e.taken), int8(e.status)
		m.StatusList = append(m.StatusList, row)
	}
	return o.goalsStatuses.Publish(m)
}

func goalInfo(id goalID, taken time.Time) (g action_msgs.GoalInfo) {
	g.GoalId.Uuid, g.Stamp = id, stamp(taken)
	return g
}

func reasons(all []preflight.Reason) []robot_msgs.OtaReason {
	out := make([]robot_msgs.OtaReason, 0, len(all))
	for _, r := range all {
		out = append(out, robot_msgs.OtaReason{Since: stamp(r.Since), Code: string(r.Code), Text: r.Text, Lift: r.Lift})
	}
	return out
}

// stamp is a time as builtin_interfaces/Time, whose seconds have 32 bits.
func stamp(t time.Time) (m builtin_interfaces.Time) {
	if s := t.Unix(); s > 0 && s <= math.MaxInt32 {
		m.Sec, m.Nanosec = int32(s), uint32(t.Nanosecond())
	}
	return m
}

func fraction(p float64) float32 {
	if !(p > 0) { // NaN too
		return 0
	}
	return float32(min(p, 1))
}

func versionText(v compat.Version) string {
	if v.IsZero() {
		return ""
	}
	return v.String()
}

//go:build ros2

package rosnode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo/types"

	robot_srvs "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/srv"
	std_srvs "github.com/robot-platform/robot-ota/internal/rosmsgs/std_srvs/srv"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/rcl"
)

// errBusyNode answers when more is asked at once than is sensible.
var errBusyNode = errors.New("the agent has too many requests waiting: try again in a moment")

// serve declares the services.
func (n *Node) serve(ctx context.Context, node *rcl.Node) error {
	return errors.Join(
		on[robot_srvs.COtaTrigger_Response](ctx, n, node, "ota/trigger", robot_srvs.OtaTriggerTypeSupport, n.commands, n.trigger),
		on[robot_srvs.COtaPlan_Response](ctx, n, node, "ota/plan", robot_srvs.OtaPlanTypeSupport, n.plans, n.plan),
		on[robot_srvs.COtaInhibit_Response](ctx, n, node, "ota/inhibit", robot_srvs.OtaInhibitTypeSupport, n.commands, n.inhibit),
		on[std_srvs.CTrigger_Response](ctx, n, node, "ota/cancel", std_srvs.TriggerTypeSupport, n.commands, n.cancel),
		on[std_srvs.CTrigger_Response](ctx, n, node, "ota/rollback", std_srvs.TriggerTypeSupport, n.commands, n.rollback),
		on[std_srvs.CTrigger_Response](ctx, n, node, "ota/check", std_srvs.TriggerTypeSupport, n.commands, n.check),
	)
}

// on serves one service: the callback puts the request into a lane, a worker
// has it answered. refusal is not nil when the lane was full; then f only
// words the answer.
func on[C any, Q, A types.Message](ctx context.Context, n *Node, node *rcl.Node, name string, ts types.ServiceTypeSupport, l *lane,
	f func(ctx context.Context, q Q, refusal error) A,
) error {
	return rcl.Service[C](node, name, ts, func(m types.Message, answer func(types.Message) error) {
		q, ok := m.(Q)
		if !ok {
			n.complain(fmt.Errorf("%s: a request of type %T", name, m))
			return
		}
		if !l.offer(func(ctx context.Context) { n.complain(answer(f(ctx, q, nil))) }) {
			n.complain(answer(f(ctx, q, errBusyNode)))
		}
	})
}

func (n *Node) trigger(ctx context.Context, q *robot_srvs.OtaTrigger_Request, refusal error) *robot_srvs.OtaTrigger_Response {
	a := robot_srvs.NewOtaTrigger_Response()
	r, err := request(q.Url, q.Sha256, q.Version)
	if err = errors.Join(refusal, err); err == nil {
		a.JobId, err = n.agent.Trigger(ctx, r)
	}
	if err != nil {
		a.Message, a.JobId = refused(err)
		return a
	}
	a.Success, a.Message = true, started(a.JobId)
	return a
}

func (n *Node) plan(ctx context.Context, q *robot_srvs.OtaPlan_Request, refusal error) *robot_srvs.OtaPlan_Response {
	a := robot_srvs.NewOtaPlan_Response()
	r, err := request(q.Url, q.Sha256, q.Version)
	var p update.Plan
	if err = errors.Join(refusal, err); err == nil {
		p, err = n.agent.Plan(ctx, r)
	}
	if err != nil {
		a.Message = "cannot be planned: " + err.Error()
		return a
	}
	a.WouldUpdate, a.Message = p.WouldUpdate, p.Message
	a.CurrentVersion, a.CurrentSlot = versionText(p.Running.Version), p.Running.Slot
	a.TargetVersion, a.Slot = versionText(p.Target), p.Slot
	a.Reasons = reasons(p.Reasons)
	a.EstimatedSeconds = uint32(max(p.Estimate.Round(time.Second)/time.Second, 0))
	return a
}

func (n *Node) inhibit(ctx context.Context, q *robot_srvs.OtaInhibit_Request, err error) *robot_srvs.OtaInhibit_Response {
	a := robot_srvs.NewOtaInhibit_Response()
	lease := time.Duration(q.Seconds) * time.Second
	if err == nil {
		err = n.agent.Inhibit(ctx, q.Owner, q.Reason, lease)
	}
	switch {
	case err != nil:
		a.Message, _ = refused(err)
	case lease == 0:
		a.Success, a.Message = true, "released"
	default:
		a.Success, a.Message = true, "held until "+time.Now().Add(lease).UTC().Format(time.RFC3339)
	}
	return a
}

func (n *Node) cancel(ctx context.Context, _ *std_srvs.Trigger_Request, err error) *std_srvs.Trigger_Response {
	if err == nil {
		err = n.agent.Cancel(ctx)
	}
	return simple("the update is cancelled", err)
}

func (n *Node) rollback(ctx context.Context, _ *std_srvs.Trigger_Request, err error) *std_srvs.Trigger_Response {
	job := ""
	if err == nil {
		job, err = n.agent.Rollback(ctx, "asked for through the ROS service ota/rollback", update.FromROS)
	}
	return simple("job "+job+" puts the firmware before the last update back", err)
}

// check asks the update server, as a trigger without a URL does.
func (n *Node) check(ctx context.Context, _ *std_srvs.Trigger_Request, err error) *std_srvs.Trigger_Response {
	job := ""
	if err == nil {
		job, err = n.agent.Trigger(ctx, update.Request{Origin: update.FromROS})
	}
	return simple(started(job), err)
}

func simple(message string, err error) *std_srvs.Trigger_Response {
	a := std_srvs.NewTrigger_Response()
	a.Success, a.Message = err == nil, message
	if err != nil {
		a.Message, _ = refused(err)
	}
	return a
}

func started(job string) string { return "job " + job + " has begun; ota/status tells how it goes on" }

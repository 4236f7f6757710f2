//go:build ros2

package rosnode

import (
	"context"
	"errors"
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo/types"

	action_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/action_msgs/msg"
	action_srvs "github.com/robot-platform/robot-ota/internal/rosmsgs/action_msgs/srv"
	robot_action "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/action"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/rcl"
)

// serveAction declares the three services of the action; its two topics are
// among the outlets.
func (n *Node) serveAction(ctx context.Context, node *rcl.Node, out *outlets) error {
	send := func(ctx context.Context, q *robot_action.OtaUpdate_SendGoal_Request, refusal error) *robot_action.OtaUpdate_SendGoal_Response {
		return n.sendGoal(ctx, q, refusal, out)
	}
	cancel := func(ctx context.Context, q *action_srvs.CancelGoal_Request, refusal error) *action_srvs.CancelGoal_Response {
		return n.cancelGoal(ctx, q, refusal, out)
	}
	return errors.Join(
		on[robot_action.COtaUpdate_SendGoal_Response](ctx, n, node, actionName+"send_goal", robot_action.OtaUpdate_SendGoalTypeSupport, n.commands, send),
		on[action_srvs.CCancelGoal_Response](ctx, n, node, actionName+"cancel_goal", action_srvs.CancelGoalTypeSupport, n.commands, cancel),
		rcl.Service[robot_action.COtaUpdate_GetResult_Response](node, actionName+"get_result", robot_action.OtaUpdate_GetResultTypeSupport, n.getResult),
	)
}

// sendGoal starts a job for a goal. A refusal has no words in ROS's protocol,
// so they go to the log.
func (n *Node) sendGoal(ctx context.Context, q *robot_action.OtaUpdate_SendGoal_Request, refusal error, out *outlets) *robot_action.OtaUpdate_SendGoal_Response {
	a := robot_action.NewOtaUpdate_SendGoal_Response()
	id := goalID(q.GoalID.Uuid)
	r, err := request(q.Goal.Url, q.Goal.Sha256, q.Goal.Version)
	err = errors.Join(refusal, n.goals.check(id), err)
	job := ""
	if err == nil {
		job, err = n.agent.Trigger(ctx, r)
	}
	now := time.Now()
	if err == nil {
		err = n.goals.take(id, job, now)
	}
	if err != nil {
		n.log.Warn("a goal of the action ota/update was refused", "err", err)
		return a
	}
	a.Accepted, a.Stamp = true, stamp(now)
	n.complain(out.goals(n.goals.entries()))
	return a
}

// cancelGoal gives up the jobs of the goals that are meant, as far as the
// agent agrees.
func (n *Node) cancelGoal(ctx context.Context, q *action_srvs.CancelGoal_Request, refusal error, out *outlets) *action_srvs.CancelGoal_Response {
	a := action_srvs.NewCancelGoal_Response()
	ids, code := n.goals.meant(q.GoalInfo.GoalId.Uuid, timeOf(q.GoalInfo))
	if refusal != nil {
		code, ids = cancelRejected, nil
	}
	for _, id := range ids {
		taken, err := n.giveUp(ctx, id)
		if err != nil {
			n.log.Info("a goal of the action ota/update was not cancelled", "err", err)
			continue
		}
		a.GoalsCanceling = append(a.GoalsCanceling, goalInfo(id, taken))
	}
	if len(ids) > 0 && len(a.GoalsCanceling) == 0 {
		code = cancelRejected
	}
	a.ReturnCode = int8(code)
	n.complain(out.goals(n.goals.entries()))
	return a
}

// errNotOurs: the goal's job is no longer the one that would be cancelled.
var errNotOurs = errors.New("its job has ended")

// giveUp cancels the job of one goal, and no other.
func (n *Node) giveUp(ctx context.Context, id goalID) (taken time.Time, err error) {
	job, taken, active := n.goals.job(id)
	if !active || n.agent.Status().JobID != job {
		return taken, errNotOurs
	}
	if err := n.agent.Cancel(ctx); err != nil {
		return taken, err
	}
	n.goals.canceling(id)
	return taken, nil
}

// getResult answers when the goal has ended. It runs in the callback: nothing
// of it waits.
func (n *Node) getResult(m types.Message, answer func(types.Message) error) {
	q, ok := m.(*robot_action.OtaUpdate_GetResult_Request)
	if !ok {
		return
	}
	waits := n.goals.await(goalID(q.GoalID.Uuid), func(how goalStatus, s update.Status) {
		n.complain(answer(result(how, s)))
	})
	if !waits {
		n.complain(errors.New("too many clients wait for the result of one goal of ota/update"))
	}
}

func result(how goalStatus, s update.Status) *robot_action.OtaUpdate_GetResult_Response {
	a := robot_action.NewOtaUpdate_GetResult_Response()
	a.Status = int8(how)
	end := endOf(s)
	if end == "" {
		end = s.State // the agent stops, or the goal is unknown
	}
	a.Result.Success = end == update.Confirmed && how == goalSucceeded
	a.Result.State, a.Result.Message, a.Result.JobId = string(end), s.Message, s.JobID
	a.Result.Version = versionText(s.Running.Version)
	return a
}

// timeOf is the stamp of a cancellation; zero means none.
func timeOf(g action_msgs.GoalInfo) time.Time {
	if g.Stamp.Sec == 0 && g.Stamp.Nanosec == 0 {
		return time.Time{}
	}
	return time.Unix(int64(g.Stamp.Sec), int64(g.Stamp.Nanosec))
}

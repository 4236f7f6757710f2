//go:build ros2

package rosnode

import (
	"slices"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/internal/rostest"
)

const actionType = "robot_interfaces/action/OtaUpdate"

// goalAnswer is what the client's goal command answers.
type goalAnswer struct {
	Accepted bool
	Stamp    struct{ Sec int64 }
	ID       []int
	Status   int
	Result   struct {
		Success                 bool
		State, Message, Version string
		JobID                   string `json:"job_id"`
	}
	Feedback []struct {
		State    string
		Progress float64
		Message  string
	}
	Canceled *struct {
		ReturnCode     int   `json:"return_code"`
		GoalsCanceling []any `json:"goals_canceling"`
	}
}

func goalCommand(more map[string]any) map[string]any {
	c := map[string]any{"do": "goal", "action": "/ota/update", "type": actionType, "goal": map[string]any{"url": imageURL}}
	for k, v := range more {
		c[k] = v
	}
	return c
}

// begun waits until the n-th job has been asked for.
func (r *rig) begun(n int) {
	r.t.Helper()
	eventually(r.t, "the goal's job has begun", func() bool { return len(r.agent.seen()) == n })
}

func TestActionEnds(t *testing.T) {
	r := start(t, Config{})
	c := rostest.NewClient(t)
	tests := []struct {
		name    string
		end     func(s *update.Status)
		status  goalStatus
		success bool
		state   string
	}{
		{"confirmed", func(s *update.Status) { s.State = update.Observing }, goalSucceeded, true, "confirmed"},
		{"observed to the end", func(s *update.Status) { s.State, s.Slot = update.Idle, "ota_1" }, goalSucceeded, true, "confirmed"},
		{"failed", func(s *update.Status) {
			s.State, s.Failure = update.Failed, &update.Failure{Code: "signature", Text: "not signed by a known key"}
		}, goalAborted, false, "failed"},
		{"rolled back", func(s *update.Status) { s.State = update.RolledBack }, goalAborted, false, "rolled_back"},
		{"nothing newer", func(s *update.Status) { s.State = update.Idle }, goalSucceeded, false, "idle"},
		{"overtaken", func(s *update.Status) { *s = update.Status{State: update.Checking, JobID: "another"} }, goalAborted, false, ""},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c.Send(goalCommand(nil))
			r.begun(i + 1)
			job := r.agent.Status().JobID
			r.agent.become(func(s *update.Status) { s.State, s.Progress, s.Message = update.Writing, 0.5, "writing" })
			time.Sleep(300 * time.Millisecond)
			r.agent.become(func(s *update.Status) {
				test.end(s)
				s.Message, s.Running.Version = "the end", compat.Version{Minor: 2, Patch: 1}
			})
			var got goalAnswer
			if err := c.Receive(&got); err != nil {
				t.Fatal(err)
			}
			r.agent.become(func(s *update.Status) { s.State = update.Idle }) // ready for the next
			if !got.Accepted || goalStatus(got.Status) != test.status || got.Result.Success != test.success ||
				got.Result.State != test.state || got.Result.JobID != job || got.Result.Version != "0.2.1" || got.Result.Message == "" {
				t.Errorf("got %+v", got)
			}
			if age := time.Now().Unix() - got.Stamp.Sec; age < 0 || age > 60 {
				t.Errorf("accepted %d s ago", age)
			}
			if !slices.ContainsFunc(got.Feedback, func(f struct {
				State    string
				Progress float64
				Message  string
			}) bool {
				return f.State == "writing" && f.Progress == 0.5 && f.Message == "writing"
			}) {
				t.Errorf("feedback: %+v", got.Feedback)
			}
		})
	}
}

func TestActionRefusesASecondGoal(t *testing.T) {
	r := start(t, Config{})
	c, other := rostest.NewClient(t), rostest.NewClient(t)
	c.Send(goalCommand(nil))
	r.begun(1)
	var second goalAnswer
	other.Ask(goalCommand(nil), &second)
	if second.Accepted {
		t.Errorf("a second goal was accepted: %+v", second)
	}
	r.agent.state(update.Observing)
	if err := c.Receive(nil); err != nil {
		t.Error(err)
	}
}

func TestActionCancel(t *testing.T) {
	t.Run("agreed", func(t *testing.T) {
		r := start(t, Config{})
		c := rostest.NewClient(t)
		c.Send(goalCommand(map[string]any{"cancel": "writing"}))
		r.begun(1)
		r.agent.state(update.Writing)
		var got goalAnswer
		if err := c.Receive(&got); err != nil {
			t.Fatal(err)
		}
		if goalStatus(got.Status) != goalCanceled || got.Result.State != "failed" || got.Result.Success || got.Canceled == nil ||
			got.Canceled.ReturnCode != 0 || len(got.Canceled.GoalsCanceling) != 1 {
			t.Errorf("got %+v, %+v", got, got.Canceled)
		}
	})
	t.Run("too late: the goal goes on and succeeds", func(t *testing.T) {
		r := start(t, Config{})
		r.agent.set(func(a *fakeAgent) { a.cancel = update.ErrTooLate })
		c := rostest.NewClient(t)
		c.Send(goalCommand(map[string]any{"cancel": "validating"}))
		r.begun(1)
		r.agent.state(update.Validating)
		time.Sleep(500 * time.Millisecond)
		r.agent.state(update.Observing)
		var got goalAnswer
		if err := c.Receive(&got); err != nil {
			t.Fatal(err)
		}
		if goalStatus(got.Status) != goalSucceeded || !got.Result.Success || got.Canceled == nil ||
			cancelCode(got.Canceled.ReturnCode) != cancelRejected || len(got.Canceled.GoalsCanceling) != 0 {
			t.Errorf("got %+v, %+v", got, got.Canceled)
		}
	})
	t.Run("by others: unknown, ended, all", func(t *testing.T) {
		r := start(t, Config{})
		c := rostest.NewClient(t)
		cancel := func(more map[string]any) (code cancelCode, goals int) {
			var got struct {
				Code  int
				Goals []any
			}
			more["do"], more["action"] = "cancel", "/ota/update"
			c.Ask(more, &got)
			return cancelCode(got.Code), len(got.Goals)
		}
		unknown := make([]int, 16)
		unknown[3] = 7
		if code, n := cancel(map[string]any{"id": unknown}); code != cancelUnknown || n != 0 {
			t.Errorf("unknown: code %d, %d goals", code, n)
		}
		worker := rostest.NewClient(t)
		worker.Send(goalCommand(nil))
		r.begun(1)
		if code, n := cancel(map[string]any{"stamp": map[string]any{"sec": 1}}); code != cancelNone || n != 0 {
			t.Errorf("before 1970: code %d, %d goals", code, n)
		}
		if code, n := cancel(map[string]any{}); code != cancelNone || n != 1 {
			t.Errorf("all: code %d, %d goals", code, n)
		}
		var got goalAnswer
		if err := worker.Receive(&got); err != nil {
			t.Fatal(err)
		}
		if goalStatus(got.Status) != goalCanceled {
			t.Errorf("got %+v", got)
		}
		if code, n := cancel(map[string]any{"id": got.ID}); code != cancelTerminated || n != 0 {
			t.Errorf("ended: code %d, %d goals", code, n)
		}
	})
}

// A client that waits is told when the agent stops.
func TestActionWhenTheAgentStops(t *testing.T) {
	r := start(t, Config{})
	c := rostest.NewClient(t)
	c.Send(goalCommand(nil))
	r.begun(1)
	eventually(t, "the client asks for the result", func() bool {
		g := &r.node.goals
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.all) == 1 && len(g.all[0].waiting) == 1
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	var got goalAnswer
	if err := c.Receive(&got); err != nil {
		t.Fatal(err)
	}
	if goalStatus(got.Status) != goalAborted || got.Result.JobID != "job-1" {
		t.Errorf("got %+v", got)
	}
}

package rosnode

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Bounds of the action's book-keeping.
const (
	maxGoals    = 32 // remembered, the ended ones included
	maxWaiters  = 16 // requests for one goal's result
	keepResults = 15 * time.Minute
)

// goalStatus is action_msgs/GoalStatus.status.
type goalStatus int8

// The statuses of a goal. One that is taken on is executed at once, so
// ACCEPTED (1) does not occur.
const (
	goalUnknown   goalStatus = 0
	goalExecuting goalStatus = 2
	goalCanceling goalStatus = 3
	goalSucceeded goalStatus = 4
	goalCanceled  goalStatus = 5
	goalAborted   goalStatus = 6
)

func (s goalStatus) active() bool { return s == goalExecuting || s == goalCanceling }

// cancelCode is action_msgs/srv/CancelGoal's return_code.
type cancelCode int8

// The return codes of a cancellation.
const (
	cancelNone       cancelCode = 0
	cancelRejected   cancelCode = 1
	cancelUnknown    cancelCode = 2
	cancelTerminated cancelCode = 3
)

type goalID [16]byte

// goal is one goal of the action, and the job that is done for it.
type goal struct {
	id      goalID
	job     string
	taken   time.Time
	status  goalStatus
	told    word // last feedback
	ended   time.Time
	result  update.Status
	waiting []func(goalStatus, update.Status)
}

// word is what feedback carries.
type word struct {
	state    update.State
	progress float64
	message  string
}

// Refusals of goals.
var (
	errGoalTwice   = errors.New("a goal with this id was sent before")
	errTooManyGoal = errors.New("too many goals are going on")
)

// goals keeps the book of the action's goals. Safe for concurrent use; the
// functions it is given are called without its lock.
type goals struct {
	mu  sync.Mutex
	all []*goal // oldest first
}

// check says whether a goal with this id may be tried at all.
func (g *goals) check(id goalID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.room(id)
}

func (g *goals) room(id goalID) error {
	active := 0
	for _, x := range g.all {
		if x.id == id {
			return errGoalTwice
		}
		if x.status.active() {
			active++
		}
	}
	if active >= maxGoals {
		return errTooManyGoal
	}
	return nil
}

// take notes a goal for whose sake a job was started.
func (g *goals) take(id goalID, job string, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.room(id); err != nil {
		return err
	}
	for i := 0; len(g.all) >= maxGoals && i < len(g.all); {
		if g.all[i].status.active() {
			i++
			continue
		}
		g.all = slices.Delete(g.all, i, i+1)
	}
	g.all = append(g.all, &goal{id: id, job: job, taken: now, status: goalExecuting})
	return nil
}

// settle ends the active goals whose job has ended, and says whether any did.
// current is called under the lock, so that it can be no older than any
// goal's job.
func (g *goals) settle(current func() update.Status, now time.Time) (changed bool) {
	var answers []func()
	g.mu.Lock()
	for _, x := range g.all {
		if !x.status.active() {
			continue
		}
		s := current()
		if how, over := judge(s, x.job); over {
			answers = append(answers, x.end(how, s, now)...)
			changed = true
		}
	}
	g.mu.Unlock()
	for _, answer := range answers {
		answer()
	}
	return changed
}

// tell returns the goals whose clients have not heard of s yet.
func (g *goals) tell(s update.Status) (ids []goalID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := word{s.State, s.Progress, s.Message}
	for _, x := range g.all {
		if x.status.active() && x.job == s.JobID && x.told != w {
			x.told = w
			ids = append(ids, x.id)
		}
	}
	return ids
}

// judge says whether the job has ended, and how its goal did.
func judge(s update.Status, job string) (goalStatus, bool) {
	switch {
	case s.JobID != job: // another has taken its place before we saw its end
		return goalAborted, true
	case endOf(s) == update.Confirmed, endOf(s) == update.Idle:
		return goalSucceeded, true
	case endOf(s) == update.Failed && s.Failure != nil && s.Failure.Code == update.CodeCancelled:
		return goalCanceled, true
	case endOf(s) != "":
		return goalAborted, true
	}
	return goalUnknown, false
}

// endOf is how the job ended, "" while it has not. A job that is idle again
// was confirmed and observed to the end if it came as far as a slot; if not,
// there was nothing newer, which is idle's own end and no failure.
func endOf(s update.Status) update.State {
	if s.State != update.Idle {
		return s.Outcome()
	}
	if s.JobID != "" && s.Slot != "" {
		return update.Confirmed
	}
	return update.Idle
}

// end closes the goal and returns the answers that are owed.
func (x *goal) end(how goalStatus, s update.Status, now time.Time) []func() {
	if s.JobID != x.job {
		s = update.Status{JobID: x.job, Running: s.Running, Message: "how the job ended was not seen: another has begun; ask for the agent's history"}
	}
	x.status, x.result, x.ended = how, s, now
	var out []func()
	for _, w := range x.waiting {
		out = append(out, func() { w(how, s) })
	}
	x.waiting = nil
	return out
}

// await calls answer with the goal's result: at once when there is one or the
// goal is unknown, else when it ends. It returns false for one waiter too many.
func (g *goals) await(id goalID, answer func(goalStatus, update.Status)) bool {
	g.mu.Lock()
	x := g.find(id)
	if x != nil && x.status.active() {
		defer g.mu.Unlock()
		if len(x.waiting) >= maxWaiters {
			return false
		}
		x.waiting = append(x.waiting, answer)
		return true
	}
	how, s := goalUnknown, update.Status{}
	if x != nil {
		how, s = x.status, x.result
	}
	g.mu.Unlock()
	answer(how, s)
	return true
}

func (g *goals) find(id goalID) *goal {
	for _, x := range g.all {
		if x.id == id {
			return x
		}
	}
	return nil
}

// meant are the active goals that a cancellation means: by the rules of
// CancelGoal.srv all goals for no id and no stamp, those up to the stamp, the
// one with the id. code says what to answer when there is none.
func (g *goals) meant(id goalID, until time.Time) (ids []goalID, code cancelCode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	named := id != goalID{}
	if named && until.IsZero() {
		switch x := g.find(id); {
		case x == nil:
			return nil, cancelUnknown
		case !x.status.active():
			return nil, cancelTerminated
		}
	}
	for _, x := range g.all {
		byTime := !x.taken.After(until) || (!named && until.IsZero())
		if x.status.active() && ((named && x.id == id) || byTime) {
			ids = append(ids, x.id)
		}
	}
	return ids, cancelNone
}

// job is the job of an active goal, and when the goal was taken on.
func (g *goals) job(id goalID) (job string, taken time.Time, active bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := g.find(id)
	if x == nil || !x.status.active() {
		return "", time.Time{}, false
	}
	return x.job, x.taken, true
}

// canceling notes that the agent has agreed to give the goal's job up.
func (g *goals) canceling(id goalID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if x := g.find(id); x != nil && x.status == goalExecuting {
		x.status = goalCanceling
	}
}

// abandon ends what is active because the node ends; the job goes on. It says
// whether somebody was told.
func (g *goals) abandon(s update.Status, now time.Time) (told bool) {
	s.Message = "the agent is stopping; it takes the update up again when it is back (" + s.Message + ")"
	var answers []func()
	g.mu.Lock()
	for _, x := range g.all {
		if x.status.active() {
			answers = append(answers, x.end(goalAborted, s, now)...)
		}
	}
	g.mu.Unlock()
	for _, answer := range answers {
		answer()
	}
	return len(answers) > 0
}

// expire forgets results that nobody has fetched for long.
func (g *goals) expire(now time.Time) (changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := len(g.all)
	g.all = slices.DeleteFunc(g.all, func(x *goal) bool {
		return !x.status.active() && now.Sub(x.ended) >= keepResults
	})
	return len(g.all) != before
}

// entry is one row of the action's status topic.
type entry struct {
	id     goalID
	taken  time.Time
	status goalStatus
}

func (g *goals) entries() []entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]entry, len(g.all))
	for i, x := range g.all {
		out[i] = entry{x.id, x.taken, x.status}
	}
	return out
}

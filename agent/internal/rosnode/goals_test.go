package rosnode

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func id(n byte) goalID { return goalID{n} }

func at(s update.Status) func() update.Status { return func() update.Status { return s } }

func TestGoalBounds(t *testing.T) {
	var g goals
	if err := g.take(id(1), "job", noon); err != nil {
		t.Fatal(err)
	}
	if err := g.check(id(1)); !errors.Is(err, errGoalTwice) {
		t.Errorf("the same id: %v", err)
	}
	for i := range 200 { // each ends before the next begins
		g.settle(at(update.Status{JobID: "other"}), noon)
		if err := g.take(id(byte(i+2)), "job", noon); err != nil {
			t.Fatal(i, err)
		}
	}
	if n := len(g.entries()); n > maxGoals {
		t.Errorf("%d goals are remembered", n)
	}
	for i := range maxWaiters {
		if !g.await(id(201), func(goalStatus, update.Status) {}) {
			t.Errorf("waiter %d was refused", i)
		}
	}
	if g.await(id(201), func(goalStatus, update.Status) {}) {
		t.Error("one waiter too many was taken")
	}
}

func TestTooManyActiveGoals(t *testing.T) {
	var g goals
	for i := range maxGoals {
		if err := g.take(id(byte(i+1)), "job", noon); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := g.take(id(200), "job", noon); !errors.Is(err, errTooManyGoal) {
		t.Errorf("one too many: %v", err)
	}
}

func TestEndOf(t *testing.T) {
	for _, test := range []struct {
		s    update.Status
		want update.State
	}{
		{update.Status{JobID: "j", State: update.Idle}, update.Idle},
		{update.Status{JobID: "j", State: update.Idle, Slot: "ota_1"}, update.Confirmed},
		{update.Status{JobID: "j", State: update.Observing, Slot: "ota_1"}, update.Confirmed},
		{update.Status{JobID: "j", State: update.RolledBack, Slot: "ota_1"}, update.RolledBack},
		{update.Status{JobID: "j", State: update.Writing, Slot: "ota_1"}, ""},
	} {
		if got := endOf(test.s); got != test.want {
			t.Errorf("%+v: %q", test.s, got)
		}
	}
}

func TestGoalResults(t *testing.T) {
	var g goals
	var got []goalStatus
	hear := func(s goalStatus, _ update.Status) { got = append(got, s) }
	g.await(id(9), hear)
	_ = g.take(id(1), "job", noon)
	g.await(id(1), hear)
	if g.settle(at(update.Status{JobID: "job", State: update.Writing}), noon) {
		t.Error("it has not ended")
	}
	if !g.settle(at(update.Status{JobID: "job", State: update.Observing}), noon) {
		t.Error("it has ended")
	}
	g.await(id(1), hear) // late
	if want := []goalStatus{goalUnknown, goalSucceeded, goalSucceeded}; !slices.Equal(got, want) {
		t.Errorf("heard %v, want %v", got, want)
	}
	if g.expire(noon.Add(keepResults-time.Second)) || !g.expire(noon.Add(keepResults)) {
		t.Error("results are kept for another time")
	}
	g.await(id(1), hear)
	if got[3] != goalUnknown {
		t.Error("an expired result is still there")
	}
}

func TestGoalFeedback(t *testing.T) {
	var g goals
	_ = g.take(id(1), "job", noon)
	s := update.Status{JobID: "job", State: update.Writing, Progress: 0.1}
	if n := len(g.tell(s)); n != 1 {
		t.Errorf("first: %d", n)
	}
	s.Rate = 7
	if n := len(g.tell(s)); n != 0 {
		t.Errorf("nothing that feedback carries has changed: %d", n)
	}
	s.Progress = 0.2
	if n := len(g.tell(s)); n != 1 {
		t.Errorf("progress: %d", n)
	}
	s.JobID = "other"
	s.Progress = 0.3
	if n := len(g.tell(s)); n != 0 {
		t.Errorf("another's job: %d", n)
	}
}

func TestCancelTargets(t *testing.T) {
	var g goals
	_ = g.take(id(1), "a", noon)
	g.settle(at(update.Status{JobID: "b"}), noon)
	_ = g.take(id(2), "b", noon)
	_ = g.take(id(3), "c", noon.Add(time.Minute))
	tests := []struct {
		name  string
		id    goalID
		until time.Time
		want  []goalID
		code  cancelCode
	}{
		{"all", goalID{}, time.Time{}, []goalID{id(2), id(3)}, cancelNone},
		{"one", id(3), time.Time{}, []goalID{id(3)}, cancelNone},
		{"ended", id(1), time.Time{}, nil, cancelTerminated},
		{"unknown", id(7), time.Time{}, nil, cancelUnknown},
		{"up to a time", goalID{}, noon.Add(time.Second), []goalID{id(2)}, cancelNone},
		{"before any", goalID{}, noon.Add(-time.Second), nil, cancelNone},
		{"one and up to a time", id(3), noon, []goalID{id(2), id(3)}, cancelNone},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, code := g.meant(test.id, test.until)
			if !slices.Equal(got, test.want) || code != test.code {
				t.Errorf("got %v, %d, want %v, %d", got, code, test.want, test.code)
			}
		})
	}
	g.canceling(id(2))
	if e := g.entries()[1]; e.status != goalCanceling {
		t.Errorf("status %d", e.status)
	}
	if job, taken, active := g.job(id(2)); job != "b" || !taken.Equal(noon) || !active {
		t.Errorf("job %s, %s, %v", job, taken, active)
	}
	if _, _, active := g.job(id(1)); active {
		t.Error("an ended goal is active")
	}
}

func TestJudge(t *testing.T) {
	cancelled := &update.Failure{Code: update.CodeCancelled}
	tests := []struct {
		name string
		s    update.Status
		want goalStatus
		over bool
	}{
		{"confirmed", update.Status{JobID: "j", State: update.Observing}, goalSucceeded, true},
		{"observed", update.Status{JobID: "j", State: update.Idle, Slot: "ota_1"}, goalSucceeded, true},
		{"nothing newer", update.Status{JobID: "j", State: update.Idle}, goalSucceeded, true},
		{"failed", update.Status{JobID: "j", State: update.Failed, Failure: &update.Failure{Code: "hash"}}, goalAborted, true},
		{"cancelled", update.Status{JobID: "j", State: update.Failed, Failure: cancelled}, goalCanceled, true},
		{"rolled back", update.Status{JobID: "j", State: update.RolledBack}, goalAborted, true},
		{"overtaken", update.Status{JobID: "k", State: update.Checking}, goalAborted, true},
	}
	for _, s := range update.States() {
		if !s.Terminal() && s != update.Observing {
			tests = append(tests, struct {
				name string
				s    update.Status
				want goalStatus
				over bool
			}{string(s), update.Status{JobID: "j", State: s}, goalUnknown, false})
		}
	}
	for _, test := range tests {
		if got, over := judge(test.s, "j"); got != test.want || over != test.over {
			t.Errorf("%s: %d, %v", test.name, got, over)
		}
	}
}

func TestAbandonedGoals(t *testing.T) {
	var g goals
	_ = g.take(id(1), "job", noon)
	var got update.Status
	var how goalStatus
	g.await(id(1), func(h goalStatus, s update.Status) { how, got = h, s })
	g.abandon(update.Status{JobID: "job", State: update.Writing, Message: "writing"}, noon)
	if how != goalAborted || got.State != update.Writing || got.Message == "writing" {
		t.Errorf("%d, %+v", how, got)
	}
}

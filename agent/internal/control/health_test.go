package control_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/control/controltest"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// patient answers as it is told.
type patient struct {
	health control.Health
	audit  update.Audit
	visit  update.Visit
	err    error
}

func (p *patient) Health(context.Context) control.Health       { return p.health }
func (p *patient) Verify() (update.Audit, error)               { return p.audit, p.err }
func (p *patient) Visit(context.Context) (update.Visit, error) { return p.visit, p.err }

// examined runs a server that can be examined.
func examined(t *testing.T, p control.Patient) *control.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := control.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	e := new(controltest.Engine)
	s := control.NewServer(e, e, slog.New(slog.DiscardHandler))
	if p != nil {
		s.Examine(p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	c := control.NewClient(socket)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestExamination(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	counted := 3
	p := &patient{
		health: control.Health{
			At: at, Version: "1", PID: 7, Groups: []int{1, 2}, Started: at, Keys: keyring.Report{Version: 2, Trusted: []keyring.Entry{{ID: "k"}}}, LastCheck: update.Check{At: at, Err: "no route"},
			ROS:      &robot.Hearing{Node: "/ota_agent", Domain: "3", Since: at, Topics: []robot.Topic{{Role: robot.OdomRole, Heard: 5, Rate: 50, At: at, Publishers: []robot.Publisher{{Node: "/base"}}}}},
			Firmware: &control.Spoken{At: at, Level: "OK", Values: map[string]string{"slot": "ota_0"}},
			Broker:   &control.Broker{Err: "refused", Waiting: 2}, DTLS: &control.DTLS{Tries: 3, Latency: 0.01},
		},
		audit: update.Audit{Records: 2, Counted: &counted, Line: 3, Wrong: "is missing"},
		visit: update.Visit{Boots: update.Installed{Slot: "ota_0"}, Connect: 1.5, Back: 2},
	}
	c := examined(t, p)
	if h, err := c.Health(t.Context()); err != nil || !reflect.DeepEqual(h, p.health) {
		t.Errorf("got %+v, %v\nwant %+v", h, err, p.health)
	}
	if a, err := c.Verify(t.Context()); err != nil || !reflect.DeepEqual(a, p.audit) {
		t.Errorf("got %+v, %v", a, err)
	}
	if v, err := c.Visit(t.Context()); err != nil || v != p.visit {
		t.Errorf("got %+v, %v", v, err)
	}
	var refusal *control.Problem
	p.err = &update.NotNowError{Reasons: []preflight.Reason{{Text: "the robot moves", Lift: "standing still"}}}
	if _, err := c.Visit(t.Context()); !errors.As(err, &refusal) || refusal.Code != control.Refused || refusal.Detail != p.err.Error() {
		t.Errorf("refused: %v", err)
	}
	p.err = &update.BusyError{JobID: "j1", State: update.Writing}
	if _, err := c.Visit(t.Context()); !errors.As(err, &refusal) || refusal.Code != control.Busy {
		t.Errorf("busy: %v", err)
	}
}

// An agent of before, or one that has nothing to be asked, says so.
func TestNotExaminable(t *testing.T) {
	c := examined(t, nil)
	var refusal *control.Problem
	if _, err := c.Health(t.Context()); !errors.As(err, &refusal) || refusal.Code != control.NotFound {
		t.Errorf("got %v", err)
	}
}

package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/control/controltest"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type agent struct {
	*controltest.Engine
	*control.Client
	Keyring *controltest.Keys
	socket  string
	log     *bytes.Buffer // read after stop
	stop    func()
}

// serve runs a server in front of an engine of straw until the test ends.
func serve(t *testing.T) *agent {
	t.Helper()
	a := &agent{Engine: &controltest.Engine{JobID: "job-1"}, Keyring: new(controltest.Keys), socket: filepath.Join(t.TempDir(), "run", "agent.sock"), log: new(bytes.Buffer)}
	l, err := control.Listen(t.Context(), a.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := control.NewServer(a.Engine, a.Engine, slog.New(slog.NewTextHandler(a.log, nil))).WithKeys(a.Keyring)
	go func() { done <- s.Serve(ctx, l) }()
	a.Client = control.NewClient(a.socket)
	stopped := false
	a.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		a.Close()
	}
	t.Cleanup(a.stop)
	return a
}

func TestCommandsArrive(t *testing.T) {
	a := serve(t)
	ctx := t.Context()
	sum := strings.Repeat("AB", 32)
	a.Planned = update.Plan{WouldUpdate: true, Message: "now", Estimate: 90 * time.Second}
	a.Past = []update.Record{{JobID: "a"}, {JobID: "b", Outcome: update.Confirmed}}
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	id, err := a.Client.Trigger(ctx, control.Trigger{URL: " https://example.org/a.bin ", SHA256: sum, Version: "0.2.1", Force: true})
	check("trigger", err)
	if id != "job-1" {
		t.Errorf("job %q", id)
	}
	_, err = a.Check(ctx)
	check("check", err)
	p, err := a.Client.Plan(ctx, control.Trigger{})
	check("plan", err)
	if !p.WouldUpdate || p.Estimate != 90*time.Second {
		t.Errorf("plan %+v", p)
	}
	_, err = a.Client.Rollback(ctx, control.Rollback{Reason: "smells"})
	check("rollback", err)
	check("cancel", a.Client.Cancel(ctx))
	check("inhibit", a.Client.Inhibit(ctx, control.Inhibit{Owner: "docking", Reason: "busy", Seconds: 60}))
	past, err := a.Client.History(ctx, 1)
	check("history", err)
	if len(past) != 1 || past[0].JobID != "b" {
		t.Errorf("history %+v", past)
	}
	want := []string{
		"trigger url=https://example.org/a.bin sha256=" + strings.ToLower(sum) + " version=0.2.1 force=true origin=cli",
		"trigger url= sha256= version=0.0.0 force=false origin=cli",
		"plan url= version=0.0.0",
		`rollback reason="smells" origin=cli`,
		"cancel",
		`inhibit owner="docking" reason="busy" lease=1m0s`,
	}
	if got := a.Asked(); !slices.Equal(got, want) {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	a.stop()
	if want := fmt.Sprintf("uid=%d", os.Getuid()); strings.Count(a.log.String(), want) != 5 {
		t.Errorf("the log does not name who asked:\n%s", a.log)
	}
}

func TestRefusalsKeepTheirCode(t *testing.T) {
	a := serve(t)
	for _, tt := range []struct {
		err  error
		want control.Code
		http int
	}{
		{&update.BusyError{JobID: "job-0", State: update.Writing}, control.Busy, 409},
		{fmt.Errorf("wrapped: %w", update.ErrTooLate), control.TooLate, 409},
		{update.ErrNothingToCancel, control.NothingToCancel, 409},
		{update.ErrNothingToRollBack, control.NothingToRollBack, 409},
		{fmt.Errorf("%w: odd", update.ErrRequest), control.BadRequest, 400},
		{errors.New("no more room"), control.Refused, 409},
	} {
		a.Err = tt.err
		_, err := a.Client.Trigger(t.Context(), control.Trigger{})
		var p *control.Problem
		if !errors.As(err, &p) || p.Code != tt.want || p.Status != tt.http || p.Detail != tt.err.Error() {
			t.Errorf("%v: got %+v", tt.err, p)
		}
		if tt.want == control.Busy && (p.JobID != "job-0" || p.State != update.Writing) {
			t.Errorf("the job in the way is not named: %+v", p)
		}
	}
	a.Err = errors.New("the update server does not answer")
	var p *control.Problem
	if _, err := a.Client.Plan(t.Context(), control.Trigger{}); !errors.As(err, &p) || p.Code != control.Unanswered {
		t.Errorf("plan: %v", err)
	}
}

// TestMalformedRequests goes round the client, which could not send them.
func TestMalformedRequests(t *testing.T) {
	a := serve(t)
	raw := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", a.socket)
	}}}
	defer raw.CloseIdleConnections()
	for name, tt := range map[string]struct {
		method, path, body string
		code               control.Code
		want               string
	}{
		"unknown field": {"POST", "/v1/trigger", `{"link":"x"}`, control.BadRequest, `unknown field "link"`},
		"not JSON":      {"POST", "/v1/trigger", `url=x`, control.BadRequest, "not what was asked for"},
		"two":           {"POST", "/v1/trigger", `{}{}`, control.BadRequest, "something follows"},
		"wrong kind":    {"POST", "/v1/trigger", `{"url":7}`, control.BadRequest, "cannot unmarshal number"},
		"too large":     {"POST", "/v1/trigger", `{"url":"` + strings.Repeat("x", 20<<10) + `"}`, control.BadRequest, "larger than 16384 bytes"},
		"plain http":    {"POST", "/v1/trigger", `{"url":"http://example.org"}`, control.BadRequest, "must begin with https://"},
		"version":       {"POST", "/v1/plan", `{"version":"latest"}`, control.BadRequest, `not a version: "latest"`},
		"digest":        {"POST", "/v1/plan", `{"sha256":"abc"}`, control.BadRequest, "64 lower-case hex digits"},
		"reason":        {"POST", "/v1/rollback", `{"reason":"` + strings.Repeat("x", 201) + `"}`, control.BadRequest, "at most 200 bytes"},
		"line feed":     {"POST", "/v1/rollback", `{"reason":"a\nb"}`, control.BadRequest, "printable"},
		"no owner":      {"POST", "/v1/inhibit", `{"owner":" ","seconds":1}`, control.BadRequest, "owner is missing"},
		"lease":         {"POST", "/v1/inhibit", `{"owner":"a","seconds":86401}`, control.BadRequest, "0 (release) to 86400 (a day)"},
		"cancel":        {"POST", "/v1/cancel", `{"job":"x"}`, control.BadRequest, "unknown field"},
		"n":             {"GET", "/v1/history?n=-1", ``, control.BadRequest, "n must be a number from 0"},
		"address":       {"GET", "/v1/nope", ``, control.NotFound, "knows no GET /v1/nope"},
		"method":        {"GET", "/v1/trigger", ``, control.NotFound, "knows no GET /v1/trigger"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://agent"+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := raw.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("content type %q", ct)
			}
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			var p control.Problem
			if err := json.Unmarshal(b, &p); err != nil {
				t.Fatal(err)
			}
			if p.Code != tt.code || p.Status != resp.StatusCode || !strings.Contains(p.Detail, tt.want) {
				t.Errorf("got %+v", p)
			}
		})
	}
	if got := a.Asked(); len(got) != 0 {
		t.Errorf("the engine was bothered: %v", got)
	}
}

func TestWatchTellsEveryLastState(t *testing.T) {
	a := serve(t)
	a.Set(update.Status{State: update.Idle})
	done := errors.New("seen enough")
	var states []update.State
	err := a.Watch(t.Context(), func(s update.Status) error {
		states = append(states, s.State)
		switch s.State {
		case update.Idle:
			a.Set(update.Status{State: update.Writing, Target: compat.Version{Minor: 2, Patch: 1}})
		case update.Writing:
			a.Set(update.Status{State: update.Attesting})
			a.Set(update.Status{State: update.Booting}) // at once: only the last has to be told
		case update.Booting:
			return done
		default:
			t.Errorf("unexpected %s", s.State)
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
	if states[0] != update.Idle || states[len(states)-1] != update.Booting {
		t.Errorf("states %v", states)
	}
}

func TestWatchEndsWithTheAgent(t *testing.T) {
	a := serve(t)
	err := a.Watch(t.Context(), func(update.Status) error {
		go a.stop()
		return nil
	})
	if !errors.Is(err, control.ErrLost) {
		t.Errorf("got %v", err)
	}
	if err := a.Watch(t.Context(), nil); !errors.Is(err, control.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if a.Listeners() != 0 {
		t.Errorf("%d subscriptions are left", a.Listeners())
	}
}

// TestWhoAsksWhileTheAgentStopsIsAnswered: a refusal, not a cut connection.
func TestWhoAsksWhileTheAgentStopsIsAnswered(t *testing.T) {
	a := serve(t)
	a.Hang = true
	answer := make(chan error, 1)
	go func() {
		_, err := a.Client.Plan(context.Background(), control.Trigger{})
		answer <- err
	}()
	for len(a.Asked()) == 0 {
		time.Sleep(time.Millisecond)
	}
	a.stop()
	var p *control.Problem
	if err := <-answer; !errors.As(err, &p) || p.Code != control.Stopping || p.Detail != "the agent is stopping" {
		t.Errorf("got %v", err)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	a := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	if err := a.Watch(ctx, func(update.Status) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestStatusThatIsNoJSON(t *testing.T) {
	a := serve(t)
	a.Set(update.Status{Progress: math.NaN()})
	if _, err := a.Client.Status(t.Context()); !errors.Is(err, control.ErrAnswer) {
		t.Errorf("got %v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for name, socket := range map[string]string{"no socket": filepath.Join(dir, "none.sock"), "stale": stale} {
		c := control.NewClient(socket)
		_, err := c.Status(t.Context())
		want := "no agent answers on " + socket + ": is the service up? See: systemctl status robot-ota"
		if !errors.Is(err, control.ErrUnreachable) || err.Error() != want {
			t.Errorf("%s: got %v\nwant %s", name, err, want)
		}
	}
}

func TestSilentAgentIsNotWaitedForForEver(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("waited long enough"))
	defer cancel()
	c := control.NewClient(socket)
	defer c.Close()
	if _, err := c.Status(ctx); err == nil || !strings.Contains(err.Error(), "waited long enough") {
		t.Errorf("got %v", err)
	}
}

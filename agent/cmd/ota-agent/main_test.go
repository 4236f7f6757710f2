package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/control/controltest"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ota-agent": main})
}

func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("SOCK", filepath.Join(e.WorkDir, "agent.sock"))
			f := &fake{socket: e.Getenv("SOCK")}
			e.Values[fakeKey{}] = f
			e.Defer(f.end)
			root := tuftest.New(time.Now()).First()
			return errors.Join(writeKey(filepath.Join(e.WorkDir, "key.der")), os.WriteFile(filepath.Join(e.WorkDir, "root.json"), root, 0o600))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"agent":  agentCmd,
			"asked":  askedCmd,
			"exits":  exitsCmd,
			"listen": listenCmd,
		},
	})
}

// writeKey makes a public key as openssl would write it.
func writeKey(path string) error {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		return err
	}
	return os.WriteFile(path, der, 0o600)
}

type fakeKey struct{}

// fake is an agent of straw behind a real socket, in the test's process.
type fake struct {
	*controltest.Engine
	patient *straw // nil: it cannot be examined
	socket  string
	cancel  context.CancelFunc // of the server
	done    chan error
	quit    chan struct{} // closed at the end of the scenario
	plays   sync.WaitGroup
}

// begin sets a scenario up behind a new server.
func (f *fake) begin(scenario func(*fake)) error {
	f.end()
	f.Engine, f.patient, f.quit = &controltest.Engine{JobID: "job-1"}, nil, make(chan struct{})
	scenario(f)
	return f.start()
}

// end ends the scenario and waits until nothing of it goes on.
func (f *fake) end() {
	if f.quit == nil {
		return
	}
	close(f.quit)
	f.plays.Wait()
	f.quit = nil
	f.stop()
}

func (f *fake) start() error {
	l, err := control.Listen(context.Background(), f.socket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel, f.done = cancel, make(chan error, 1)
	s := control.NewServer(f.Engine, f.Engine, slog.New(slog.DiscardHandler))
	if f.patient != nil {
		s.Examine(f.patient)
	}
	go func() { f.done <- s.Serve(ctx, l) }()
	return nil
}

func (f *fake) stop() {
	f.cancel()
	<-f.done
}

// wait passes a moment, or less at the end of the scenario.
func (f *fake) wait(d time.Duration) (goOn bool) {
	select {
	case <-f.quit:
		return false
	case <-time.After(d):
		return true
	}
}

// listened waits until somebody follows.
func (f *fake) listened() bool {
	for range 500 {
		if f.Listeners() > 0 {
			return true
		}
		if !f.wait(20 * time.Millisecond) {
			break
		}
	}
	return false
}

// straw is examined as it is told.
type straw struct {
	health control.Health
	audit  update.Audit
	visit  update.Visit
	err    error
}

func (s *straw) Health(context.Context) control.Health {
	h := s.health
	h.At = time.Now()
	return h
}
func (s *straw) Verify() (update.Audit, error)               { return s.audit, nil }
func (s *straw) Visit(context.Context) (update.Visit, error) { return s.visit, s.err }

// healthy is an agent of this program that has run for an hour.
func healthy() *straw {
	three := 3
	return &straw{
		health: control.Health{
			Version: build(), PID: 4242, UID: os.Getuid(), Groups: []int{os.Getgid()}, Started: time.Now().Add(-time.Hour),
			Status: update.Status{State: update.Idle},
			ROS:    &robot.Hearing{Node: "/ota_agent", Domain: "0"},
		},
		audit: update.Audit{Records: 3, Counted: &three, Head: strings.Repeat("ab", 32)},
		visit: update.Visit{Boots: update.Installed{Slot: "ota_0", Version: compat.Version{Minor: 2}}, Connect: 1.2, Back: 3.4},
	}
}

func job(s update.State) update.Status {
	return update.Status{
		State: s, JobID: "job-1", Kind: update.KindUpdate, Origin: update.FromCLI,
		Since:   time.Now().Add(-10 * time.Second),
		Running: update.Installed{Slot: "ota_0", Version: compat.Version{Minor: 2}},
		Target:  compat.Version{Minor: 2, Patch: 1}, Slot: "ota_1", Message: "it is " + string(s),
	}
}

func failed(s update.State, code, text string) update.Status {
	st := job(s)
	st.Failure = &update.Failure{State: update.Validating, Code: code, Text: text}
	st.Message = text
	return st
}

var lowBattery = preflight.Reason{
	Code: preflight.BatteryLow, Text: "the battery is at 40 %, and must be above 50 %",
	Since: time.Now().Add(-time.Minute), Lift: "charge above 50 %",
}

// scenarios set the agent of straw up.
var scenarios = map[string]func(*fake){
	"idle": func(f *fake) {
		f.Set(update.Status{State: update.Idle, Message: "nothing to do", Running: update.Installed{Slot: "ota_0", Version: compat.Version{Minor: 2}}})
	},
	"trial": func(f *fake) {
		s := job(update.Validating)
		s.Progress = 0.5
		f.Set(s)
	},
	"waiting": func(f *fake) {
		s := job(update.Waiting)
		s.Reasons = []preflight.Reason{lowBattery}
		f.Set(s)
	},
	"held": func(f *fake) {
		s := failed(update.Failed, "port_gone", "the cable was pulled")
		s.Held = true
		f.Set(s)
	},
	"confirms": func(f *fake) {
		waiting, writing := job(update.Waiting), job(update.Writing)
		waiting.Reasons = []preflight.Reason{lowBattery}
		writing.BytesDone, writing.BytesTotal, writing.Rate, writing.Progress = 512<<10, 1<<20, 64<<10, 0.5
		f.play(waiting, writing, job(update.Confirmed), job(update.Observing))
	},
	"fails": func(f *fake) {
		f.play(job(update.Verifying), failed(update.Failed, "signature", "not signed by a known key"))
	},
	"rolls-back": func(f *fake) {
		f.play(job(update.Validating), failed(update.RolledBack, "self_test", "the self-test failed"))
	},
	"nothing": func(f *fake) { f.play(job(update.Checking), job(update.Idle)) },
	"goes-back": func(f *fake) {
		s := failed(update.RolledBack, "operator", "asked for")
		s.Kind = update.KindRollback
		f.play(job(update.RollingBack), s)
	},
	"missed": func(f *fake) { // the job's end and the next job's beginning fall into one look
		f.Past = []update.Record{{JobID: "job-1", Kind: update.KindUpdate, Outcome: update.RolledBack}}
		other := job(update.Checking)
		other.JobID = "job-2"
		f.play(job(update.Validating), other)
	},
	"writes": func(f *fake) { f.play(job(update.Writing)) },
	"busy":   func(f *fake) { f.Err = &update.BusyError{JobID: "job-0", State: update.Writing} },
	"late":   func(f *fake) { f.Err = update.ErrTooLate },
	"none":   func(f *fake) { f.Err = update.ErrNothingToCancel },
	"never":  func(f *fake) { f.Err = update.ErrNothingToRollBack },
	"offline": func(f *fake) {
		f.Err = errors.New("ask updates.example.org: no such host")
	},
	"restarts": func(f *fake) {
		f.Set(job(update.Writing))
		f.OnJob(func() {
			f.plays.Go(func() {
				if !f.listened() {
					return
				}
				f.stop()
				f.Set(job(update.Observing))
				if err := f.start(); err != nil {
					panic(err)
				}
			})
		})
	},
	"past": func(f *fake) {
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		f.Past = []update.Record{
			{
				JobID: "job-a", Kind: update.KindUpdate, Origin: update.FromROS, Outcome: update.Confirmed, To: "ota_1",
				From: update.Installed{Slot: "ota_0", Version: compat.Version{Minor: 2}}, Started: at, Ended: at.Add(83 * time.Second),
				Image: update.Image{Version: compat.Version{Minor: 2, Patch: 1}, FileSHA256: strings.Repeat("ab", 32), Key: "0011223344556677"},
				URL:   "https://example.org/a.bin", Evidence: []string{"version 0.2.1 from ota_1"},
				Durations: []update.Duration{{State: update.Writing, Seconds: 14.2}},
			},
			{
				JobID: "job-b", Kind: update.KindUpdate, Origin: update.FromMQTT, Outcome: update.Failed, Started: at, Ended: at.Add(time.Hour),
				Failure: &update.Failure{State: update.Verifying, Code: "signature", Text: "not signed by a known key"},
			},
		}
	},
	"healthy": func(f *fake) { f.patient = healthy() },
	"tampered": func(f *fake) {
		f.patient = healthy()
		f.patient.audit = update.Audit{Records: 2, Line: 3, Wrong: "is missing: the agent wrote 3 records, and 2 are there: the end was cut off"}
	},
	"moving": func(f *fake) {
		f.patient = healthy()
		f.patient.err = &update.NotNowError{Reasons: []preflight.Reason{{Text: "the robot moves", Lift: "standing still"}}}
	},
	"plans": func(f *fake) {
		f.Planned = update.Plan{
			Message: "0.2.1 would be fetched and would then wait", Target: compat.Version{Minor: 2, Patch: 1}, Slot: "ota_1",
			Running: update.Installed{Slot: "ota_0", Version: compat.Version{Minor: 2}},
			Reasons: []preflight.Reason{lowBattery}, Estimate: 75 * time.Second,
		}
	},
}

// play publishes states once a job was begun. What follows the first waits
// until somebody listens, and each a little, so that it is seen.
func (f *fake) play(states ...update.Status) {
	f.OnJob(func() {
		f.Set(states[0])
		f.plays.Go(func() {
			if !f.listened() {
				return
			}
			for _, s := range states[1:] {
				if !f.wait(150 * time.Millisecond) {
					return
				}
				s.Since = time.Now()
				f.Set(s)
			}
		})
	})
}

// agent SCENARIO: an agent answers on $SOCK.
func agentCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || scenarios[args[0]] == nil {
		ts.Fatalf("usage: agent SCENARIO")
	}
	ts.Check(ts.Value(fakeKey{}).(*fake).begin(scenarios[args[0]]))
}

// asked TEXT: the last command that reached the agent was this.
func askedCmd(ts *testscript.TestScript, neg bool, args []string) {
	got := ts.Value(fakeKey{}).(*fake).Asked()
	if neg {
		if len(got) > 0 {
			ts.Fatalf("asked %q", got)
		}
		return
	}
	if want := strings.Join(args, " "); len(got) == 0 || got[len(got)-1] != want {
		ts.Fatalf("asked %q\nwant  %q", got, want)
	}
}

// exits CODE PROGRAM ARG…: it ends with that exit code.
func exitsCmd(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if neg || got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// listen: wait until somebody follows.
func listenCmd(ts *testscript.TestScript, _ bool, _ []string) {
	if !ts.Value(fakeKey{}).(*fake).listened() {
		ts.Fatalf("nobody follows")
	}
}

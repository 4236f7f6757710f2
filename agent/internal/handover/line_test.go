package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// fake is a service manager, the process that it runs, and the port that this
// process holds.
type fake struct {
	active   string // ActiveState
	holds    bool
	calls    []string
	stateErr error
	stopErr  error
	startErr []error       // from the front, then none
	lingers  time.Duration // the port stays held after the stop
	onStop   func()
	free     time.Time
}

func (f *fake) State(context.Context, string) (string, error) { return f.active, f.stateErr }

func (f *fake) Stop(ctx context.Context, unit string) error {
	f.calls = append(f.calls, "stop "+unit)
	if f.onStop != nil {
		f.onStop()
	}
	if f.stopErr != nil {
		return f.stopErr
	}
	f.active, f.holds, f.free = "inactive", false, time.Now().Add(f.lingers)
	return ctx.Err()
}

func (f *fake) Start(ctx context.Context, unit string) error {
	f.calls = append(f.calls, "start "+unit)
	if len(f.startErr) > 0 {
		err := f.startErr[0]
		f.startErr = f.startErr[1:]
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.active, f.holds = "active", true
	return nil
}

func (f *fake) holder(ctx context.Context) (string, error) {
	if f.holds || time.Now().Before(f.free) {
		return "pid 7 (micro_ros_agent)", ctx.Err()
	}
	return "", ctx.Err()
}

const uros = "micro-ros-agent.service"

func newLine(t *testing.T, f *fake, marker string) *Line {
	t.Helper()
	l, err := New(Config{Unit: uros, Marker: marker}, f.holder, f)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTakeAndGive(t *testing.T) {
	for _, state := range []string{"active", "reloading", "activating"} {
		synctest.Test(t, func(t *testing.T) {
			marker := filepath.Join(t.TempDir(), "handover.json")
			f := &fake{active: state, holds: true, lingers: 3 * time.Second}
			f.onStop = func() {
				if !exists(marker) {
					t.Error("the owner is stopped before the marker stands")
				}
			}
			l := newLine(t, f, marker)
			begin := time.Now()
			if err := l.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < 3*time.Second || took > 4*time.Second {
				t.Errorf("Take took %v", took)
			}
			if err := l.Take(t.Context()); err != nil {
				t.Errorf("second Take: %v", err)
			}
			if !exists(marker) {
				t.Error("no marker while the line is taken")
			}
			for range 2 {
				if err := l.Give(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if exists(marker) || f.active != "active" {
				t.Errorf("after Give: marker %v, %s", exists(marker), f.active)
			}
			if want := []string{"stop " + uros, "start " + uros}; !slices.Equal(f.calls, want) {
				t.Errorf("calls %v, want %v", f.calls, want)
			}
		})
	}
}

func TestTakeLeavesAloneWhatDoesNotRun(t *testing.T) {
	for _, state := range []string{"inactive", "failed", "deactivating", ""} {
		marker := filepath.Join(t.TempDir(), "m")
		f := &fake{active: state}
		l := newLine(t, f, marker)
		if err := errors.Join(l.Take(t.Context()), l.Give(t.Context()), l.Recover(t.Context())); err != nil {
			t.Error(err)
		}
		if len(f.calls) != 0 || exists(marker) {
			t.Errorf("%s: calls %v, marker %v", state, f.calls, exists(marker))
		}
		f.holds = true
		if err := l.Take(t.Context()); !errors.Is(err, ErrBusy) || !strings.Contains(fmt.Sprint(err), "although "+uros+" does not run") {
			t.Errorf("somebody else has the port: %v", err)
		}
	}
}

// After a Take that failed, the owner runs again and the marker is gone.
func TestTakeThatFails(t *testing.T) {
	bad := errors.New("bad")
	for name, c := range map[string]struct {
		fake
		want  error
		text  string
		calls int
		lost  bool // the owner cannot be started again
	}{
		"state unknown": {fake{active: "active", holds: true, stateErr: bad}, bad, "ask " + uros, 0, false},
		"stop fails":    {fake{active: "active", holds: true, stopErr: bad}, bad, "stop " + uros + " (it was active): bad", 2, false},
		"port stays held": {fake{active: "active", holds: true, lingers: time.Hour}, ErrBusy,
			"wait for " + uros + " (it was active): the serial port is not free: 10s after the stop pid 7 (micro_ros_agent) still has it", 2, false},
		"start fails twice": {fake{active: "active", holds: true, stopErr: bad, startErr: []error{bad, bad}}, bad, "stop", 4, false},
		"start fails": {fake{active: "active", holds: true, lingers: time.Hour, startErr: []error{bad, bad, bad}}, bad,
			"start " + uros + " (it was inactive): bad", 4, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			marker := filepath.Join(t.TempDir(), "m")
			f := c.fake
			l := newLine(t, &f, marker)
			err := l.Take(t.Context())
			var typed *Error
			if !errors.Is(err, c.want) || !errors.As(err, &typed) || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("%s: Take = %v", name, err)
			}
			if len(f.calls) != c.calls || exists(marker) != c.lost {
				t.Errorf("%s: calls %v, marker %v", name, f.calls, exists(marker))
			}
			if err := l.Give(t.Context()); err != nil {
				t.Errorf("%s: Give = %v", name, err)
			}
			if f.active != "active" || exists(marker) {
				t.Errorf("%s: in the end %s, marker %v", name, f.active, exists(marker))
			}
		})
	}
}

func TestTakeCancelledStartsTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		marker := filepath.Join(t.TempDir(), "m")
		f := &fake{active: "active", holds: true, lingers: 5 * time.Second}
		l := newLine(t, f, marker)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Take = %v", err)
		}
		if f.active != "active" || exists(marker) {
			t.Errorf("%s, marker %v", f.active, exists(marker))
		}
	})
}

func TestGiveWithACancelledContext(t *testing.T) {
	f := &fake{active: "active", holds: true}
	l := newLine(t, f, filepath.Join(t.TempDir(), "m"))
	if err := l.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Give(ctx); err != nil || f.active != "active" {
		t.Errorf("Give = %v, %s", err, f.active)
	}
}

// Somebody starts the owner while the line is taken.
func TestTakeAgainFromAnOwnerThatCameBack(t *testing.T) {
	f := &fake{active: "active", holds: true}
	l := newLine(t, f, filepath.Join(t.TempDir(), "m"))
	if err := l.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.active, f.holds = "active", true
	if err := errors.Join(l.Take(t.Context()), l.Give(t.Context())); err != nil || f.active != "active" || len(f.calls) != 3 {
		t.Errorf("%v, %s after %v", err, f.active, f.calls)
	}
}

// The marker is for a crash; as long as the agent lives it knows by itself.
func TestGiveWithoutTheMarker(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "m")
	f := &fake{active: "active", holds: true}
	l := newLine(t, f, marker)
	if err := errors.Join(l.Take(t.Context()), os.Remove(marker), l.Give(t.Context())); err != nil || f.active != "active" {
		t.Errorf("%v, %s", err, f.active)
	}
}

func TestGiveIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &hangs{fake: fake{active: "active"}}
		l, err := New(Config{Unit: uros, Marker: filepath.Join(t.TempDir(), "m"), Timeout: 20 * time.Second}, f.holder, f)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := l.Give(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Give = %v", err)
		}
		if took := time.Since(begin); took > 65*time.Second {
			t.Errorf("Give took %v", took)
		}
	})
}

// hangs never gets a unit started.
type hangs struct{ fake }

func (h *hangs) Start(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }

// The agent dies while it has the port: a new Line with the same marker.
func TestRecover(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "m")
	f := &fake{active: "active", holds: true}
	if err := newLine(t, f, marker).Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.active != "inactive" {
		t.Fatal(f.active)
	}
	reborn := newLine(t, f, marker)
	if err := reborn.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.active != "active" || exists(marker) {
		t.Errorf("%s, marker %v", f.active, exists(marker))
	}
	if err := reborn.Recover(t.Context()); err != nil || len(f.calls) != 2 {
		t.Errorf("a second Recover: %v, calls %v", err, f.calls)
	}
}

// Recover with whatever may lie in the marker file.
func TestRecoverFromAnyMarker(t *testing.T) {
	for name, c := range map[string]struct {
		marker string
		unit   string // configured
		starts string
		text   string
	}{
		"ours":             {`{"schema":1,"unit":"` + uros + `"}`, uros, uros, ""},
		"another unit":     {`{"schema":1,"unit":"old.service"}`, uros, "old.service", ""},
		"none configured":  {`{"schema":1,"unit":"old.service"}`, "", "old.service", ""},
		"cut off":          {`{"schema":1,"un`, uros, uros, ""},
		"empty":            {"", uros, uros, ""},
		"later schema":     {`{"schema":2}`, uros, uros, ""},
		"no service":       {`{"schema":1,"unit":"../../x.service"}`, uros, uros, ""},
		"huge":             {`{"schema":1,"unit":"` + strings.Repeat("x", 1<<20) + `"}`, uros, uros, ""},
		"cut off, no unit": {`{`, "", "", "start it by hand, then remove the file"},
		"of a command":     {`{"schema":1}`, "", "", "no owner is configured"},
	} {
		marker := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(marker, []byte(c.marker), 0o600); err != nil {
			t.Fatal(err)
		}
		f := &fake{}
		l, err := New(Config{Unit: c.unit, Marker: marker}, f.holder, f)
		if err != nil {
			t.Fatal(err)
		}
		err = l.Recover(t.Context())
		if c.starts == "" {
			if !errors.Is(err, ErrMarker) || !strings.Contains(fmt.Sprint(err), c.text) || !exists(marker) || len(f.calls) != 0 {
				t.Errorf("%s: %v, marker %v, calls %v", name, err, exists(marker), f.calls)
			}
			continue
		}
		if err != nil || exists(marker) || !slices.Equal(f.calls, []string{"start " + c.starts}) {
			t.Errorf("%s: %v, marker %v, calls %v", name, err, exists(marker), f.calls)
		}
	}
}

func TestTakeWithoutAPlaceForTheMarker(t *testing.T) {
	f := &fake{active: "active", holds: true}
	l := newLine(t, f, filepath.Join(t.TempDir(), "none", "m"))
	if err := l.Take(t.Context()); !errors.Is(err, ErrMarker) || !strings.Contains(fmt.Sprint(err), "nothing was stopped") {
		t.Errorf("Take = %v", err)
	}
	if len(f.calls) != 0 {
		t.Errorf("calls %v", f.calls)
	}
}

func TestNobodyConfigured(t *testing.T) {
	f := &fake{}
	l, err := New(Config{}, f.holder, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Take(t.Context()), l.Give(t.Context()), l.Recover(t.Context())); err != nil {
		t.Error(err)
	}
	f.holds = true
	err = l.Take(t.Context())
	if !errors.Is(err, ErrBusy) || !strings.Contains(fmt.Sprint(err), "pid 7 (micro_ros_agent) has it: set microros.unit") {
		t.Errorf("Take = %v", err)
	}
}

func TestConfig(t *testing.T) {
	nobody := func(context.Context) (string, error) { return "", nil }
	for _, c := range []struct {
		cfg  Config
		text string
	}{
		{Config{Unit: uros, Stop: []string{"x"}, Marker: "/m"}, "both set"},
		{Config{Unit: "micro-ros-agent", Marker: "/m"}, "micro-ros-agent.service"},
		{Config{Unit: "../x.service", Marker: "/m"}, "not the name of a service"},
		{Config{Unit: uros}, "no marker file"},
		{Config{Stop: []string{"x"}, Marker: "/m"}, "go together"},
		{Config{Start: []string{"x"}, Marker: "/m"}, "go together"},
		{Config{Status: []string{"x"}, Marker: "/m"}, "go together"},
		{Config{Unit: uros, Marker: "/m", Wait: -1}, "not within"},
		{Config{Unit: uros, Marker: "/m", Timeout: time.Hour}, "not within"},
	} {
		if _, err := New(c.cfg, nobody, nil); !errors.Is(err, ErrConfig) || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
	if _, err := New(Config{}, nil, nil); !errors.Is(err, ErrConfig) {
		t.Errorf("no holder: %v", err)
	}
}

func TestLineWaitsWithItsContext(t *testing.T) {
	f := &fake{}
	l := newLine(t, f, filepath.Join(t.TempDir(), "m"))
	if err := l.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Take(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Take = %v", err)
	}
	l.unlock()
}

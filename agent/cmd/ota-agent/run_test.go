package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// configured writes a configuration with a key and returns its path.
func configured(t *testing.T, more string) string {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key.der")
	if err := writeKey(key); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "agent.yaml")
	text := "robot: {id: robot-7, sku: standard, companion_version: 0.2.0}\ntrust: {keys: [" + key + "]}\n" + more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunTellsSystemdAndPassesROSArgumentsOn(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	heard := func() string {
		b := make([]byte, 100)
		if err := systemd.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := systemd.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log bytes.Buffer
	a := newApp(streams{strings.NewReader(""), io.Discard, &log})
	a.wire = func(ctx context.Context, ag agent) error {
		if want := []string{"--ros-args", "-r", "__ns:=/r1", "-p", "--odd"}; !slices.Equal(ag.rosArgs, want) {
			t.Errorf("ROS arguments %q", ag.rosArgs)
		}
		if ag.cfg.Robot.ID != "robot-7" || ag.cfg.ControlSocket != "/tmp/elsewhere" || len(ag.base.Files) != 1 {
			t.Errorf("got %+v, keys %v", ag.cfg.Robot, ag.base)
		}
		ag.ready()
		if got := heard(); got != "READY=1" {
			t.Errorf("systemd heard %q", got)
		}
		cancel()
		<-ctx.Done()
		if got := heard(); got != "STOPPING=1" {
			t.Errorf("systemd heard %q", got)
		}
		return ctx.Err()
	}
	code := a.main(ctx, []string{"run", "--config", configured(t, "log: {format: json}\n"), "--socket", "/tmp/elsewhere", "--ros-args", "-r", "__ns:=/r1", "-p", "--odd"})
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{`"msg":"starting"`, `"robot":"robot-7"`, `"msg":"trusting"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}
	if lacks := strings.Contains(log.String(), "this build has no ROS 2"); lacks == withROS {
		t.Errorf("built with ROS %t, the log:\n%s", withROS, &log)
	}
}

func TestRunThatFailsSaysSo(t *testing.T) {
	var log bytes.Buffer
	a := newApp(streams{strings.NewReader(""), io.Discard, &log})
	a.wire = func(context.Context, agent) error { return errors.New("the state folder is full") }
	if code := a.main(t.Context(), []string{"run", "--config", configured(t, "")}); code != exitError {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(log.String(), "ota-agent: the agent ended: the state folder is full") {
		t.Errorf("got %s", &log)
	}
}

func TestLogLevelAndTheJournal(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "8:1234")
	var log bytes.Buffer
	a := newApp(streams{strings.NewReader(""), io.Discard, &log})
	a.wire = func(_ context.Context, ag agent) error {
		ag.log.Info("quiet")
		ag.log.Warn("loud")
		return nil
	}
	if code := a.main(t.Context(), []string{"run", "--config", configured(t, "log: {level: warn}\n")}); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if got := log.String(); strings.Contains(got, "quiet") || !strings.HasSuffix(got, "level=WARN msg=loud\n") || strings.Contains(got, "time=") {
		t.Errorf("got %q", got)
	}
}

// The collector is set for a small computer, but not against the operator.
func TestSparing(t *testing.T) {
	for gogc, want := range map[string]int{"": garbage, "200": 200} {
		t.Setenv("GOGC", gogc)
		before := debug.SetGCPercent(200)
		sparing()
		if got := debug.SetGCPercent(before); got != want {
			t.Errorf("GOGC=%q: %d %%, want %d %%", gogc, got, want)
		}
	}
}

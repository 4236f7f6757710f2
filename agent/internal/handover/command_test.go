package handover_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/robot-platform/robot-ota/agent/internal/handover"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
)

// standIn is a program that owns a pty as the micro-ROS agent owns the UART,
// with commands that stop and start it, and a line to borrow it by.
type standIn struct {
	dir, port string
	cfg       handover.Config
}

func newStandIn(t *testing.T) standIn {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	s := standIn{dir: t.TempDir(), port: slave.Name()}
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	pid := filepath.Join(s.dir, "pid")
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	s.cfg = handover.Config{
		Start:  sh(fmt.Sprintf("setsid sleep 300 <>%s >/dev/null 2>&1 & echo $! >%s", s.port, pid)),
		Stop:   sh("kill $(cat " + pid + ")"),
		Marker: filepath.Join(s.dir, "handover.json"),
		Wait:   10 * time.Second,
	}
	t.Cleanup(func() {
		if p := s.pid(); p > 1 {
			_ = syscall.Kill(p, syscall.SIGKILL)
		}
	})
	return s
}

func (s standIn) pid() int {
	b, _ := os.ReadFile(filepath.Join(s.dir, "pid"))
	var pid int
	_, _ = fmt.Sscan(string(b), &pid)
	return pid
}

func (s standIn) holder(ctx context.Context) (string, error) {
	return serialport.InUseBy(ctx, s.port, s.dir)
}

func (s standIn) line(t *testing.T) *handover.Line {
	t.Helper()
	l, err := handover.New(s.cfg, s.holder, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (s standIn) start(t *testing.T) {
	t.Helper()
	if out, err := exec.Command(s.cfg.Start[0], s.cfg.Start[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.await(t, true)
}

// await waits until the stand-in holds the port, or nobody does.
func (s standIn) await(t *testing.T, held bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		who, err := s.holder(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if (who != "") == held {
			if held && !strings.Contains(who, fmt.Sprintf("pid %d (", s.pid())) {
				t.Fatalf("%s holds the port", who)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the port is held by %q", who)
		}
	}
}

func TestCommandsWithARealProcess(t *testing.T) {
	s := newStandIn(t)
	s.start(t)
	l := s.line(t)
	first := s.pid()
	if err := l.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.await(t, false)
	p, err := serialport.Open(t.Context(), serialport.Config{Port: s.port, LockDir: s.dir})
	if err != nil {
		t.Fatalf("the port after Take: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Give(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.await(t, true)
	if s.pid() == first {
		t.Error("the stand-in is the same process as before")
	}
	if _, err := os.Stat(s.cfg.Marker); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the marker stays: %v", err)
	}
}

func TestCommandsLeaveAloneWhatDoesNotRun(t *testing.T) {
	s := newStandIn(t)
	l := s.line(t)
	if err := errors.Join(l.Take(t.Context()), l.Give(t.Context())); err != nil {
		t.Fatal(err)
	}
	if s.pid() != 0 {
		t.Error("Give started what did not run")
	}
	s.cfg.Status = []string{"/bin/sh", "-c", "exit 3"} // not running, but the port is held:
	s.start(t)
	if err := s.line(t).Take(t.Context()); !errors.Is(err, handover.ErrBusy) {
		t.Errorf("Take = %v", err)
	}
}

func TestCommandsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*handover.Config)
		text   []string
	}{
		"stop":    {func(c *handover.Config) { c.Stop = []string{"/bin/sh", "-c", "echo no rights >&2; exit 4"} }, []string{"stop the port's owner", "holding the port: pid", "exit status 4", "it said: no rights"}},
		"missing": {func(c *handover.Config) { c.Stop = []string{"/no/such/program"} }, []string{"no such file"}},
		"hangs": {func(c *handover.Config) {
			c.Stop, c.Timeout = []string{"/bin/sh", "-c", "sleep 60 & echo $! >child; wait"}, 500*time.Millisecond
		}, []string{"not done in time, killed"}},
		"does nothing": {func(c *handover.Config) { c.Stop, c.Wait = []string{"true"}, 300*time.Millisecond }, []string{"300ms after the stop pid", "sleep 300"}},
		"status dies":  {func(c *handover.Config) { c.Status = []string{"/bin/sh", "-c", "kill -9 $$"} }, []string{"ask the port's owner", "signal: killed"}},
		"status":       {func(c *handover.Config) { c.Status = []string{"/no/such/program"} }, []string{"ask the port's owner"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t)
			s.start(t)
			// A start that is no new process, for the old one never ended.
			s.cfg.Start = []string{"/bin/sh", "-c", "echo again >>" + filepath.Join(s.dir, "started")}
			c.change(&s.cfg)
			t.Chdir(s.dir)
			err := s.line(t).Take(t.Context())
			for _, part := range c.text {
				if !strings.Contains(fmt.Sprint(err), part) {
					t.Errorf("Take = %v, without %q", err, part)
				}
			}
			b, _ := os.ReadFile(filepath.Join(s.dir, "started"))
			if (string(b) == "again\n") == strings.HasPrefix(name, "status") {
				t.Errorf("started: %q", b)
			}
			if name == "hangs" {
				gone(t, filepath.Join(s.dir, "child"))
			}
		})
	}
}

// gone waits until the process whose number stands in file has ended.
func gone(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	var pid int
	if _, scan := fmt.Sscan(string(b), &pid); err != nil || scan != nil {
		t.Fatal(err, scan)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("what the command started runs on")
		}
	}
}

const (
	childPort = "HANDOVER_TEST_PORT"
	childDir  = "HANDOVER_TEST_DIR"
	childStop = "HANDOVER_TEST_STOP"
	childRun  = "HANDOVER_TEST_START"
)

// TestChildTakes is no test but the agent that gets killed: it takes the line
// and then waits for its end.
func TestChildTakes(t *testing.T) {
	if os.Getenv(childPort) == "" {
		return
	}
	s := standIn{dir: os.Getenv(childDir), port: os.Getenv(childPort)}
	s.cfg = handover.Config{
		Stop: []string{"/bin/sh", "-c", os.Getenv(childStop)}, Start: []string{"/bin/sh", "-c", os.Getenv(childRun)},
		Marker: filepath.Join(s.dir, "handover.json"),
	}
	fmt.Println("taking")
	if err := s.line(t).Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("taken")
	time.Sleep(time.Minute)
}

// The agent is killed (SIGKILL, a real process) while it has the line, and
// while it stops the owner. The next one starts the owner again.
func TestKilledInTheMiddle(t *testing.T) {
	for name, c := range map[string]struct {
		after string // the child's line after which it is killed
		stop  string // in front of the stop command
	}{
		"with the line":    {"taken", ""},
		"during the stop":  {"taking", "echo $$ >stop; sleep 60; "},
		"after a slow one": {"taken", "sleep 0.2; "},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t)
			s.start(t)
			child := exec.Command("/proc/self/exe", "-test.run=^TestChildTakes$")
			child.Env = append(os.Environ(), childPort+"="+s.port, childDir+"="+s.dir,
				childStop+"="+c.stop+s.cfg.Stop[2], childRun+"="+s.cfg.Start[2])
			child.Dir = s.dir
			child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != c.after; {
				continue
			}
			stop := 0
			for deadline := time.Now().Add(10 * time.Second); c.after == "taking" && stop == 0; time.Sleep(5 * time.Millisecond) {
				b, _ := os.ReadFile(filepath.Join(s.dir, "stop"))
				if _, _ = fmt.Sscan(string(b), &stop); time.Now().After(deadline) {
					t.Fatal("the stop command does not start")
				}
			}
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = child.Wait()
			if stop != 0 { // the stop command outlives the agent; do at once what it would
				_ = syscall.Kill(-stop, syscall.SIGKILL)
				_ = syscall.Kill(s.pid(), syscall.SIGTERM)
			}
			s.await(t, false)
			if err := s.line(t).Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.await(t, true)
		})
	}
}

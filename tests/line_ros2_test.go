//go:build ros2

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// owner is a process that owns the serial line in normal life, as the
// micro-ROS agent does: it keeps the port open until it is stopped.
type owner struct {
	p    *plant
	t    *testing.T
	pids string // file of all that were started, the newest last
}

func (o *owner) command(tty string) string {
	return fmt.Sprintf("setsid sleep 1000 <>%s >/dev/null 2>&1 & echo $! >>%s", tty, o.pids)
}

// config is the section microros, with commands that stop and start the owner.
func (o *owner) config(tty string) string {
	stop := "kill $(tail -n 1 " + o.pids + ")"
	return fmt.Sprintf("microros: {unit: \"\", start: [/bin/sh, -c, %q], stop: [/bin/sh, -c, %q]}", o.command(tty), stop)
}

// newest is the process that was started last; 0 before there is one.
func (o *owner) newest() int {
	b, _ := os.ReadFile(o.pids)
	pid, _ := strconv.Atoi(lastLine(string(b)))
	return pid
}

// holders are the processes that have the port open, the simulator's end of
// it aside.
func (o *owner) holders() (pids []int) {
	o.t.Helper()
	tty, err := filepath.EvalSymlinks(o.p.path("tty"))
	if err != nil {
		return nil // the cable is pulled
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, f := range files {
		pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
		if to, err := os.Readlink(f); err == nil && to == tty && pid != o.p.sim.cmd.Process.Pid && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// back waits until one owner, started later than before, has the port alone.
func (o *owner) back(before int) {
	o.t.Helper()
	o.p.until("the owner of the line being back", 30*time.Second, func() bool {
		now := o.newest()
		return now != before && slices.Equal(o.holders(), []int{now})
	})
}

// borrowed waits until the agent is at a state of the flash, and says who has
// the port then.
func (o *owner) borrowed(state string) {
	o.t.Helper()
	o.p.until(state, 30*time.Second, func() bool { s, err := o.p.status(); return err == nil && s.State == state })
	if got, agent := o.holders(), o.p.agent.cmd.Process.Pid; !slices.Equal(got, []int{agent}) {
		o.t.Errorf("while the chip is %s, %v have the port, want the agent alone, %d", state, got, agent)
	}
}

// The owner of the line is stopped for a flash and started again afterwards:
// after one whose cable was pulled, during the trial of one that is rolled back
// then, and after one in which the agent was killed.
func TestTheLineIsBorrowed(t *testing.T) {
	t.Parallel()
	o := &owner{t: t, pids: filepath.Join(t.TempDir(), "pids")}
	dir := t.TempDir()
	tty := filepath.Join(dir, "tty")
	p := newPlant(t, options{paced: true, dir: dir, config: o.config(tty)})
	o.p = p
	t.Cleanup(func() { _ = syscall.Kill(o.newest(), syscall.SIGKILL) })
	p.heard()
	if out, err := run(t, "/bin/sh", "-c", o.command(tty)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o.back(0)

	first, url := o.newest(), p.publish("0.2.2", "good")
	p.trigger(url)
	o.borrowed("writing")
	p.run("ota-sim", "cable", "--control", p.path("sim.sock"), "--unplug")
	p.until("the failure", 20*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "failed" })
	p.run("ota-sim", "cable", "--control", p.path("sim.sock"), "--plug")
	o.back(first)
	p.ends(30 * time.Second)
	p.runs("0.2.0")

	second := o.newest()
	p.trigger(p.publish("0.2.3", "no_confirm"))
	o.borrowed("writing")
	p.until("the trial", 40*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "validating" })
	o.back(second)
	third := o.newest()
	p.until("the roll-back", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "rolled_back" })
	o.back(third)
	p.runs("0.2.0")

	fourth := o.newest()
	p.trigger(url)
	o.borrowed("writing")
	p.agent.kill()
	if got := o.holders(); len(got) != 0 {
		t.Errorf("after the agent's death %v have the port", got)
	}
	p.startAgent()
	o.back(fourth)
	p.until("the update", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })
	o.back(fourth)
	p.runs("0.2.2")
}

// Package rostest helps tests that put nodes on a ROS 2 graph: each test gets
// a graph of its own, and rclpy clients to look at it from outside.
package rostest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Domains that are safe on Linux, whatever the range of ephemeral ports; 0 is
// everybody's.
const (
	firstDomain = 1
	lastDomain  = 100
)

// Domain gives the test, and the processes it starts, a ROS domain that no
// other test on this machine has until it ends. Nobody on the network hears
// it. The test must not be parallel: it is a matter of the environment.
func Domain(t testing.TB) int {
	t.Helper()
	n := take(t)
	for name, value := range variables(n) {
		t.Setenv(name, value)
	}
	return n
}

// Environment is this process's with such a domain in it, for the processes
// and clients of a test that runs beside others.
func Environment(t testing.TB) []string {
	t.Helper()
	env := os.Environ()
	for name, value := range variables(take(t)) {
		env = append(env, name+"="+value) // the last one counts
	}
	return env
}

func variables(domain int) map[string]string {
	return map[string]string{"ROS_DOMAIN_ID": strconv.Itoa(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
}

// take locks a domain until the test has ended.
func take(t testing.TB) int {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "robot-ota-ros-domains")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	span := lastDomain - firstDomain + 1
	for i := range span {
		n := firstDomain + (os.Getpid()+i)%span
		lock, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			_ = lock.Close()
			continue
		}
		t.Cleanup(func() { _ = lock.Close() })
		return n
	}
	t.Fatalf("all %d ROS domains are in use by tests on this machine: see %s", span, dir)
	return 0
}

// Client is a process with an rclpy node that does what it is told.
type Client struct {
	t       testing.TB
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
}

// Python is the interpreter that has rclpy, as set up by scripts/setup.
func Python(t testing.TB) string {
	t.Helper()
	python := os.Getenv("ROBOT_OTA_PYTHON")
	if python == "" {
		t.Fatal("ROBOT_OTA_PYTHON names no Python with rclpy: run scripts/setup ros and source .cache/ros.env, or use make test")
	}
	return python
}

// Script is the path of one of tests/ros.
func Script(t testing.TB, name string) string {
	t.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("where is the source?")
	}
	return filepath.Join(filepath.Dir(here), "..", "..", "tests", "ros", name)
}

// NewClient starts tests/ros/driver.py in the environment as it is now. It
// ends with the test.
func NewClient(t testing.TB) *Client {
	t.Helper()
	return NewClientIn(t, nil)
}

// NewClientIn starts it in an environment of its own; nil: as it is now.
func NewClientIn(t testing.TB, env []string) *Client {
	t.Helper()
	// The test's own context ends before its clean-up: the client would be
	// killed instead of ending.
	ctx, kill := context.WithCancel(context.WithoutCancel(t.Context()))
	c := &Client{t: t, command: exec.CommandContext(ctx, Python(t), Script(t, "driver.py"))}
	c.command.Env, c.command.Stderr = env, t.Output()
	var err error
	if c.in, err = c.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	c.out.Buffer(nil, 16<<20)
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer kill()
		_ = c.in.Close() // it ends by itself then
		defer time.AfterFunc(10*time.Second, kill).Stop()
		if err := c.command.Wait(); err != nil {
			t.Errorf("the rclpy client ended badly: %v", err)
		}
	})
	return c
}

// Ask sends a command and decodes its answer into out, which may be nil. See
// tests/ros/driver.py for the commands.
func (c *Client) Ask(command map[string]any, out any) {
	c.t.Helper()
	if err := c.TryAsk(command, out); err != nil {
		c.t.Fatal(err)
	}
}

// TryAsk is Ask for what may fail.
func (c *Client) TryAsk(command map[string]any, out any) error {
	c.Send(command)
	return c.Receive(out)
}

// Send sends a command whose answer is asked for later.
func (c *Client) Send(command map[string]any) {
	c.t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		c.t.Fatalf("the rclpy client is gone: %v", err)
	}
}

// Receive decodes the answer to the command sent before.
func (c *Client) Receive(out any) error {
	if !c.out.Scan() {
		return fmt.Errorf("the rclpy client is gone: %w", c.out.Err())
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(c.out.Bytes(), &failed); err != nil {
		return fmt.Errorf("the rclpy client said %q: %w", c.out.Text(), err)
	}
	if failed.Error != "" {
		return fmt.Errorf("rclpy client: %s", failed.Error)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(c.out.Bytes(), out)
}

// Call calls a service and decodes its response.
func (c *Client) Call(service, kind string, request, response any) {
	c.t.Helper()
	out := struct{ Response any }{response}
	c.Ask(map[string]any{"do": "call", "service": service, "type": kind, "request": request}, &out)
}

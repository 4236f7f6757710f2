package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxOutput bounds what is kept of a command's standard error, grace how long
// it is waited for after a kill.
const (
	maxOutput = 1024
	grace     = time.Second
)

// commands is an owner that the operator's commands stop and start.
type commands struct {
	cfg    Config
	holder Holder
}

func (c commands) String() string { return "the port's owner (by command)" }

// state asks the status command, or else whether anybody holds the port.
func (c commands) state(ctx context.Context) (running bool, state string, err error) {
	if len(c.cfg.Status) == 0 {
		who, err := c.holder(ctx)
		switch {
		case err != nil:
			return false, "", err
		case who == "":
			return false, "not holding the port", nil
		}
		return true, "holding the port: " + who, nil
	}
	err = run(ctx, "status", c.cfg.Status, false)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return true, "running", nil
	case errors.As(err, &exit) && exit.ExitCode() > 0 && ctx.Err() == nil:
		return false, fmt.Sprintf("not running: status exit code %d", exit.ExitCode()), nil
	}
	return false, "", err
}

func (c commands) stop(ctx context.Context) error { return run(ctx, "stop", c.cfg.Stop, false) }

func (c commands) start(ctx context.Context) error { return run(ctx, "start", c.cfg.Start, true) }

// run runs argv to its end, without a shell. What a stop says goes into the
// error. A start may leave a process behind that goes on writing, and one
// that writes into a pipe which nobody reads any more dies of it; so it keeps
// the agent's own standard error.
func run(ctx context.Context, name string, argv []string, leaves bool) error {
	var stderr tail
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = grace
	if leaves {
		cmd.Stderr = os.Stderr
	} else {
		cmd.Stderr = &stderr
	}
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) { // it succeeded, something it left holds on to the pipe
		err = nil
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("not done in time, killed: %w", ctx.Err())
	}
	said := ""
	if s := strings.TrimSpace(string(stderr)); s != "" {
		said = "; it said: " + strings.Trim(strconv.QuoteToGraphic(s), `"`)
	}
	return fmt.Errorf("%s command %q: %w%s", name, argv, err, said)
}

// tail keeps the last bytes written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if over := len(*t) - maxOutput; over > 0 {
		*t = append((*t)[:0], (*t)[over:]...)
	}
	return len(p), nil
}

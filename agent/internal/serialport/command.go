package serialport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// maxStderr bounds what is kept of a reset command's complaints.
const maxStderr = 1024

// commandGrace is how long output of a killed command is waited for.
const commandGrace = time.Second

// command resets by a program of the operator's.
type command struct {
	cfg  Command
	port string
	log  *slog.Logger
}

func (c command) Bootloader(ctx context.Context, attempt int) error {
	return c.run(ctx, "bootloader", c.cfg.Bootloader, attempt)
}

func (c command) Run(ctx context.Context) error { return c.run(ctx, "run", c.cfg.Run, 0) }

// run runs argv to its end, without a shell and with a bounded time. It and
// what it started are killed when the time is up: it has a process group of
// its own.
func (c command) run(ctx context.Context, name string, argv []string, attempt int) error {
	limit := c.cfg.Timeout
	if limit == 0 {
		limit = DefaultCommandTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var stderr tail
	cmd := exec.CommandContext(bounded, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "OTA_PORT="+c.port, fmt.Sprintf("OTA_ATTEMPT=%d", attempt))
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = commandGrace
	c.log.Debug("reset", "command", argv, "attempt", attempt)
	err := cmd.Run()
	if err == nil {
		return nil
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case bounded.Err() != nil:
		err = fmt.Errorf("still not done after %v: %w", limit, bounded.Err())
	case errors.Is(err, exec.ErrNotFound):
		err = fmt.Errorf("%w: give its full path", err)
	}
	said := ""
	if s := clean(string(stderr), maxShown*2); s != "" {
		said = "; it said: " + s
	}
	return fmt.Errorf("reset command for %s, %q: %w%s", name, argv, err, said)
}

// tail keeps the last bytes written to it: the reason stands at the end.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if over := len(*t) - maxStderr; over > 0 {
		*t = append((*t)[:0], (*t)[over:]...)
	}
	return len(p), nil
}

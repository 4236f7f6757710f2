package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrInUse says that another agent answers on the socket.
var ErrInUse = errors.New("another agent answers on this socket")

// dialTime bounds the question whether anybody answers.
const dialTime = 2 * time.Second

// Listen makes the socket, and the folder it stands in, with mode 0660. A
// socket that a dead agent left behind is replaced; one that somebody answers
// on, or a file that is no socket, is left alone.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the socket's own mode decides
		return nil, fmt.Errorf("make the control socket's folder: %w", err)
	}
	if err := clearStale(ctx, path); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil { //nolint:gosec // the group may command the agent
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return l, nil
}

func clearStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("control socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("control socket: %s is there and no socket: remove it or set control_socket to another path", path)
	}
	d := net.Dialer{Timeout: dialTime}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		c.Close() //nolint:errcheck,gosec // it served its purpose
		return fmt.Errorf("%w: %s: stop that one first (systemctl stop robot-ota), or set control_socket to another path", ErrInUse, path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("control socket: %s is there, and whether anybody answers on it is unknown: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the control socket of an agent that is gone: %w", err)
	}
	return nil
}

package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

var (
	// ErrUnreachable says that no agent answers.
	ErrUnreachable = errors.New("no agent answers")
	// ErrDenied says that this user may not talk to the agent.
	ErrDenied = errors.New("not allowed to talk to the agent")
	// ErrLost says that the agent went away while it was listened to.
	ErrLost = errors.New("the agent has gone away")
	// ErrAnswer says that what answered makes no sense.
	ErrAnswer = errors.New("the agent's answer makes no sense")
)

// Bounds of what a client waits for and reads.
const (
	askTime   = 15 * time.Second
	planTime  = 90 * time.Second // it asks the update server
	maxAnswer = 64 << 20         // bytes; a long history
	maxLine   = 1 << 20          // bytes; one status
)

// Client talks to the agent behind a socket. Close it after use.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client; it connects when something is asked.
func NewClient(socket string) *Client {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: dialTime}
			return d.DialContext(ctx, "unix", socket)
		},
		DisableCompression: true,
	}
	return &Client{socket: socket, http: &http.Client{Transport: t}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status is the state of things now.
func (c *Client) Status(ctx context.Context) (update.Status, error) {
	return ask[update.Status](ctx, c, http.MethodGet, "/v1/status", nil, askTime)
}

// Trigger asks for an update and returns the job's id at once.
func (c *Client) Trigger(ctx context.Context, t Trigger) (string, error) {
	s, err := ask[Started](ctx, c, http.MethodPost, "/v1/trigger", t, askTime)
	return s.JobID, err
}

// Check asks for what the update server offers.
func (c *Client) Check(ctx context.Context) (string, error) {
	s, err := ask[Started](ctx, c, http.MethodPost, "/v1/check", struct{}{}, askTime)
	return s.JobID, err
}

// Plan asks what Trigger would do.
func (c *Client) Plan(ctx context.Context, t Trigger) (update.Plan, error) {
	return ask[update.Plan](ctx, c, http.MethodPost, "/v1/plan", t, planTime)
}

// Cancel gives up the job that goes on.
func (c *Client) Cancel(ctx context.Context) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "/v1/cancel", struct{}{}, askTime)
	return err
}

// Rollback puts the firmware before the last update back.
func (c *Client) Rollback(ctx context.Context, r Rollback) (string, error) {
	s, err := ask[Started](ctx, c, http.MethodPost, "/v1/rollback", r, askTime)
	return s.JobID, err
}

// Inhibit holds updates back for a while, or no longer.
func (c *Client) Inhibit(ctx context.Context, i Inhibit) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "/v1/inhibit", i, askTime)
	return err
}

// History is the last n jobs, newest last; all with n = 0.
func (c *Client) History(ctx context.Context, n int) ([]update.Record, error) {
	return ask[[]update.Record](ctx, c, http.MethodGet, "/v1/history?n="+strconv.Itoa(n), nil, askTime)
}

// Watch calls f with the status now and at every change, until f returns an
// error, which it returns, or ctx ends. ErrLost: the agent went away.
func (c *Client) Watch(ctx context.Context, f func(update.Status) error) error {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var s update.Status
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		if err := f(s); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%w: %w", ErrAnswer, lines.Err())
	}
	return ErrLost
}

func ask[T any](ctx context.Context, c *Client, method, path string, body any, within time.Duration) (T, error) {
	var out T
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("the agent on %s did not answer within %s", c.socket, within))
	defer cancel()
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return out, c.explain(ctx, err)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return out, nil
}

// send asks and returns an answer whose body is the caller's to close; a
// refusal comes back as *Problem.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if b, ok := body.(raw); ok {
		content = bytes.NewReader(b)
	} else if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, content)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxLine))
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	var p Problem
	if err := json.Unmarshal(b, &p); err != nil || p.Code == "" {
		return nil, fmt.Errorf("%w: %s on %s", ErrAnswer, resp.Status, c.socket)
	}
	return nil, &p
}

// explain says what it means that no answer came.
func (c *Client) explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w on %s: is the service up? See: systemctl status robot-ota", ErrUnreachable, c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w on %s: %s", ErrDenied, c.socket, whoMay(c.socket))
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w on %s: %w", ErrUnreachable, c.socket, err)
}

// whoMay names who may use the socket.
func whoMay(socket string) string {
	const root = "run this with sudo"
	info, err := os.Stat(socket)
	if err != nil {
		return root
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Gid == 0 {
		return root // nobody should join root's group
	}
	gid := strconv.FormatUint(uint64(st.Gid), 10)
	if g, err := user.LookupGroupId(gid); err == nil {
		gid = g.Name
	}
	return fmt.Sprintf("%s, or join the group %s (usermod -aG %s $USER, then log in again)", root, gid, gid)
}

package robot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Client talks to Control over its unix socket.
type Client struct {
	path string
	http http.Client
}

// NewClient talks to the robot whose control socket is at path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}}
}

// State asks for the robot's state.
func (c *Client) State(ctx context.Context) (State, error) {
	var s State
	err := c.do(ctx, http.MethodGet, "/state", nil, func(r io.Reader) error {
		return json.NewDecoder(io.LimitReader(r, 4<<20)).Decode(&s)
	})
	return s, err
}

// Flash asks for the contents of the flash.
func (c *Client) Flash(ctx context.Context) ([]byte, error) {
	var p []byte
	err := c.do(ctx, http.MethodGet, "/flash", nil, func(r io.Reader) (err error) {
		p, err = io.ReadAll(io.LimitReader(r, 16<<20))
		return err
	})
	return p, err
}

// Reset presses the chip's buttons.
func (c *Client) Reset(ctx context.Context, q Reset) error { return c.post(ctx, "/reset", q) }

// Post sends any other request of Control, such as Power to "/power".
func (c *Client) Post(ctx context.Context, path string, q any) error { return c.post(ctx, path, q) }

func (c *Client) post(ctx context.Context, path string, q any) error {
	b, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	return c.do(ctx, http.MethodPost, path, bytes.NewReader(b), func(io.Reader) error { return nil })
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader, take func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://ota-sim"+path, body)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("no simulator answers at %s: %w; start one with `ota-sim robot --control %s`", c.path, err, c.path)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return fmt.Errorf("simulator refuses %s: %s", path, strings.TrimSpace(string(text)))
	}
	return take(res.Body)
}

package hawkbit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
)

// HTTP sends requests to hosts that may be asked, and says which may. It
// brings the robot's credentials to the server.
type HTTP interface {
	Do(req *http.Request) (*http.Response, error)
	Allow(u *url.URL) error
}

// timeout for one question and its answer.
const timeout = time.Minute

// client asks the server. Its errors are those of httpguard and *AnswerError.
type client struct {
	site
	http HTTP
}

// answer is a document, or that it has not changed.
type answer struct {
	body      []byte
	etag      string
	unchanged bool
}

// get asks for a document of at most limit bytes. etag is that of the one
// which is known; "": none is.
func (c *client) get(ctx context.Context, address, etag string, limit int64) (answer, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.do(ctx, http.MethodGet, address, nil, etag)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }() // what matters of it was read
	switch {
	case resp.StatusCode == http.StatusNotModified && etag != "":
		return answer{etag: etag, unchanged: true}, nil
	case resp.StatusCode != http.StatusOK:
		return answer{}, asking(httpguard.Status(resp, time.Now()))
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return answer{}, badAnswer("it is of type %.80q instead of JSON; is this the address of a hawkBit server?", resp.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case ctx.Err() != nil:
		return answer{}, asking(context.Cause(ctx))
	case err != nil:
		return answer{}, asking(&httpguard.UnreachableError{Host: c.base.Host, Cause: err})
	case int64(len(body)) > limit:
		return answer{}, badAnswer("it is longer than %d bytes", limit)
	}
	return answer{body: body, etag: tag(resp.Header.Get("ETag"))}, nil
}

// send brings the server a document.
func (c *client) send(ctx context.Context, method, address string, document any) error {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	body, err := json.Marshal(document)
	if err != nil {
		return asking(err)
	}
	resp, err := c.do(ctx, method, address, body, "")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // its status says all
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return asking(httpguard.Status(resp, time.Now()))
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxRoot) // so that the connection can be used again
	return nil
}

func (c *client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, &httpguard.UnreachableError{
		Host: c.base.Host, Cause: fmt.Errorf("no answer within %v", timeout),
	})
}

func (c *client) do(ctx context.Context, method, address string, body []byte, etag string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, asking(err)
	}
	req.Header.Set("Accept", "application/hal+json, application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, asking(err)
	}
	if resp.Request != nil && resp.Request.Method != method { // a page behind a redirect is no receipt
		_ = resp.Body.Close()
		return nil, badAnswer("it redirected a %s to %.80q; is this the address of a hawkBit server?", method, resp.Request.URL.Path)
	}
	return resp, nil
}

func asking(err error) error { return fmt.Errorf("ask the hawkBit server: %w", err) }

// tag is an ETag that may be sent back.
func tag(s string) string {
	if len(s) > maxQuery || strings.ContainsFunc(s, odd) {
		return ""
	}
	return s
}

// status is the HTTP status that an error tells of; 0: none.
func status(err error) int {
	var s *httpguard.StatusError
	if errors.As(err, &s) {
		return s.Status
	}
	return 0
}

// settled says that it does not help to send a feedback again: the action is
// closed (410), not this robot's (404), or the server does not like what it
// says. That the robot is not let in may change.
func settled(err error) bool {
	switch s := status(err); s {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	default:
		return s >= 400 && s < 500
	}
}

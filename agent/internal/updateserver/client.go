package updateserver

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// HTTP sends requests to hosts that may be asked, and says which may.
type HTTP interface {
	Do(req *http.Request) (*http.Response, error)
	Allow(u *url.URL) error
}

// Config says who asks whom.
type Config struct {
	URL     *url.URL // base address of the update server
	RobotID string
	SKU     string
	// Companion is the version of this computer's software: the server offers
	// what fits it. Zero: it is not told.
	Companion compat.Version
	MaxSize   int64 // largest signed file that is taken, in bytes; 0: what an image can have
	// Keyring hears of the server's keyring document; nil: nobody does.
	Keyring Keyring
	// Kept lists the SHA-256 of signed files from which the server may offer
	// patches; nil: it offers none.
	Kept func() []string
	// BadPatch hears of an offered patch that is not taken; the offer is, without
	// it. nil: nobody does.
	BadPatch func(error)
}

// maxKept is how many of them the server is told.
const maxKept = 4

const (
	timeout = time.Minute // for one question and its answer
	maxBody = 64 << 10    // bytes
)

// Client asks the update server.
type Client struct {
	cfg  Config
	http HTTP
}

// New makes a client.
func New(cfg Config, h HTTP) *Client {
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = image.HeaderSize + image.MaxImageSize
	}
	return &Client{cfg: cfg, http: h}
}

// Check asks for something newer than running; false: there is nothing. It
// asks once. A newer keyring document, which the answer announces, is fetched
// and taken first. Its errors are those of httpguard (a *httpguard.StatusError may
// say in RetryAfter how long to wait) and *AnswerError.
func (c *Client) Check(ctx context.Context, running compat.Version) (update.Offer, bool, error) {
	o, h, err := c.ask(ctx, running)
	if h != nil {
		c.followKeyring(ctx, h)
	}
	switch {
	case err != nil:
		return update.Offer{}, false, err
	case o.Version.IsZero():
		return update.Offer{}, false, nil
	case o.Version.Compare(running) < 0:
		return update.Offer{}, false, badAnswer("it offers %v, which is older than the running %v (roll-back attack, or a server that forgot releases)", o.Version, running)
	case o.Version == running:
		return update.Offer{}, false, nil
	}
	return o, true, nil
}

// ask gives the server's offer, zero where it has none, and the header of its
// answer where that was one to the question.
func (c *Client) ask(ctx context.Context, running compat.Version) (update.Offer, http.Header, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	req, err := c.request(ctx, running)
	if err != nil {
		return update.Offer{}, nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return update.Offer{}, nil, fmt.Errorf("ask the update server: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // what matters of it was read
	switch resp.StatusCode {
	case http.StatusNoContent:
		return update.Offer{}, resp.Header, nil
	case http.StatusOK:
		o, err := c.read(ctx, resp)
		return o, resp.Header, err
	}
	return update.Offer{}, nil, fmt.Errorf("ask the update server: %w", httpguard.Status(resp, time.Now()))
}

// bounded gives one question and its answer their time.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, &httpguard.UnreachableError{
		Host: c.cfg.URL.Host, Cause: fmt.Errorf("no answer within %v", timeout),
	})
}

func (c *Client) request(ctx context.Context, running compat.Version) (*http.Request, error) {
	u := c.cfg.URL.JoinPath("v1", "check")
	q := url.Values{"sku": {c.cfg.SKU}, "version": {running.String()}, "robot_id": {c.cfg.RobotID}}
	if !c.cfg.Companion.IsZero() {
		q.Set("companion", c.cfg.Companion.String())
	}
	if c.cfg.Kept != nil {
		kept := c.cfg.Kept()
		q["from"] = kept[:min(len(kept), maxKept)]
	}
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask the update server: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("Cache-Control", "no-cache")
	return req, nil
}

// read takes the offer out of a 200.
func (c *Client) read(ctx context.Context, resp *http.Response) (update.Offer, error) {
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return update.Offer{}, badAnswer("it is of type %.80q instead of application/json; is this the update server's address?", resp.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case ctx.Err() != nil:
		return update.Offer{}, fmt.Errorf("ask the update server: %w", context.Cause(ctx))
	case err != nil:
		return update.Offer{}, fmt.Errorf("ask the update server: %w", &httpguard.UnreachableError{Host: c.cfg.URL.Host, Cause: err})
	case len(body) > maxBody:
		return update.Offer{}, badAnswer("it is longer than %d bytes", maxBody)
	}
	o, err := parseOffer(body, c.cfg.MaxSize)
	if err != nil {
		return update.Offer{}, err
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return update.Offer{}, badAnswer("its url cannot be read")
	}
	if err := c.http.Allow(u); err != nil {
		return update.Offer{}, badAnswer("%v", err)
	}
	if o.Patch, err = c.patch(body, o); err != nil && c.cfg.BadPatch != nil {
		c.cfg.BadPatch(err)
	}
	return o, nil
}

// patch gives the patch that an answer offers along with o; zero: none.
func (c *Client) patch(body []byte, o update.Offer) (update.Patch, error) {
	if c.cfg.Kept == nil {
		return update.Patch{}, nil // nobody asked for one
	}
	p, err := parsePatch(body, o)
	if err != nil || p == (update.Patch{}) {
		return update.Patch{}, err
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return update.Patch{}, badAnswer("its patch's url cannot be read")
	}
	if err := c.http.Allow(u); err != nil {
		return update.Patch{}, badAnswer("its patch: %v", err)
	}
	return p, nil
}

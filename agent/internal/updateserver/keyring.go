package updateserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// headerKeyring carries, in answers to checks, the version of the keyring
// document that the server has.
const headerKeyring = "Robot-OTA-Keyring"

// maxDocuments is how many documents are fetched at once by a robot that
// catches up; the rest comes with its next check.
const maxDocuments = 32

// Keyring is whose signatures count on this robot; the server may bring
// documents that change it. It decides by their own signatures.
type Keyring interface {
	// Wants says whether a document of that version is to be asked for, and
	// after which version the server's documents are news; version 0: it has
	// none.
	Wants(version uint64) (after uint64, wanted bool)
	// Take takes documents, oldest first, or refuses them and tells so.
	Take(documents [][]byte, from string)
	// Missed is told that one is wanted, and could not be had.
	Missed(from string, err error)
}

// RefreshKeyring asks for the server's keyring alone, for a robot that may not
// ask for firmware now. A server without one is no error.
func (c *Client) RefreshKeyring(ctx context.Context) error {
	if c.cfg.Keyring == nil {
		return nil
	}
	ask, cancel := c.bounded(ctx)
	defer cancel()
	resp, err := c.askKeyring(ask, nil)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // the header says enough
	switch resp.StatusCode {
	case http.StatusOK:
		c.followKeyring(ctx, resp.Header)
	case http.StatusNotFound:
		c.cfg.Keyring.Wants(0)
	default:
		return fmt.Errorf("ask for the keyring: %w", httpguard.Status(resp, time.Now()))
	}
	return nil
}

// followKeyring fetches the server's keyring documents where its answer names a
// newer one. It stops no check: who it concerns tells.
func (c *Client) followKeyring(ctx context.Context, h http.Header) {
	k := c.cfg.Keyring
	if k == nil {
		return
	}
	from := c.keyringURL(nil).String()
	version, err := keyringVersion(h)
	if err != nil {
		k.Missed(from, err)
		return
	}
	after, wanted := k.Wants(version)
	if !wanted {
		return
	}
	ctx, cancel := c.bounded(ctx) // apart from the check's: a slow answer is no reason to go without the offer
	defer cancel()
	documents, err := c.keyrings(ctx, after, version)
	if len(documents) > 0 {
		k.Take(documents, from)
	}
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		k.Missed(from, fmt.Errorf("version %d could not be fetched: %w", version, err))
	}
}

// keyrings fetches the documents after a version, up to the newest: each is
// asked for by the version of the one before. A server that knows only its
// newest gives that.
func (c *Client) keyrings(ctx context.Context, after, newest uint64) ([][]byte, error) {
	var out [][]byte
	for len(out) < maxDocuments && after < newest {
		resp, err := c.askKeyring(ctx, url.Values{"after": {strconv.FormatUint(after, 10)}})
		if err != nil {
			return out, err
		}
		b, err := c.readKeyring(ctx, resp)
		_ = resp.Body.Close() // what matters of it was read
		if err != nil {
			return out, err
		}
		out = append(out, b)
		d, err := keyring.Parse(b)
		if err != nil || d.Version() <= after {
			return out, nil // for who judges it
		}
		after = d.Version()
	}
	return out, nil
}

// keyringVersion is 0 where the server does not speak of a keyring.
func keyringVersion(h http.Header) (uint64, error) {
	said := h.Get(headerKeyring)
	if said == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(said, 10, 64)
	if err != nil || v > keyring.MaxVersion || strconv.FormatUint(v, 10) != said {
		return 0, badAnswer("its %s %.40q is no version", headerKeyring, said)
	}
	return v, nil
}

func (c *Client) keyringURL(query url.Values) *url.URL {
	u := c.cfg.URL.JoinPath("v1", "keyring")
	u.RawQuery = query.Encode()
	return u
}

func (c *Client) askKeyring(ctx context.Context, query url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.keyringURL(query).String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask for the keyring: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("Cache-Control", "no-cache")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the keyring: %w", err)
	}
	return resp, nil
}

// readKeyring reads one document.
func (c *Client) readKeyring(ctx context.Context, resp *http.Response) ([]byte, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for the keyring: %w", httpguard.Status(resp, time.Now()))
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, badAnswer("the keyring is of type %.80q instead of application/json", resp.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, keyring.MaxDocument+1))
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("ask for the keyring: %w", context.Cause(ctx))
	case err != nil:
		return nil, fmt.Errorf("ask for the keyring: %w", &httpguard.UnreachableError{Host: c.cfg.URL.Host, Cause: err})
	case len(body) > keyring.MaxDocument:
		return nil, badAnswer("the keyring is longer than %d bytes", keyring.MaxDocument)
	}
	return body, nil
}

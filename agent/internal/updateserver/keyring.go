package updateserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// headerKeyring carries, in answers to checks, the version of the keyring
// document that the server has.
const headerKeyring = "Robot-OTA-Keyring"

// Keyring is whose signatures count on this robot; the server may bring a
// document that changes it. It decides by the document's own signatures.
type Keyring interface {
	// Wants says whether a document of that version is to be asked for; 0: the
	// server has none.
	Wants(version uint64) bool
	// Take takes a document, or refuses it and tells so.
	Take(document []byte, from string)
	// Missed is told that one is wanted, and could not be had.
	Missed(from string, err error)
}

// RefreshKeyring asks for the server's keyring document alone, for a robot that
// may not ask for firmware now. A server without one is no error.
func (c *Client) RefreshKeyring(ctx context.Context) error {
	if c.cfg.Keyring == nil {
		return nil
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	from := c.cfg.URL.JoinPath("v1", "keyring").String()
	resp, err := c.get(ctx, from)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // what matters of it was read
	if resp.StatusCode == http.StatusNotFound {
		c.cfg.Keyring.Wants(0)
		return nil
	}
	version, err := keyringVersion(resp.Header)
	if err == nil && version > 0 && !c.cfg.Keyring.Wants(version) {
		return nil
	}
	return c.take(ctx, resp, from)
}

// followKeyring fetches the server's keyring document where its answer to a
// check names a newer one. It stops no check: who it concerns tells.
func (c *Client) followKeyring(ctx context.Context, h http.Header) {
	k := c.cfg.Keyring
	if k == nil {
		return
	}
	from := c.cfg.URL.JoinPath("v1", "keyring").String()
	version, err := keyringVersion(h)
	if err != nil {
		k.Missed(from, err)
		return
	}
	if !k.Wants(version) {
		return
	}
	ctx, cancel := c.bounded(ctx) // apart from the check's: a slow answer is no reason to go without the offer
	defer cancel()
	resp, err := c.get(ctx, from)
	if err == nil {
		err = c.take(ctx, resp, from)
		_ = resp.Body.Close() // what matters of it was read
	}
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		k.Missed(from, fmt.Errorf("version %d could not be fetched: %w", version, err))
	}
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

func (c *Client) get(ctx context.Context, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
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

// take reads a document and hands it on.
func (c *Client) take(ctx context.Context, resp *http.Response, from string) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask for the keyring: %w", httpguard.Status(resp, time.Now()))
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return badAnswer("the keyring is of type %.80q instead of application/json", resp.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, keyring.MaxDocument+1))
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("ask for the keyring: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("ask for the keyring: %w", &httpguard.UnreachableError{Host: c.cfg.URL.Host, Cause: err})
	case len(body) > keyring.MaxDocument:
		return badAnswer("the keyring is longer than %d bytes", keyring.MaxDocument)
	}
	c.cfg.Keyring.Take(body, from)
	return nil
}

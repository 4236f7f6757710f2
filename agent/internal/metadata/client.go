package metadata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/twin"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// HTTP sends requests to hosts that may be asked.
type HTTP interface {
	Do(req *http.Request) (*http.Response, error)
}

// Config says whom to ask, and where to begin.
type Config struct {
	Dir  string    // the state directory
	Disk disk.Disk // on which it lies
	// Root is the operator's root document. RootErr is why it could not be read:
	// then nothing is taken, and that is why.
	Root    []byte
	RootErr error
	URL     *url.URL // under which the documents lie: https://host/v1/tuf
	SKU     string
	// AnyLocal takes local files without a list that names them.
	AnyLocal bool
	Now      func() time.Time
}

// timeout is for one document.
const timeout = time.Minute

// Client knows which files the fleet's owner stands for. Its methods may be
// called from any goroutine.
type Client struct {
	cfg  Config
	http HTTP
	file twin.File[accepted]
	log  *slog.Logger
	turn sync.Mutex // of who asks the server

	mu       sync.Mutex
	accepted accepted
	facts    map[tuf.Role]tuf.Fact // of what is accepted
	files    int                   // listed for this robot's SKU
	unusable *tuf.Refused          // until an operator has looked
	refused  *tuf.Refusal
}

// New reads what was accepted before. What is wrong with that, or with the
// operator's root, is no error of New: the agent has other work than to install.
// Then nothing is taken.
func New(cfg Config, h HTTP, log *slog.Logger) (*Client, error) {
	f := newFile(cfg.Disk, cfg.Dir)
	if err := f.Prepare(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, http: h, file: f, log: log}
	c.unusable = c.begin()
	c.adopt(c.accepted)
	if c.unusable != nil {
		log.Error("no release can be installed", "code", c.unusable.Reason, "err", c.unusable.Detail)
	}
	return c, nil
}

func unusable(code tuf.Code, format string, args ...any) *tuf.Refused {
	return &tuf.Refused{Reason: code, Detail: fmt.Sprintf(format, args...)}
}

// begin brings together what was accepted and the operator's root.
func (c *Client) begin() *tuf.Refused {
	a, mended, err := c.file.Load()
	if err != nil {
		paths := c.file.Paths()
		return unusable(tuf.Damaged, "what was accepted before cannot be read, so nobody knows behind what not to go back (%v): look at what is on the disk, then remove %s and %s and restart the agent", err, paths[0], paths[1])
	}
	if mended != nil {
		c.log.Warn("one of the two copies of the release metadata was not as it should be; the other counts", "err", mended)
	}
	c.accepted = a
	if c.cfg.RootErr != nil {
		return unusable(tuf.NoRoot, "metadata.root: %v: put your fleet's root document there (ota-sign tuf init makes it)", c.cfg.RootErr)
	}
	given, err := tuf.ParseRoot(c.cfg.Root)
	if err == nil {
		err = tuf.CheckNext(nil, c.cfg.Root)
	}
	if err != nil {
		return unusable(tuf.NoRoot, "metadata.root: %v", err)
	}
	if a.held.Root == nil {
		c.accepted.held.Root = c.cfg.Root
		return nil
	}
	have, err := tuf.ParseRoot(a.held.Root)
	switch {
	case err != nil:
		return unusable(tuf.Damaged, "the accepted root document cannot be used any more: %v", err)
	case given.Signed.Version > have.Signed.Version:
		c.log.Info("the operator's root document is newer than the accepted one, and takes its place", "version", given.Signed.Version, "before", have.Signed.Version)
		c.accepted.held.Root = c.cfg.Root
	case given.Signed.Version == have.Signed.Version && !tuf.SameRoot(c.cfg.Root, a.held.Root):
		paths := c.file.Paths()
		return unusable(tuf.OtherFleet, "metadata.root is another version %d than the one that this robot has accepted: if the robot has changed its fleet, remove %s and %s and restart the agent", have.Signed.Version, paths[0], paths[1])
	}
	return nil
}

// Renew asks the update server for what is newer, and says why the robot does
// not have the newest now: a *tuf.Refused, an error of httpguard, or of the disk.
func (c *Client) Renew(ctx context.Context) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	before, unusable := c.accepted, c.unusable
	c.mu.Unlock()
	if unusable != nil {
		return unusable
	}
	now := c.cfg.Now()
	_, held, err := tuf.Refresh(ctx, before.held, now, c.fetch)
	next := accepted{number: before.number + 1, renewed: before.renewed, held: held}
	if err == nil {
		next.renewed = now
	}
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("ask for the release metadata: %w", context.Cause(ctx))
	}
	if kept := c.keep(before, next, err == nil); kept != nil {
		return kept // what is not durable is not acted on
	}
	c.note(err, now)
	return err
}

// keepRenewed is how far the time of the last renewal may be behind on the disk.
const keepRenewed = time.Hour

// keep makes what was accepted durable, if it is news, and then goes by it.
func (c *Client) keep(before, next accepted, all bool) error {
	same := bytes.Equal(before.held.Root, next.held.Root) && bytes.Equal(before.held.Timestamp, next.held.Timestamp) &&
		bytes.Equal(before.held.Snapshot, next.held.Snapshot) && bytes.Equal(before.held.Targets, next.held.Targets)
	if same && (!all || next.renewed.Sub(before.renewed) < keepRenewed) {
		next.number = before.number
		c.adopt(next)
		return nil
	}
	spare, err := c.file.Save(next)
	if err != nil {
		return fmt.Errorf("keep the release metadata: %w", err)
	}
	if spare != nil {
		c.log.Warn("the second copy of the release metadata is not written; it is made at the next start", "err", spare)
	}
	c.adopt(next)
	return nil
}

// adopt goes by what is accepted from now on.
func (c *Client) adopt(a accepted) {
	facts, files := a.held.Facts(), 0
	if d, err := tuf.ParseTargets(a.held.Targets); err == nil {
		list, _ := tuf.Files(d) // it was parsed
		for _, f := range list {
			if f.SKU == c.cfg.SKU && f.Status == tuf.Listed {
				files++
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted, c.facts, c.files = a, facts, files
}

// note keeps why something was refused, and logs it once.
func (c *Client) note(err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.refused = nil
		return
	}
	r := &tuf.Refusal{At: now, Code: "metadata_not_renewed", Text: err.Error()}
	var refused *tuf.Refused
	var coded interface{ Code() string }
	if errors.As(err, &refused) {
		r.Code, r.Attack = string(refused.Reason), refused.Reason.Attack()
	} else if errors.As(err, &coded) && coded.Code() != "" {
		r.Code = coded.Code()
	}
	if c.refused == nil || c.refused.Code != r.Code {
		c.log.Warn("the release metadata is not renewed", "code", r.Code, "attack", r.Attack, "err", err)
	}
	c.refused = r
}

// fetch gets one document.
func (c *Client) fetch(ctx context.Context, name string, limit int64) ([]byte, error) {
	u := c.cfg.URL.JoinPath(name)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, &httpguard.UnreachableError{Host: u.Host, Cause: fmt.Errorf("no %s within %v", name, timeout)})
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	if name == tuf.RoleTimestamp.Name(0) {
		req.Header.Set("Cache-Control", "no-cache") // it says what is new
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	defer func() { _ = resp.Body.Close() }() // what matters of it was read
	if from := resp.Request; from != nil && from.URL.Host != u.Host {
		return nil, fmt.Errorf("ask for %s: %w", name, &httpguard.RefusedError{Host: from.URL.Host, Reason: "release metadata is asked for at " + u.Host + " alone, and that redirected elsewhere"})
	}
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("ask for %s: %w", name, httpguard.Status(resp, c.cfg.Now()))
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("ask for %s: %w", name, context.Cause(ctx))
	case err != nil:
		return nil, fmt.Errorf("ask for %s: %w", name, &httpguard.UnreachableError{Host: u.Host, Cause: err})
	case int64(len(b)) > limit:
		return nil, &tuf.Refused{Reason: tuf.TooLarge, Detail: fmt.Sprintf("%s is longer than the %d bytes that it may have", name, limit)}
	}
	return b, nil
}

// Vouch says why a file may not be installed; nil: the fleet's owner stands for
// it now, by what was accepted. It asks nobody, and may be called while a chip
// waits. What is not known of the file yet is zero.
func (c *Client) Vouch(f update.File) error {
	if f.Local && c.cfg.AnyLocal {
		return nil
	}
	s, err := c.state()
	if err != nil {
		return err
	}
	_, err = tuf.Find(s.Files, c.cfg.SKU, tuf.File{SHA256: f.SHA256, Size: f.Size, Version: f.Version})
	return err
}

// state is what counts now of what is held: all signatures are verified anew.
func (c *Client) state() (tuf.State, error) {
	c.mu.Lock()
	held, unusable := c.accepted.held, c.unusable
	c.mu.Unlock()
	if unusable != nil {
		return tuf.State{}, unusable
	}
	return tuf.Load(held, c.cfg.Now())
}

// Report is what the robot has, for people and machines.
func (c *Client) Report() tuf.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := tuf.Report{Required: true, Documents: maps.Clone(c.facts), Files: c.files, Renewed: c.accepted.renewed, Refused: c.refused}
	if c.unusable != nil {
		r.Unusable = c.unusable.Error()
	}
	if all := r.Documents; len(all) == len(tuf.Roles()) {
		r.Role, r.Expires = tuf.State{Root: all[tuf.RoleRoot], Timestamp: all[tuf.RoleTimestamp], Snapshot: all[tuf.RoleSnapshot], Targets: all[tuf.RoleTargets]}.Expires()
	}
	return r
}

// Metadata is the same in short.
func (c *Client) Metadata() update.Metadata {
	r := c.Report()
	m := update.Metadata{List: r.Documents[tuf.RoleTargets].Version, Timestamp: r.Documents[tuf.RoleTimestamp].Version, Expires: r.Expires, Warning: r.Unusable}
	if m.Warning == "" && r.Refused != nil {
		m.Warning = r.Refused.Text
	}
	return m
}

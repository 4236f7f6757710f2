package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// Offer is where an image is to be had, and what it is said to be. Of it only
// URL, SHA256, Size and Patch count here.
type Offer = update.Offer

// HTTP sends requests to hosts that may be asked, and to no others.
type HTTP interface {
	Do(req *http.Request) (*http.Response, error)
}

// Config bounds downloads and names the store.
type Config struct {
	Dir string // of the store; made with mode 0700
	// Keys tells whose signatures count. It is asked at each verification, so
	// that a revocation holds at once. nil: nobody's do.
	Keys func() image.Keyring
	// MaxSize of a signed file in bytes; 0 or more than an image can have:
	// what an image can have.
	MaxSize int64
	// Files are the folders from which file:// URLs are taken, absolute; none:
	// no file is.
	Files []string
	// Robot says which images of a folder fit: its Chip and SKU count.
	Robot image.Policy
	// MinSpeed in bytes per second. A connection that is slower for Patience
	// (0: 30 s) is made anew; with 0 only one on which nothing comes at all.
	MinSpeed int64
	Patience time.Duration
	// GiveUp is how long a download may go without a new byte; 0: 1 h.
	GiveUp time.Duration
	// OnRetry, where given, hears of a failure that is tried again after wait.
	// It must return at once.
	OnRetry func(err error, wait time.Duration)
	// Keep is how many verified images stay in the store; 0: 2.
	Keep int
	// Patches lets images be rebuilt from those in the store, see Fetch.
	Patches bool
	// Disk is where the store lies.
	Disk disk.Disk
}

// maxFile is the size of the largest signed file.
const maxFile = image.HeaderSize + image.MaxImageSize

func (c Config) withDefaults() Config {
	if c.MaxSize <= 0 || c.MaxSize > maxFile {
		c.MaxSize = maxFile
	}
	if c.Patience <= 0 {
		c.Patience = 30 * time.Second
	}
	if c.GiveUp <= 0 {
		c.GiveUp = time.Hour
	}
	if c.Keep <= 0 {
		c.Keep = 2
	}
	if c.Keys == nil {
		c.Keys = func() image.Keyring { return image.Keyring{} }
	}
	return c
}

// Client downloads and verifies. Its methods may be called from any goroutine;
// they take turns.
type Client struct {
	cfg   Config
	http  HTTP
	log   *slog.Logger
	store *store
	sleep func(context.Context, time.Duration) error // sleep, but for tests
	turn  sync.Mutex
	// received counts the bytes of the file that is fetched, those of it that an
	// earlier life has received included.
	received int64
}

// New prepares the store.
func New(cfg Config, h HTTP, log *slog.Logger) (*Client, error) {
	cfg = cfg.withDefaults()
	s, err := newStore(cfg.Disk, cfg.Dir, cfg.MaxSize, cfg.Keep)
	if err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, http: h, log: log, store: s, sleep: sleep}, nil
}

// Download fetches the offered file into the store, going on with what is
// there of it, and gives its SHA-256 in hex and its size in bytes. It is not
// verified yet. Failures of network and server are tried again, see budget;
// what comes back then is a *GaveUpError. progress is called after each read;
// done goes back to 0 where a download has to start over.
func (c *Client) Download(ctx context.Context, o Offer, progress func(done, total int64)) (sha string, size int64, err error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	return c.download(ctx, o, progress)
}

func (c *Client) download(ctx context.Context, o Offer, progress func(done, total int64)) (sha string, size int64, err error) {
	if err := c.check(o); err != nil {
		return "", 0, err
	}
	if o.SHA256 != "" {
		if data, _, err := c.store.read(o.SHA256); err == nil {
			c.log.Info("the image is in the store already", "sha256", o.SHA256)
			return o.SHA256, int64(len(data)), nil
		} else if !errors.Is(err, ErrNotStored) {
			return "", 0, err
		}
	}
	if err := c.store.sweep(key(o)); err != nil {
		return "", 0, err
	}
	p, err := c.store.openPartial(key(o), o)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if file, local := localPath(o); local {
		return c.takeLocal(ctx, o, file, p, progress)
	}
	if err := c.store.room(max(o.Size, p.m.Size) - p.n); err != nil {
		return "", 0, errors.Join(err, p.discard())
	}
	c.received += p.n
	if err := c.fetchAll(ctx, o, p, newBudget(c.cfg.GiveUp, p.n, time.Now()), progress); err != nil {
		return "", 0, c.abandon(p, err)
	}
	return p.digest(), p.n, p.finish()
}

// check refuses offers that no request is made for.
func (c *Client) check(o Offer) error {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Scheme == "":
		return refusef("url_refused", "the image's URL cannot be read: want https://host/path")
	case u.Scheme != "https" && u.Scheme != "file":
		return refusef("url_refused", "images are fetched over https:// only, not %.20q", u.Scheme+"://")
	case o.SHA256 != "" && !isSHA256(o.SHA256):
		return refusef("bad_offer", "the offered SHA-256 is not 64 lower-case hex digits")
	case o.Size < 0:
		return refusef("bad_offer", "the offered size is negative")
	case o.Size > c.cfg.MaxSize:
		return refusef("too_large", "the offered file has %d bytes, more than the %d that an image may have", o.Size, c.cfg.MaxSize)
	}
	return nil
}

// key names the part file: by content where it is known, so that another URL
// for it goes on with the same bytes.
func key(o Offer) string {
	if o.SHA256 != "" {
		return o.SHA256
	}
	sum := sha256.Sum256([]byte(o.URL))
	return "url-" + hex.EncodeToString(sum[:])
}

// fetchAll tries until the whole file is held and has the offered SHA-256.
func (c *Client) fetchAll(ctx context.Context, o Offer, p *partial, b *budget, progress func(done, total int64)) error {
	again := true
	for {
		err := c.attempt(ctx, o, p, progress)
		switch {
		case err == nil && p.complete():
			got := p.digest()
			if o.SHA256 == "" || got == o.SHA256 {
				c.log.Info("downloaded", "sha256", got, "bytes", p.n, "pieces", p.pieces)
				return nil
			}
			err = &HashError{Want: o.SHA256, Got: got}
			if p.pieces <= 1 || !again {
				return err
			}
			again = false
			c.log.Warn("the download does not fit together and starts over", "err", err)
			if err := p.restart(o, o.Size, ""); err != nil {
				return err
			}
			continue
		case err == nil: // the server gave a piece of what was asked for
			err = &InterruptedError{Done: p.n, Size: p.m.Size, Cause: errors.New("the server sent no more of it in one answer")}
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !transient(err):
			return err
		}
		if err := p.checkpoint(); err != nil {
			return c.store.full(err, p.m.Size-p.n)
		}
		wait, gave := b.next(p.n, err, time.Now())
		if gave != nil {
			return gave
		}
		if c.cfg.OnRetry != nil {
			c.cfg.OnRetry(err, wait)
		}
		c.log.Warn("download interrupted", "held", p.n, "size", p.m.Size, "wait", wait.Round(time.Millisecond), "err", err)
		if err := c.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// abandon keeps what is held for another time, unless it is the wrong file or
// in the way.
func (c *Client) abandon(p *partial, cause error) error {
	if errors.As(cause, new(*DiskFullError)) || errors.As(cause, new(*HashError)) || errors.As(cause, new(*RefusedError)) {
		return errors.Join(cause, p.discard())
	}
	if err := p.checkpoint(); err != nil {
		c.log.Warn("the partial download could not be kept", "err", err)
	}
	return cause
}

// Verify proves the file of that SHA-256 in the store: it reads it once, and
// the bytes it read are the ones that image.Verify looks at and that the
// result holds. A refused file is removed. An *image.Refused says why,
// ErrNotStored that there is no such file.
func (c *Client) Verify(ctx context.Context, sha string, p image.Policy) (image.Verified, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	if err := ctx.Err(); err != nil {
		return image.Verified{}, err
	}
	if !isSHA256(sha) {
		return image.Verified{}, fmt.Errorf("%w: %.80q is no SHA-256", ErrNotStored, sha)
	}
	data, name, err := c.store.read(sha)
	if err != nil {
		return image.Verified{}, err
	}
	v, err := image.Take(data, c.cfg.Keys(), p)
	if err != nil {
		c.log.Warn("image refused", "sha256", sha, "err", err)
		return image.Verified{}, errors.Join(err, c.store.remove(name))
	}
	if err := c.store.settle(sha, name, time.Now()); err != nil {
		return image.Verified{}, fmt.Errorf("keep the verified image: %w", err)
	}
	return v, nil
}

package fetch

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/delta"
)

// Fetch puts the offered file into the store, as Download does, by the offered
// patch where there is one and its base is in the store. Whatever is wrong with
// the patch, the whole file is downloaded instead: a patch decides about bytes
// and about nothing else.
func (c *Client) Fetch(ctx context.Context, o Offer, progress func(done, total int64)) (update.Fetched, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.received = 0
	got := update.Fetched{SHA256: o.SHA256, Size: o.Size}
	err := c.patched(ctx, o, progress)
	switch {
	case err == nil:
		got.Patched = true
	case ctx.Err() != nil:
		return update.Fetched{}, context.Cause(ctx)
	case errors.Is(err, errNoPatch):
	default:
		c.log.Warn("the whole image is downloaded, as the patch is of no use", "patch", o.Patch.SHA256, "err", err)
	}
	if !got.Patched {
		if got.SHA256, got.Size, err = c.download(ctx, o, progress); err != nil {
			return update.Fetched{}, err
		}
	}
	got.Downloaded = c.received
	return got, nil
}

// Kept are the SHA-256 of the verified files in the store, those from which the
// server can offer patches; the one used last comes first. Without Patches:
// none.
func (c *Client) Kept() []string {
	if !c.cfg.Patches {
		return nil
	}
	return c.store.kept() // without its turn: a download may take long
}

// errNoPatch says that there is none to be tried.
var errNoPatch = errors.New("no patch is offered")

// Bounds of tries for a patch: the whole file has an hour.
const (
	patchTries  = 4
	patchGiveUp = 2 * time.Minute
)

// patched rebuilds the offered file from one in the store and the offered
// patch.
func (c *Client) patched(ctx context.Context, o Offer, progress func(done, total int64)) error {
	p := o.Patch
	if !c.cfg.Patches || p.URL == "" || o.SHA256 == "" || c.store.has(o.SHA256) {
		return errNoPatch
	}
	if err := c.checkPatch(o); err != nil {
		return err
	}
	base, err := c.store.base(p.From)
	if err != nil {
		return fmt.Errorf("the image that it starts from: %w", err)
	}
	if left := c.store.missing(o); left <= p.Size {
		return fmt.Errorf("of the whole image only %d bytes are missing, and it has %d", left, p.Size)
	}
	if free, err := c.store.disk.Free(c.store.dir); err != nil || free < p.Size+o.Size+reserve {
		return errors.Join(err, fmt.Errorf("there is no room for it beside the image (%s free)", human(free)))
	}
	if err := c.store.sweep(key(o), p.SHA256); err != nil {
		return err
	}
	patch, err := c.fetchPatch(ctx, Offer{URL: p.URL, SHA256: p.SHA256, Size: p.Size}, progress)
	if err != nil {
		return err
	}
	if err := c.rebuild(ctx, o, base, patch); err != nil {
		return err
	}
	c.log.Info("image rebuilt from a patch", "sha256", o.SHA256, "from", p.From, "patch_bytes", p.Size, "bytes", o.Size)
	return nil
}

// checkPatch refuses patches that no request is made for.
func (c *Client) checkPatch(o Offer) error {
	p := o.Patch
	switch {
	case !isSHA256(p.SHA256) || !isSHA256(p.From):
		return refusef("bad_patch", "a SHA-256 of the offered patch is not 64 lower-case hex digits")
	case p.Size < delta.HeaderSize || p.Size >= o.Size:
		return refusef("bad_patch", "the offered patch has %d bytes, the image %d", p.Size, o.Size)
	}
	if _, local := localPath(o); local {
		return refusef("bad_patch", "the image is a file of this robot")
	}
	return errors.Join(c.check(o), c.check(Offer{URL: p.URL, SHA256: p.SHA256, Size: p.Size}))
}

// fetchPatch downloads a patch, going on with what is there of it.
func (c *Client) fetchPatch(ctx context.Context, o Offer, progress func(done, total int64)) (patch []byte, err error) {
	if _, local := localPath(o); local {
		return nil, refusef("url_refused", "patches are fetched over https:// only")
	}
	part, err := c.store.openPartial(o.SHA256, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, part.close()) }()
	c.received += part.n
	b := newBudget(min(c.cfg.GiveUp, patchGiveUp), part.n, time.Now())
	b.limit = patchTries
	if err := c.fetchAll(ctx, o, part, b, progress); err != nil {
		return nil, c.abandon(part, err)
	}
	patch, err = whole(part.f, o.Size)
	return patch, errors.Join(err, part.discard()) // it is wanted once
}

// rebuild makes the offered file aside, and gives it its name once it is known
// to be that file: nothing half-made is ever taken for it.
func (c *Client) rebuild(ctx context.Context, o Offer, base, patch []byte) (err error) {
	h, err := delta.ParseHeader(patch, int64(len(patch)))
	switch {
	case err != nil:
		return err
	case hex.EncodeToString(h.Result[:]) != o.SHA256 || int64(h.ResultSize) != o.Size:
		return refusef("bad_patch", "the patch makes another file than the offered one")
	}
	s := c.store
	aside := s.path(o.SHA256 + rebuildEnd)
	f, err := s.open(aside, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("rebuild the image: %w", s.full(err, o.Size))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), s.disk.Remove(aside))
		}
	}()
	out := bufio.NewWriterSize(f, 64<<10)
	if err := errors.Join(delta.Apply(ctx, out, base, patch), out.Flush()); err != nil {
		return s.full(err, o.Size)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("rebuild the image: %w", s.full(err, 0))
	}
	if err := s.disk.Rename(aside, s.path(o.SHA256+unverifiedEnd)); err != nil {
		return fmt.Errorf("rebuild the image: %w", err)
	}
	// Of the whole file something may be there as well; the next sweep would
	// take it away, if this fails.
	_ = (&partial{store: s, key: o.SHA256}).discard()
	return s.disk.SyncDir(s.dir)
}

// has says whether there is a file of that name, whatever is in it.
func (s *store) has(sum string) bool {
	return s.disk.Exists(s.path(sum+imageEnd)) || s.disk.Exists(s.path(sum+unverifiedEnd))
}

// kept lists the verified files, the one used last first.
func (s *store) kept() []string {
	var out []string
	for _, name := range s.images() {
		if sum := name[:len(name)-len(imageEnd)]; isSHA256(sum) {
			out = append([]string{sum}, out...)
		}
	}
	return out
}

// base gives a verified file to start from.
func (s *store) base(sum string) ([]byte, error) {
	data, err := s.readFile(sum+imageEnd, s.max)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotStored
	}
	if err == nil && digestOf(data) != sum {
		err = ErrNotStored // Download and Verify take it away
	}
	return data, err
}

// missing is how many bytes of the whole file would still have to come.
func (s *store) missing(o Offer) int64 {
	data, err := s.readFile(key(o)+metaEnd, maxMeta)
	if err != nil {
		return o.Size
	}
	m, err := parseMeta(data)
	if err != nil || !m.fits(o) {
		return o.Size
	}
	return o.Size - m.Held
}

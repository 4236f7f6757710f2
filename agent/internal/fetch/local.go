package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// Bounds of a folder that is searched for an image.
const (
	maxEntries = 1024 // files and folders in it
	maxImages  = 64   // of them signed images
)

// localPath is the path of an offer that names a file of this robot.
func localPath(o Offer) (string, bool) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "file" {
		return "", false
	}
	return u.Path, true
}

// takeLocal copies a local file, or the best image of a local folder, into the
// store; what comes out is as unverified as what a server sent.
func (c *Client) takeLocal(ctx context.Context, o Offer, file string, p *partial, progress func(done, total int64)) (string, int64, error) {
	err := c.copyIn(ctx, o, file, p, progress)
	if err != nil {
		return "", 0, errors.Join(err, p.discard())
	}
	return p.digest(), p.n, p.finish()
}

func (c *Client) copyIn(ctx context.Context, o Offer, file string, p *partial, progress func(done, total int64)) error {
	root, name, err := c.openFolder(file)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only read
	info, err := root.Lstat(name)
	if err != nil {
		return unreadable(file, err)
	}
	var data []byte
	if info.IsDir() {
		data, err = c.best(ctx, root, name, o)
	} else {
		data, err = c.readLocal(ctx, root, name)
	}
	if err != nil {
		return err
	}
	size := int64(len(data))
	if err := p.restart(o, size, ""); err != nil {
		return err
	}
	if err := c.store.room(size); err != nil {
		return err
	}
	if _, err := p.Write(data); err != nil {
		return err
	}
	progress(size, size)
	if got := p.digest(); o.SHA256 != "" && got != o.SHA256 {
		return refusef("file_hash", "the file %s has the SHA-256 %s, and %s was asked for", file, got, o.SHA256)
	}
	c.log.Info("image taken from a file", "file", file, "sha256", p.digest(), "bytes", size)
	return nil
}

// openFolder opens the configured folder in which a path lies. Through an
// os.Root no link leads out of it.
func (c *Client) openFolder(file string) (*os.Root, string, error) {
	for _, folder := range c.cfg.Files {
		name, err := filepath.Rel(filepath.Clean(folder), filepath.Clean(file))
		if err != nil || !filepath.IsLocal(name) {
			continue
		}
		root, err := os.OpenRoot(folder)
		if err != nil {
			return nil, "", unreadable(folder, err)
		}
		return root, name, nil
	}
	open := "there is none"
	if len(c.cfg.Files) > 0 {
		open = strings.Join(c.cfg.Files, ", ")
	}
	return nil, "", refusef("file_refused", "%.200q lies in no folder that images are taken from (%s); add its folder to server.files", file, open)
}

func unreadable(file string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refusef("file_unreadable", "%.200q does not exist as far as the agent sees; is the medium mounted?", file)
	case errors.Is(err, fs.ErrPermission):
		return refusef("file_unreadable", "%.200q may not be read by the agent's user; mount the medium readable for it (see server.files)", file)
	}
	return refusef("file_unreadable", "%.200q cannot be read: %v", file, err)
}

// readLocal reads a regular file of bounded size that is no link.
func (c *Client) readLocal(ctx context.Context, root *os.Root, name string) ([]byte, error) {
	shown := filepath.Join(root.Name(), name)
	f, size, err := c.openLocal(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	data := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	_, err = io.Copy(data, io.LimitReader(&untilDone{ctx, f}, size+1))
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, unreadable(shown, err)
	case int64(data.Len()) != size:
		return nil, refusef("file_unreadable", "%.200q changed while it was read; is it still being copied?", shown)
	}
	return data.Bytes(), nil
}

// openLocal opens what is a regular file before and after: no device is
// opened, and no pipe waited for.
func (c *Client) openLocal(root *os.Root, name string) (*os.File, int64, error) {
	shown := filepath.Join(root.Name(), name)
	before, err := root.Lstat(name)
	if err != nil {
		return nil, 0, unreadable(shown, err)
	}
	if !before.Mode().IsRegular() {
		return nil, 0, refusef("file_refused", "%.200q is no regular file; links, pipes and devices are not taken", shown)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, unreadable(shown, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = unreadable(shown, err)
	case !os.SameFile(before, info):
		err = refusef("file_refused", "%.200q became another file while it was opened", shown)
	case info.Size() > c.cfg.MaxSize:
		err = refusef("too_large", "%.200q has %d bytes, more than the %d that an image may have", shown, info.Size(), c.cfg.MaxSize)
	case info.Size() <= image.HeaderSize:
		err = refusef("file_refused", "%.200q has %d bytes, too few for a signed image", shown, info.Size())
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// untilDone ends a read from a slow medium with its context.
type untilDone struct {
	ctx context.Context //nolint:containedctx // for the length of one copy
	f   io.Reader
}

func (u *untilDone) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.f.Read(b[:min(len(b), 256<<10)])
}

// best is the newest image in a folder that verifies for this robot. That it
// is older than the running one, say, is for Verify to tell.
func (c *Client) best(ctx context.Context, root *os.Root, folder string, o Offer) ([]byte, error) {
	shown := filepath.Join(root.Name(), folder)
	names, err := listing(root, folder)
	if err != nil {
		return nil, err
	}
	var (
		found  []byte
		newest image.Verified
		images int
		last   error
	)
	policy := image.Policy{Chip: c.cfg.Robot.Chip, SKU: c.cfg.Robot.SKU, Version: o.Version, AllowDowngrade: true}
	for _, name := range names {
		file := filepath.Join(folder, name)
		if !c.looksSigned(root, file) {
			continue
		}
		if images++; images > maxImages {
			return nil, refusef("no_image", "%.200q holds more than %d signed images: name one of them", shown, maxImages)
		}
		data, v, err := c.candidate(ctx, root, file, o, policy)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			c.log.Info("not this image", "file", filepath.Join(shown, name), "err", err)
			last = fmt.Errorf("%.80q: %w", name, err)
			continue
		}
		if found == nil || v.Version().Compare(newest.Version()) > 0 {
			found, newest = data, v
		}
	}
	switch {
	case found != nil:
		return found, nil
	case last != nil:
		return nil, refusef("no_image", "%.200q holds no image for this robot; the last of %d that were tried: %v", shown, images, last)
	}
	return nil, refusef("no_image", "%.200q holds no signed image", shown)
}

// candidate reads and verifies one image of a folder.
func (c *Client) candidate(ctx context.Context, root *os.Root, file string, o Offer, p image.Policy) ([]byte, image.Verified, error) {
	data, err := c.readLocal(ctx, root, file)
	if err != nil {
		return nil, image.Verified{}, err
	}
	if got := digestOf(data); o.SHA256 != "" && got != o.SHA256 {
		return nil, image.Verified{}, fmt.Errorf("it has the SHA-256 %s, and another was asked for", got)
	}
	v, err := image.Take(data, c.cfg.Keys(), p)
	return data, v, err
}

// looksSigned says whether a file begins as signed images do.
func (c *Client) looksSigned(root *os.Root, name string) bool {
	f, _, err := c.openLocal(root, name)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	head := make([]byte, image.HeaderSize)
	if _, err := io.ReadFull(f, head); err != nil {
		return false
	}
	_, err = image.ParseHeader(head)
	return err == nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// listing is what a folder holds, by name.
func listing(root *os.Root, folder string) ([]string, error) {
	shown := filepath.Join(root.Name(), folder)
	f, err := root.Open(folder)
	if err != nil {
		return nil, unreadable(shown, err)
	}
	defer f.Close() //nolint:errcheck // only read
	names, err := f.Readdirnames(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, unreadable(shown, err)
	}
	if len(names) > maxEntries {
		return nil, refusef("no_image", "%.200q holds more than %d files: name the image itself", shown, maxEntries)
	}
	slices.Sort(names)
	return names, nil
}

package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// pieces serves a file in pieces: each answer ends too early, but the last one.
type pieces struct {
	file []byte
	from []int // of the requests
}

const piece = 3000

func (p *pieces) Do(r *http.Request) (*http.Response, error) {
	from := 0
	if s := r.Header.Get("Range"); s != "" {
		if _, err := fmt.Sscanf(s, "bytes=%d-", &from); err != nil {
			return nil, err
		}
	}
	p.from = append(p.from, from)
	rest := p.file[from:]
	body := io.MultiReader(bytes.NewReader(rest[:min(len(rest), piece)]), broken{len(rest) > piece})
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Etag": {`"e"`}}, Body: io.NopCloser(body), ContentLength: int64(len(rest))}
	if from > 0 {
		resp.StatusCode = http.StatusPartialContent
		resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(p.file)-1, len(p.file)))
	}
	return resp, nil
}

// broken is how a connection ends.
type broken struct{ early bool }

func (b broken) Read([]byte) (int, error) {
	if b.early {
		return 0, io.ErrUnexpectedEOF
	}
	return 0, io.EOF
}

// got is what lives of a store know of each other: which image was verified
// last, and how much of one was promised to be kept.
type got struct {
	verified int // its number; -1: none
	image    int
	held     int64
}

// What was verified is there and is what it was; what is taken up again fits
// together; no more than was not synced is fetched again; and nothing that was
// not verified ever has the name of what was.
func TestCuts(t *testing.T) {
	var files [][]byte
	for i, size := range []int{8000, 3500} { // three pieces, two pieces
		files = append(files, signed(t, imagetest.Options{Version: fmt.Sprint("0.2.", i+1), Body: content(size, byte(i))}))
	}
	keys := keyring(t)
	r := disktest.Sweep(t, "files: images", got{verified: -1}, func(d disk.Disk, known got) (got, error) {
		for i := range files {
			l := &fetching{known: known, files: files, disk: d}
			err := l.run(t.Context(), keys, i)
			if known = l.known; err != nil {
				return known, err
			}
		}
		return known, nil
	})
	if r.Points < 1000 {
		t.Errorf("too little was tried: %+v", r)
	}
}

// noting is a disk that notes whether it failed where that is not told, as a new
// beginning is as good.
type noting struct {
	disk.Layer
	failed *bool
}

func (n noting) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := n.Layer.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return notingFile{f, n.failed}, nil
}

type notingFile struct {
	disk.File
	failed *bool
}

func (f notingFile) Truncate(size int64) error {
	err := f.File.Truncate(size)
	*f.failed = *f.failed || err != nil
	return err
}

// fetching is a life that is to have an image.
type fetching struct {
	known got
	files [][]byte
	disk  disk.Disk
}

const images = "/state/images"

func (l *fetching) run(ctx context.Context, keys func() image.Keyring, i int) error {
	o := Offer{URL: fmt.Sprint("https://server/", i), SHA256: hashOf(l.files[i])}
	var done int64
	web, failed := &pieces{file: l.files[i]}, false
	c, err := New(Config{Dir: images, Disk: disk.On(noting{l.disk, &failed}), Keys: keys, Keep: 1, OnRetry: func(error, time.Duration) {
		l.known.image, l.known.held = i, done // it has been synced
	}}, web, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	c.sleep = func(context.Context, time.Duration) error { return nil }
	if err := l.find(ctx, c); err != nil {
		return err
	}
	before := l.known
	sum, _, err := c.Download(ctx, o, func(n, _ int64) { done = n })
	if len(web.from) > 0 {
		if before.image == i && int64(web.from[0]) < before.held && !failed {
			return fmt.Errorf("%d bytes were promised to be kept, and it went on at %d", before.held, web.from[0])
		}
		if l.known.image != i { // what was left of others is gone
			l.known.image, l.known.held = i, 0
		}
	}
	if errors.Is(err, syscall.ENOSPC) { // what is held gives way
		l.known.held = 0
	}
	if err != nil {
		return err
	}
	if sum != o.SHA256 {
		return fmt.Errorf("downloaded %s, not %s", sum, o.SHA256)
	}
	l.known.held = 0
	return l.verify(ctx, c, i)
}

func (l *fetching) verify(ctx context.Context, c *Client, i int) error {
	v, err := c.Verify(ctx, hashOf(l.files[i]), s3)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(v.Payload())
	if err != nil || int(v.Version().Patch) != i+1 || !bytes.Contains(l.files[i], b) {
		return fmt.Errorf("verified %v, not image %d", v.Version(), i)
	}
	l.known.verified = i
	return nil
}

// find looks at what is there, and verifies anew what was verified last.
func (l *fetching) find(ctx context.Context, c *Client) error {
	entries, err := l.disk.ReadDir(images)
	if err != nil {
		return err
	}
	for _, e := range entries {
		sum, ok := strings.CutSuffix(e.Name(), imageEnd)
		if !ok {
			continue
		}
		b, err := l.disk.ReadFile(images+"/"+e.Name(), 1<<20)
		if err != nil {
			return err
		}
		if hashOf(b) != sum {
			return fmt.Errorf("%s has the SHA-256 %s", e.Name(), hashOf(b))
		}
	}
	if l.known.verified < 0 {
		return nil
	}
	if err := l.verify(ctx, c, l.known.verified); err != nil {
		return errors.Join(fmt.Errorf("image %d was verified before", l.known.verified), err)
	}
	return nil
}

package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// A checkpoint is made after so many bytes or so long, whichever is first: no
// more than that is fetched again after a crash.
const (
	checkpointBytes = 256 << 10
	checkpointTime  = 10 * time.Second
)

// partial is a file while it is downloaded.
type partial struct {
	store *store
	key   string
	f     disk.File
	m     meta
	sum   hash.Hash // of the first n bytes
	n     int64     // bytes held
	// pieces is how many answers they came from; those of an earlier life
	// count as one.
	pieces int
	synced time.Time // the last checkpoint
	lost   error     // why some of what is held will not be on the disk, whatever the next sync says
}

// openPartial opens the part file of key, and takes over what it holds where
// that belongs to the offered file and is unharmed.
func (s *store) openPartial(key string, o Offer) (_ *partial, err error) {
	f, err := s.open(s.path(key+partEnd), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("partial download: %w", s.full(err, o.Size))
	}
	p := &partial{store: s, key: key, f: f, sum: sha256.New(), synced: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	data, err := s.readFile(key+metaEnd, maxMeta)
	if unsafe(err) {
		return nil, err
	}
	if err == nil {
		p.m, err = parseMeta(data)
	}
	if err != nil || !p.m.fits(o) || !p.takeOver() {
		return p, p.restart(o, o.Size, "")
	}
	if p.m.URL != o.URL {
		p.m.URL, p.m.ETag = o.URL, "" // an ETag is its server's alone
	}
	return p, nil
}

// fits: the record is of the offered file.
func (m meta) fits(o Offer) bool {
	return m.SHA256 == o.SHA256 && (m.SHA256 != "" || m.URL == o.URL) && (o.Size == 0 || o.Size == m.Size)
}

// takeOver keeps the bytes that were synced, if they are the ones recorded.
func (p *partial) takeOver() bool {
	n, err := io.Copy(p.sum, io.LimitReader(p.f, p.m.Held))
	if err != nil || n != p.m.Held || hex.EncodeToString(p.sum.Sum(nil)) != p.m.Prefix {
		return false
	}
	if p.f.Truncate(n) != nil {
		return false
	}
	p.n, p.pieces = n, 1
	return n > 0
}

// restart throws away what is held: the file comes from its beginning.
func (p *partial) restart(o Offer, size int64, etag string) error {
	_, err := p.f.Seek(0, io.SeekStart)
	if err := errors.Join(err, p.f.Truncate(0)); err != nil {
		return fmt.Errorf("partial download: %w", err)
	}
	p.sum.Reset()
	p.n, p.pieces, p.lost = 0, 0, nil
	p.m = meta{Schema: metaSchema, URL: o.URL, ETag: etag, SHA256: o.SHA256, Size: size}
	return nil
}

// resumable says whether the server can be asked for the rest alone: whether
// it will be known that the pieces belong together.
func (p *partial) resumable() bool {
	return p.n > 0 && (p.m.ETag != "" || p.m.SHA256 != "")
}

func (p *partial) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	p.sum.Write(b[:n])
	p.n += int64(n)
	if err == nil && (p.n-p.m.Held >= checkpointBytes || time.Since(p.synced) >= checkpointTime) {
		err = p.checkpoint()
	}
	if err = p.store.full(err, p.m.Size-p.n); err != nil {
		return n, fmt.Errorf("keep the download: %w", err)
	}
	return n, nil
}

// checkpoint makes what is held survive a crash.
func (p *partial) checkpoint() error {
	p.synced = time.Now()
	if p.n == p.m.Held || p.m.Size == 0 {
		return nil
	}
	if p.lost != nil { // the system tells of it once
		return p.lost
	}
	if p.lost = p.f.Sync(); p.lost != nil {
		return p.lost
	}
	next := p.m
	next.Held, next.Prefix = p.n, hex.EncodeToString(p.sum.Sum(nil))
	data, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := p.store.disk.WriteFile(p.store.path(p.key+metaEnd), data, 0o600); err != nil {
		return err
	}
	p.m = next
	return nil
}

// complete says whether all of it is there.
func (p *partial) complete() bool { return p.m.Size > 0 && p.n == p.m.Size }

// digest is the SHA-256 of what is held, in hex.
func (p *partial) digest() string { return hex.EncodeToString(p.sum.Sum(nil)) }

// finish makes the whole file durable under the name of its SHA-256.
func (p *partial) finish() error {
	path := p.store.path(p.key + partEnd)
	if err := p.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, p.store.full(err, 0))
	}
	if err := p.store.disk.Rename(path, p.store.path(p.digest()+unverifiedEnd)); err != nil {
		return fmt.Errorf("keep the download: %w", err)
	}
	if err := p.store.disk.SyncDir(p.store.dir); err != nil {
		return fmt.Errorf("keep the download: %w", err)
	}
	// Only now: without its record what a power cut brings back is of no use.
	if err := p.store.disk.Remove(p.store.path(p.key + metaEnd)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("keep the download: %w", err)
	}
	return nil
}

// discard removes what is held from the disk.
func (p *partial) discard() error {
	for _, end := range []string{metaEnd, partEnd} {
		if err := p.store.disk.Remove(p.store.path(p.key + end)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the download: %w", err)
		}
	}
	return nil
}

func (p *partial) close() error { return p.f.Close() }

// Package store keeps releases and their images in a folder:
//
//	releases.json          the list, replaced as a whole
//	artifacts/<sha256>     the signed files, never changed
//	keyrings.json          whom robots are to trust, where that was said
//
// A file is durable before the list names it, and what the list does not name
// nobody is served. Several processes may use one folder: `ota-fleet publish`
// writes beside a running server, which sees the new list with its next
// request. Names come from hashes alone, never from what somebody sent.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/internal/durable"
)

const (
	schema  = 1
	maxList = 16 << 20 // bytes of releases.json
)

// ErrNotFound says that there is no such artifact.
var ErrNotFound = errors.New("no such artifact")

// Store is a folder of releases.
type Store struct {
	dir      string
	releases listing[release.Release]
	keyrings listing[keyring.Document]
}

// list is the form of releases.json.
type list struct {
	Schema   int               `json:"schema"`
	Releases []release.Release `json:"releases"`
}

// Open prepares the folder and reads the list once, to find it sound.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "artifacts"), 0o750); err != nil {
		return nil, fmt.Errorf("release store: %w", err)
	}
	s := &Store{
		dir: dir,
		releases: listing[release.Release]{
			path: filepath.Join(dir, "releases.json"), most: maxList, parse: parse, mend: "restore it from a backup, or remove it and publish again",
		},
		keyrings: listing[keyring.Document]{
			path: filepath.Join(dir, "keyrings.json"), most: maxKeyrings, parse: parseKeyrings, mend: "restore it from a backup",
		},
	}
	if _, err := s.Releases(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) artifact(sum string) string { return filepath.Join(s.dir, "artifacts", sum) }

// Releases gives the list; the caller does not change it.
func (s *Store) Releases(ctx context.Context) ([]release.Release, error) { return s.releases.load(ctx) }

func parse(data []byte) ([]release.Release, error) {
	var l list
	if err := decode(data, &l, &l.Schema); err != nil {
		return nil, err
	}
	for i, r := range l.Releases {
		if err := r.Check(); err != nil {
			return nil, fmt.Errorf("release %d: %w", i+1, err)
		}
	}
	return l.Releases, nil
}

// Publish makes a signed file durable and then visible as fresh, which are the
// releases that release.Prove gave for it. Publishing the same again changes
// nothing; another file under the same SKU and version is a
// *release.ConflictError.
func (s *Store) Publish(ctx context.Context, signed []byte, fresh []release.Release) error {
	sum := sha256.Sum256(signed)
	for _, r := range fresh {
		if r.SHA256 != hex.EncodeToString(sum[:]) {
			return fmt.Errorf("release store: %s is of another file", r.Name)
		}
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := s.releases.read()
	if err != nil {
		return err
	}
	next, err := release.Add(all, fresh)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(s.artifact(hex.EncodeToString(sum[:])), signed, 0o640); err != nil {
		return fmt.Errorf("release store: %w", err)
	}
	data, err := json.MarshalIndent(list{Schema: schema, Releases: next}, "", "  ")
	if err != nil {
		return fmt.Errorf("release store: %w", err)
	}
	if err := durable.WriteFile(s.releases.path, append(data, '\n'), 0o640); err != nil {
		return fmt.Errorf("release store: %w", err)
	}
	return nil
}

// lock keeps other processes from changing the list. It waits for those that
// do, which takes them milliseconds.
func (s *Store) lock(ctx context.Context) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("release store: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("release store: lock: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil // which unlocks
}

// Artifact opens a signed file; ErrNotFound where there is none.
func (s *Store) Artifact(ctx context.Context, sum string) (io.ReadSeekCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !release.IsDigest(sum) {
		return nil, ErrNotFound
	}
	f, err := os.OpenFile(s.artifact(sum), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("release store: %w", err)
	}
	return f, nil
}

package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// Endings of the files in the store.
const (
	partEnd       = ".part"
	metaEnd       = ".meta"
	unverifiedEnd = ".unverified"
	imageEnd      = ".img"
	rebuildEnd    = ".rebuild"
)

// unsafeStore is the code of refusals because of planted files.
const unsafeStore = "unsafe_store"

// unsafe says that something in the store was not made by the agent.
func unsafe(err error) bool {
	var r *RefusedError
	return errors.As(err, &r) && r.code == unsafeStore
}

// reserve is left free for the agent's journal, in bytes.
const reserve = 1 << 20

// store is the private directory of images.
type store struct {
	disk disk.Disk
	dir  string
	max  int64 // largest file
	keep int   // verified images kept
}

func newStore(d disk.Disk, dir string, limit int64, keep int) (*store, error) {
	if err := d.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	info, err := d.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	if !info.IsDir() {
		return nil, refusef(unsafeStore, "the image store %s is no directory but %v; remove it", dir, info.Mode().Type())
	}
	if info.Mode().Perm() != 0o700 {
		if err := closeOff(d, dir); err != nil {
			return nil, fmt.Errorf("image store: %w", err)
		}
	}
	return &store{disk: d, dir: dir, max: limit, keep: keep}, nil
}

// closeOff lets nobody but the agent into a folder.
func closeOff(d disk.Disk, dir string) error {
	f, err := d.OpenFile(dir, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o700), f.Close())
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

// open opens a file of the store, or makes it, and takes nothing but a
// plain file that has this one name: whoever plants links there wants the
// agent to write or to trust something else.
func (s *store) open(path string, flag int) (disk.File, error) {
	f, err := s.disk.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		return nil, refusef(unsafeStore, "%s is a symbolic link, which the agent never makes there; find out who did, and remove it", path)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = refusef(unsafeStore, "%s is no plain file; find out who made it, and remove it", path)
	}
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink != 1 {
			err = refusef(unsafeStore, "%s has another name elsewhere (a hard link), which the agent never makes; find out who did, and remove it", path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// room makes sure that need bytes fit, and gives up old images for that.
func (s *store) room(need int64) error {
	for {
		free, err := s.disk.Free(s.dir)
		if err != nil || free >= need+reserve {
			return err
		}
		old := s.images()
		if len(old) == 0 {
			return &DiskFullError{Dir: s.dir, Need: need + reserve, Free: free}
		}
		if err := s.disk.Remove(s.path(old[0])); err != nil {
			return err
		}
	}
}

// full makes a DiskFullError of a write's error, where it is one.
func (s *store) full(err error, need int64) error {
	var cause syscall.Errno
	if !errors.As(err, &cause) || !noRoom(cause) {
		return err
	}
	free, ferr := s.disk.Free(s.dir)
	if ferr != nil {
		free = 0
	}
	return &DiskFullError{Dir: s.dir, Need: need + reserve, Free: free, Cause: cause}
}

// dated is a verified image, and when it was used last.
type dated struct {
	name string
	at   time.Time
}

// images lists the verified images, the one used longest ago first.
func (s *store) images() []string {
	found := s.byDate()
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f.name
	}
	return names
}

func (s *store) byDate() []dated {
	var found []dated
	entries, err := s.disk.ReadDir(s.dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasSuffix(e.Name(), imageEnd) {
			found = append(found, dated{e.Name(), info.ModTime()})
		}
	}
	slices.SortStableFunc(found, func(a, b dated) int { return a.at.Compare(b.at) })
	return found
}

// sweep removes what other downloads than those of the keys left unfinished: one
// goes on at a time. What was half rebuilt is of no use to anybody.
func (s *store) sweep(keys ...string) error {
	entries, err := s.disk.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		stem, end := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name)
		unfinished := end == partEnd || end == metaEnd || end == unverifiedEnd
		if unfinished && !slices.Contains(keys, stem) || end == rebuildEnd || strings.HasPrefix(name, ".") { // the latter: half-written meta files
			if err := s.disk.RemoveAll(s.path(name)); err != nil {
				return fmt.Errorf("image store: %w", err)
			}
		}
	}
	return nil
}

// prune removes verified images beyond the number that is kept.
func (s *store) prune() error {
	old := s.images()
	for _, name := range old[:max(0, len(old)-s.keep)] {
		if err := s.disk.Remove(s.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// read gives the bytes of a stored file and its name. A file that does not
// have the SHA-256 of its name is removed, and not there.
func (s *store) read(sum string) (data []byte, name string, err error) {
	for _, name := range []string{sum + imageEnd, sum + unverifiedEnd} {
		data, err := s.readFile(name, s.max)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if got := sha256.Sum256(data); hex.EncodeToString(got[:]) == sum {
			return data, name, nil
		}
		if err := s.disk.Remove(s.path(name)); err != nil {
			return nil, "", err
		}
	}
	return nil, "", ErrNotStored
}

func (s *store) readFile(name string, limit int64) ([]byte, error) {
	f, err := s.open(s.path(name), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	data, err := whole(f, limit)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.path(name), err)
	}
	return data, nil
}

// whole reads a file into as much memory as it takes, and no more.
func whole(f disk.File, limit int64) ([]byte, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	switch {
	case err != nil:
		return nil, err
	case size > limit:
		return nil, refusef("too_large", "it holds more than %d bytes", limit)
	}
	data := make([]byte, size)
	_, err = io.ReadFull(f, data)
	return data, err
}

// settle gives a file that was verified its last name, durably.
func (s *store) settle(sum, name string, now time.Time) error {
	to := sum + imageEnd
	if name != to {
		f, err := s.open(s.path(name), os.O_RDWR)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", s.path(name), err)
		}
		if err := s.disk.Rename(s.path(name), s.path(to)); err != nil {
			return err
		}
		if err := s.disk.SyncDir(s.dir); err != nil {
			return err
		}
	}
	used := now
	for _, other := range s.byDate() { // dated by a clock that was ahead
		if other.name != to && !other.at.Before(used) {
			used = other.at.Add(time.Second)
		}
	}
	if err := s.disk.Chtimes(s.path(to), used, used); err != nil { // pruned last
		return err
	}
	return s.prune()
}

func (s *store) remove(name string) error {
	if err := s.disk.Remove(s.path(name)); err != nil {
		return fmt.Errorf("remove the refused image: %w", err)
	}
	return s.disk.SyncDir(s.dir)
}

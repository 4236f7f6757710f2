// Package disk is the file system as the agent sees it: a seam between those
// who keep files and where they lie.
//
// What must survive a power cut depends on the order in which files are
// written, synced and renamed, and on what is done when one of these fails.
// None of that can be tried on a real disk in a test. So all that changes a
// file of the agent goes through a [Layer], of which this computer's is one
// and a model that loses what was not synced (package disktest) another.
//
// A [Disk] is a Layer with what is made of its operations: whole files
// replaced durably, folders made, bounded reads. The zero Disk is this
// computer's.
package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/internal/bounded"
)

// Layer is a file system. Paths, flags and errors are those of package os.
type Layer interface {
	OpenFile(path string, flag int, perm fs.FileMode) (File, error)
	Rename(from, to string) error
	// Remove removes a file or an empty folder.
	Remove(path string) error
	Mkdir(dir string, perm fs.FileMode) error
	Chtimes(path string, accessed, changed time.Time) error
	// SyncDir makes the entries of a folder durable.
	SyncDir(dir string) error
	Lstat(path string) (fs.FileInfo, error)
	// ReadDir lists a folder, by name.
	ReadDir(dir string) ([]fs.DirEntry, error)
	// Free is how many bytes the agent's user may still fill.
	Free(dir string) (int64, error)
}

// File is an open file.
type File interface {
	io.ReadWriter
	io.Seeker
	io.Closer
	Truncate(size int64) error
	Chmod(perm fs.FileMode) error
	// Sync makes the content durable; the name is SyncDir's.
	Sync() error
	Stat() (fs.FileInfo, error)
}

// Disk is where files lie; the zero Disk is this computer's.
type Disk struct{ layer Layer }

// On is the disk of that layer.
func On(l Layer) Disk { return Disk{l} }

func (d Disk) on() Layer {
	if d.layer == nil {
		return machine{}
	}
	return d.layer
}

// OpenFile is os.OpenFile.
func (d Disk) OpenFile(path string, flag int, perm fs.FileMode) (File, error) {
	return d.on().OpenFile(path, flag, perm)
}

// Open opens a file to be read.
func (d Disk) Open(path string) (File, error) { return d.on().OpenFile(path, os.O_RDONLY, 0) }

// Rename is os.Rename. It is durable once the folder is synced.
func (d Disk) Rename(from, to string) error { return d.on().Rename(from, to) }

// Remove is os.Remove. It is durable once the folder is synced.
func (d Disk) Remove(path string) error { return d.on().Remove(path) }

// Chtimes is os.Chtimes.
func (d Disk) Chtimes(path string, accessed, changed time.Time) error {
	return d.on().Chtimes(path, accessed, changed)
}

// SyncDir makes the entries of a folder (a rename, a removal) durable.
func (d Disk) SyncDir(dir string) error { return d.on().SyncDir(dir) }

// Lstat is os.Lstat.
func (d Disk) Lstat(path string) (fs.FileInfo, error) { return d.on().Lstat(path) }

// Exists says whether there is something of that name.
func (d Disk) Exists(path string) bool {
	_, err := d.on().Lstat(path)
	return err == nil
}

// ReadDir is os.ReadDir.
func (d Disk) ReadDir(dir string) ([]fs.DirEntry, error) { return d.on().ReadDir(dir) }

// Free is how many bytes the agent's user may still fill.
func (d Disk) Free(dir string) (int64, error) { return d.on().Free(dir) }

// ReadFile is the content of a file of at most limit bytes; one that has more
// is a bounded.ErrLarge.
func (d Disk) ReadFile(path string, limit int64) ([]byte, error) {
	f, err := d.Open(path)
	if err != nil {
		return nil, err
	}
	return bounded.Read(f, path, limit)
}

// Mkdir is os.Mkdir. It is durable once the folder above is synced.
func (d Disk) Mkdir(dir string, perm fs.FileMode) error { return d.on().Mkdir(dir, perm) }

// MkdirAll makes a folder and those above it that are missing, durably. What a
// process that was killed has renamed there, and not come to sync, is made
// durable too: whoever reads it next will rely on it.
func (d Disk) MkdirAll(dir string, perm fs.FileMode) error {
	if err := d.mkdirAll(filepath.Clean(dir), perm); err != nil {
		return err
	}
	return d.SyncDir(dir)
}

func (d Disk) mkdirAll(dir string, perm fs.FileMode) error {
	above := filepath.Dir(dir)
	info, err := d.Lstat(dir)
	switch {
	case err == nil && info.Mode().IsRegular():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	case err == nil:
		// Its maker may have been killed before it could do this. If not, it
		// was there before, maybe on a file system that knows no syncing.
		err := d.SyncDir(above)
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := d.mkdirAll(above, perm); err != nil {
		return err
	}
	if err := d.Mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.SyncDir(above)
}

// RemoveAll removes whatever has that name, and all that is in it; no link is
// followed.
func (d Disk) RemoveAll(path string) error {
	info, err := d.Lstat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		entries, err := d.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := d.RemoveAll(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return d.Remove(path)
}

// WriteFile replaces path by data: written aside, synced, renamed, and the
// folder synced (the order that snapd's AtomicFile documents), so that a power
// cut leaves the old content or the new one. An error before the rename leaves
// the old file as it was; where syncing the folder alone fails, the new content
// is there and may not survive a power cut.
func (d Disk) WriteFile(path string, data []byte, perm fs.FileMode) (err error) {
	aside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:10])
	f, err := d.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = d.Remove(aside) // err tells what matters
			err = fmt.Errorf("replace %s: %w", path, err)
		}
	}()
	if err := errors.Join(f.Chmod(perm), write(f, data), f.Close()); err != nil { // the first because of the umask
		return err
	}
	if err := d.Rename(aside, path); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

// Sweep removes what WriteFile left half written in a folder when its process
// ended. Nobody may be writing there.
func (d Disk) Sweep(dir string) error {
	asides := regexp.MustCompile(`^\..+\.([A-Z2-7]{10}|[0-9]+)$`) // the names that it gives, and gave
	entries, err := d.ReadDir(dir)
	for _, e := range entries {
		if e.Type().IsRegular() && asides.MatchString(e.Name()) {
			err = errors.Join(err, d.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

func write(f File, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// machine is this computer's file system.
type machine struct{}

func (machine) OpenFile(path string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (machine) Rename(from, to string) error              { return os.Rename(from, to) }
func (machine) Remove(path string) error                  { return os.Remove(path) }
func (machine) Mkdir(dir string, perm fs.FileMode) error  { return os.Mkdir(dir, perm) }
func (machine) Lstat(path string) (fs.FileInfo, error)    { return os.Lstat(path) }
func (machine) ReadDir(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }

func (machine) Chtimes(path string, accessed, changed time.Time) error {
	return os.Chtimes(path, accessed, changed)
}

func (machine) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (machine) Free(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(min(st.Bavail, 1<<62/uint64(st.Bsize))) * int64(st.Bsize), nil
}

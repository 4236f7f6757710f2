package killtest

import (
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// deadly is this computer's disk, and kills this process at an operation that
// changes something.
type deadly struct {
	disk.Layer
	mu   sync.Mutex
	done int
	die  int // the operation, from 1; 0: none
}

// step counts an operation; half of it is done where the process dies of it.
func (d *deadly) step(half func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done++; d.done != d.die {
		return
	}
	if half != nil {
		half()
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (d *deadly) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done
}

func (d *deadly) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		d.step(nil)
	}
	f, err := d.Layer.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &deadlyFile{f, d}, nil
}

func (d *deadly) Rename(from, to string) error {
	d.step(nil)
	return d.Layer.Rename(from, to)
}

func (d *deadly) Remove(path string) error {
	d.step(nil)
	return d.Layer.Remove(path)
}

func (d *deadly) Mkdir(path string, perm fs.FileMode) error {
	d.step(nil)
	return d.Layer.Mkdir(path, perm)
}

func (d *deadly) Chtimes(path string, accessed, changed time.Time) error {
	d.step(nil)
	return d.Layer.Chtimes(path, accessed, changed)
}

func (d *deadly) SyncDir(dir string) error {
	d.step(nil)
	return d.Layer.SyncDir(dir)
}

type deadlyFile struct {
	disk.File
	disk *deadly
}

func (f *deadlyFile) Write(b []byte) (int, error) {
	f.disk.step(func() { _, _ = f.File.Write(b[:len(b)/2]) })
	return f.File.Write(b)
}

func (f *deadlyFile) Truncate(size int64) error {
	f.disk.step(nil)
	return f.File.Truncate(size)
}

func (f *deadlyFile) Chmod(perm fs.FileMode) error {
	f.disk.step(nil)
	return f.File.Chmod(perm)
}

func (f *deadlyFile) Sync() error {
	f.disk.step(nil)
	return f.File.Sync()
}

package cuttest

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// stateDir is where the agent keeps what it keeps, on the model's disk.
const stateDir = "/var/lib/ota-agent"

// files is the disk as one life of the agent has it: each operation that
// changes something is an event. What it does after it died has no effect.
type files struct {
	*disktest.Model
	life *life
}

// op is an operation that changes something; part is what half of it is, where
// there is such a thing.
func (d files) op(kind, path string, whole, part func() error) error {
	if d.life.dead() {
		return errDead
	}
	how := d.life.world.event(file)
	switch {
	case d.life.dead():
		return errDead
	case how == "eio":
		return &fs.PathError{Op: kind, Path: path, Err: syscall.EIO}
	case (how == "enospc" || how == "full" || how == "" && d.life.world.isFull()) && needsRoom(kind):
		return &fs.PathError{Op: kind, Path: path, Err: syscall.ENOSPC}
	case how == half && part != nil:
		whole = part
	}
	err := whole()
	if how == half || strings.HasPrefix(how, after) {
		d.life.world.perish(d.life.world.killer())
		return errDead
	}
	return err
}

func needsRoom(kind string) bool { return kind == "open" || kind == "write" || kind == "mkdir" }

// isFull says whether the disk is.
func (w *world) isFull() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.full
}

func (d files) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	if d.life.dead() {
		return nil, errDead
	}
	var f disk.File
	open := func() (err error) {
		f, err = d.Model.OpenFile(path, flag, perm)
		return err
	}
	_, err := d.Model.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) && flag&syscall.O_CREAT != 0 {
		err = d.op("open", path, open, nil)
	} else {
		err = open()
	}
	if err != nil {
		return nil, err
	}
	return opened{f, d, path}, nil
}

func (d files) Rename(from, to string) error {
	return d.op("rename", from, func() error { return d.Model.Rename(from, to) }, nil)
}

func (d files) Remove(path string) error {
	return d.op("remove", path, func() error { return d.Model.Remove(path) }, nil)
}

func (d files) Mkdir(dir string, perm fs.FileMode) error {
	return d.op("mkdir", dir, func() error { return d.Model.Mkdir(dir, perm) }, nil)
}

func (d files) Chtimes(path string, accessed, changed time.Time) error {
	return d.op("chtimes", path, func() error { return d.Model.Chtimes(path, accessed, changed) }, nil)
}

func (d files) SyncDir(dir string) error {
	return d.op("sync", dir, func() error { return d.Model.SyncDir(dir) }, nil)
}

// opened is a file that a life has open.
type opened struct {
	disk.File
	disk files
	path string
}

func (f opened) Write(b []byte) (n int, err error) {
	write := func(b []byte) func() error {
		return func() (err error) { n, err = f.File.Write(b); return err }
	}
	err = f.disk.op("write", f.path, write(b), write(b[:len(b)/2]))
	return n, err
}

func (f opened) Truncate(size int64) error {
	return f.disk.op("truncate", f.path, func() error { return f.File.Truncate(size) }, nil)
}

func (f opened) Chmod(perm fs.FileMode) error {
	return f.disk.op("chmod", f.path, func() error { return f.File.Chmod(perm) }, nil)
}

func (f opened) Sync() error { return f.disk.op("sync", f.path, f.File.Sync, nil) }

// outlive is the disk after a life. A process that died leaves all of it; of a
// computer without power what was not synced has the cut's fate, and is torn
// where that says none.
func (w *world) outlive(c cut) {
	fate := disktest.Torn
	for _, f := range disktest.Fates() {
		if strings.HasSuffix(c.how, "-"+f.String()) {
			fate = f
		}
	}
	w.disk = w.disk.After(fate, c.n)
}

package disktest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// handle is an open file.
type handle struct {
	m      *Model
	n      *inode
	path   string
	flag   int
	at     int
	closed bool
}

// usable says why the handle is of no use; mu is held.
func (h *handle) usable() error {
	switch {
	case h.closed:
		return fs.ErrClosed
	case h.m.off():
		return ErrCut
	}
	return nil
}

func (h *handle) Read(b []byte) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	switch err := h.usable(); {
	case err != nil:
		return 0, told("read", h.path, err)
	case h.n.names != nil:
		return 0, told("read", h.path, syscall.EISDIR)
	case h.flag&os.O_WRONLY != 0:
		return 0, told("read", h.path, syscall.EBADF)
	case len(b) > 0 && h.at >= len(h.n.data):
		return 0, io.EOF
	}
	n := copy(b, h.n.data[min(h.at, len(h.n.data)):])
	h.at += n
	return n, nil
}

// Write writes half of b where the power goes or the disk fails.
func (h *handle) Write(b []byte) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.usable(); err != nil {
		return 0, told("write", h.path, err)
	}
	if h.flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return 0, told("write", h.path, syscall.EBADF)
	}
	err := h.m.step(Op{Kind: "write", Path: h.path, Size: len(b)})
	if err != nil {
		b = b[:len(b)/2]
	}
	if h.flag&os.O_APPEND != 0 {
		h.at = len(h.n.data)
	}
	if len(b) > 0 {
		h.n.change(change{at: h.at, bytes: append([]byte(nil), b...)})
		h.at += len(b)
		h.m.free -= int64(len(b))
	}
	return len(b), told("write", h.path, err)
}

func (h *handle) Seek(offset int64, whence int) (int64, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.usable(); err != nil {
		return 0, told("seek", h.path, err)
	}
	switch whence {
	case io.SeekCurrent:
		offset += int64(h.at)
	case io.SeekEnd:
		offset += int64(len(h.n.data))
	}
	if offset < 0 {
		return 0, told("seek", h.path, syscall.EINVAL)
	}
	h.at = int(offset)
	return offset, nil
}

// do is a numbered operation on the file.
func (h *handle) do(kind string, effect func()) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	err := h.usable()
	if err == nil {
		err = h.m.step(Op{Kind: kind, Path: h.path})
	}
	if err == nil {
		effect()
	} else if kind == "sync" && !errors.Is(err, ErrCut) { // what it was to make safe is lost, and nobody is told again
		for i := range h.n.todo {
			h.n.todo[i].lost = true
		}
	}
	return told(kind, h.path, err)
}

func (h *handle) Truncate(size int64) error {
	if h.flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return told("truncate", h.path, syscall.EINVAL)
	}
	return h.do("truncate", func() { h.n.change(change{at: int(size)}) })
}

func (h *handle) Chmod(perm fs.FileMode) error {
	return h.do("chmod", func() { h.n.mode = h.n.mode.Type() | perm })
}

func (h *handle) Sync() error {
	return h.do("sync", func() {
		var lost []change
		for _, c := range h.n.todo {
			if c.lost {
				lost = append(lost, c)
				continue
			}
			h.n.safe = c.on(h.n.safe)
		}
		h.n.todo = lost
	})
}

func (h *handle) Stat() (fs.FileInfo, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.usable(); err != nil {
		return nil, told("stat", h.path, err)
	}
	return h.n.info(h.path), nil
}

// Close closes the file, also on a disk without power.
func (h *handle) Close() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if h.closed {
		return told("close", h.path, fs.ErrClosed)
	}
	h.closed = true
	return nil
}

// info is what is known of an inode under a name.
type info struct {
	name    string
	size    int64
	mode    fs.FileMode
	changed time.Time
}

func (n *inode) info(name string) info {
	return info{name: name, size: int64(len(n.data)), mode: n.mode, changed: n.changed}
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.changed }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }

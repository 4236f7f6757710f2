package disktest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// ErrCut is what a disk without power answers.
var ErrCut = errors.New("the power was cut")

// room is what an empty disk has, in bytes.
const room = 1 << 30

// Model is a file system in memory; it is a disk.Layer. Its methods may be
// called from any goroutine.
type Model struct {
	mu    sync.Mutex
	root  *inode
	ops   []Op
	cut   int // the operation at which the power goes, 0: none
	dead  chan struct{}
	fault Fault
	free  int64
}

// Op is an operation that changes something.
type Op struct {
	Kind string // "create", "write", "truncate", "chmod", "sync", "rename", "remove", "mkdir", "times", "syncdir"
	Path string
	To   string // of a rename
	Size int    // of a write, in bytes
}

func (o Op) String() string {
	switch {
	case o.To != "":
		return fmt.Sprintf("%s %s to %s", o.Kind, o.Path, o.To)
	case o.Kind == "write":
		return fmt.Sprintf("write %d bytes to %s", o.Size, o.Path)
	}
	return o.Kind + " " + o.Path
}

// New is an empty disk.
func New() *Model {
	return &Model{root: newFolder(0o755), dead: make(chan struct{}), free: room}
}

// Disk is the model as the agent takes it.
func (m *Model) Disk() disk.Disk { return disk.On(m) }

// CutAt has the power go at that operation, which is not carried out, or, of a
// write, in part.
func (m *Model) CutAt(op int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut = op
}

// Cut has the power go now.
func (m *Model) Cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.die()
}

// Dead is closed when the power is cut.
func (m *Model) Dead() <-chan struct{} { return m.dead }

// Ops are the operations so far; the one at which the power was cut is the
// last.
func (m *Model) Ops() []Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ops)
}

// SetFree says how many bytes the disk has left to be filled.
func (m *Model) SetFree(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = bytes
}

func (m *Model) die() {
	if !m.off() {
		close(m.dead)
	}
}

func (m *Model) off() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

// step numbers an operation, and answers why it is not carried out; mu is held.
func (m *Model) step(o Op) error {
	if m.off() {
		return ErrCut
	}
	m.ops = append(m.ops, o)
	if m.cut > 0 && len(m.ops) >= m.cut {
		m.die()
		return ErrCut
	}
	return m.fault.of(o, len(m.ops))
}

// inode is a file or a folder.
type inode struct {
	mode    fs.FileMode
	changed time.Time

	// Of a file: as it is, as it was synced, and what was done since.
	data, safe []byte
	todo       []change

	// Of a folder, the same.
	names, safeNames map[string]*inode
	moves            []move
}

func newFile(perm fs.FileMode) *inode { return &inode{mode: perm} }

func newFolder(perm fs.FileMode) *inode {
	return &inode{mode: fs.ModeDir | perm, names: make(map[string]*inode), safeNames: make(map[string]*inode)}
}

// change of a file's content: a write at an offset or, without bytes, another
// length. One that is lost was in a sync that failed: no later one saves it.
type change struct {
	at    int
	bytes []byte // nil: the length becomes at
	lost  bool
}

// on changes data in place, where that is long enough.
func (c change) on(data []byte) []byte {
	if c.bytes == nil {
		return resize(data, c.at)
	}
	data = resize(data, max(len(data), c.at+len(c.bytes)))
	copy(data[c.at:], c.bytes)
	return data
}

func resize(data []byte, size int) []byte {
	if size <= len(data) {
		return data[:size]
	}
	return append(data, make([]byte, size-len(data))...)
}

// move is a change of a folder's names, all of it or nothing.
type move map[string]*inode // nil: the name goes

func (v move) on(names map[string]*inode) {
	for name, n := range v {
		if n == nil {
			delete(names, name)
			continue
		}
		names[name] = n
	}
}

func (n *inode) change(c change) {
	n.data = c.on(n.data)
	n.todo = append(n.todo, c)
}

func (n *inode) move(v move) {
	v.on(n.names)
	n.moves = append(n.moves, v)
}

// find gives what has that name; mu is held.
func (m *Model) find(path string) (*inode, error) {
	if m.off() {
		return nil, ErrCut
	}
	n := m.root
	for part := range strings.SplitSeq(filepath.Clean(path), "/") {
		switch {
		case part == "" || part == ".":
			continue
		case n.names == nil:
			return nil, syscall.ENOTDIR
		case n.names[part] == nil:
			return nil, syscall.ENOENT
		}
		n = n.names[part]
	}
	return n, nil
}

// above gives the folder that path is in, and its name there.
func (m *Model) above(path string) (*inode, string, error) {
	dir, name := filepath.Split(filepath.Clean(path))
	n, err := m.find(dir)
	if err == nil && n.names == nil {
		err = syscall.ENOTDIR
	}
	return n, name, err
}

// told is err as package os tells it.
func told(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// OpenFile is part of disk.Layer.
func (m *Model) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.open(path, flag, perm)
	if err != nil {
		return nil, told("open", path, err)
	}
	return &handle{m: m, n: n, path: path, flag: flag}, nil
}

func (m *Model) open(path string, flag int, perm fs.FileMode) (*inode, error) {
	n, err := m.find(path)
	switch {
	case errors.Is(err, syscall.ENOENT) && flag&os.O_CREATE != 0:
		return m.create(path, perm)
	case err != nil:
		return nil, err
	case flag&os.O_EXCL != 0:
		return nil, syscall.EEXIST
	case n.names == nil && flag&syscall.O_DIRECTORY != 0:
		return nil, syscall.ENOTDIR
	case n.names != nil && flag&(os.O_WRONLY|os.O_RDWR) != 0:
		return nil, syscall.EISDIR
	case flag&os.O_TRUNC != 0:
		if err := m.step(Op{Kind: "truncate", Path: path}); err != nil {
			return nil, err
		}
		n.change(change{})
	}
	return n, nil
}

func (m *Model) create(path string, perm fs.FileMode) (*inode, error) {
	dir, name, err := m.above(path)
	if err == nil {
		err = m.step(Op{Kind: "create", Path: path})
	}
	if err != nil {
		return nil, err
	}
	n := newFile(perm)
	dir.move(move{name: n})
	return n, nil
}

// Rename is part of disk.Layer. The model knows none between two folders.
func (m *Model) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, name, err := m.above(from)
	if err == nil && dir.names[name] == nil {
		err = syscall.ENOENT
	}
	into, as, terr := m.above(to)
	switch {
	case err == nil && terr != nil:
		err = terr
	case err == nil && into != dir:
		err = syscall.EXDEV
	case err == nil && into.names[as] != nil && into.names[as].names != nil:
		err = syscall.EISDIR
	}
	if err == nil {
		err = m.step(Op{Kind: "rename", Path: from, To: to})
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	dir.move(move{name: nil, as: dir.names[name]})
	return nil
}

// Remove is part of disk.Layer.
func (m *Model) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, name, err := m.above(path)
	switch {
	case err != nil:
	case dir.names[name] == nil:
		err = syscall.ENOENT
	case len(dir.names[name].names) > 0:
		err = syscall.ENOTEMPTY
	default:
		err = m.step(Op{Kind: "remove", Path: path})
	}
	if err == nil {
		dir.move(move{name: nil})
	}
	return told("remove", path, err)
}

// Mkdir is part of disk.Layer.
func (m *Model) Mkdir(path string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, name, err := m.above(path)
	switch {
	case err != nil:
	case dir.names[name] != nil:
		err = syscall.EEXIST
	default:
		err = m.step(Op{Kind: "mkdir", Path: path})
	}
	if err == nil {
		dir.move(move{name: newFolder(perm)})
	}
	return told("mkdir", path, err)
}

// Chtimes is part of disk.Layer.
func (m *Model) Chtimes(path string, _, changed time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(path)
	if err == nil {
		err = m.step(Op{Kind: "times", Path: path})
	}
	if err == nil {
		n.changed = changed
	}
	return told("chtimes", path, err)
}

// SyncDir is part of disk.Layer.
func (m *Model) SyncDir(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(path)
	if err == nil && n.names == nil {
		err = syscall.ENOTDIR
	}
	if err == nil {
		err = m.step(Op{Kind: "syncdir", Path: path})
	}
	if err == nil {
		n.safeNames, n.moves = maps.Clone(n.names), nil
	}
	return told("sync", path, err)
}

// Lstat is part of disk.Layer.
func (m *Model) Lstat(path string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(path)
	if err != nil {
		return nil, told("lstat", path, err)
	}
	return n.info(filepath.Base(path)), nil
}

// ReadDir is part of disk.Layer.
func (m *Model) ReadDir(path string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(path)
	if err == nil && n.names == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, told("open", path, err)
	}
	var entries []fs.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		entries = append(entries, fs.FileInfoToDirEntry(n.names[name].info(name)))
	}
	return entries, nil
}

// Free is part of disk.Layer.
func (m *Model) Free(path string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.find(path)
	return m.free, told("free", path, err)
}

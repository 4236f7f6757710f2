package disktest_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// put writes a file in steps that a test chooses.
func put(d disk.Disk, path, content string, steps ...func(disk.File) error) error {
	f, err := d.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, content)
	for _, step := range steps {
		if err == nil {
			err = step(f)
		}
	}
	return errors.Join(err, f.Close())
}

func synced(f disk.File) error { return f.Sync() }

func read(d disk.Disk, path string) string {
	b, err := d.ReadFile(path, 1<<20)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// long is content of several sectors, none of which is zero.
func long(c byte) string { return strings.Repeat(string(c), 2000) }

// The same as on a real disk, as long as the power is on.
func TestAsThisComputersDisk(t *testing.T) {
	dir := t.TempDir()
	model := disktest.New()
	if err := model.Disk().MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]disk.Disk{"real": {}, "model": model.Disk()} {
		t.Run(name, func(t *testing.T) { behave(t, d, dir) })
	}
}

func behave(t *testing.T, d disk.Disk, dir string) {
	path := func(name string) string { return dir + "/" + name }
	type result struct {
		what string
		err  error
		want error
	}
	_, missing := d.Open(path("none"))
	_, under := d.Open(path("f") + "/x")
	results := []result{
		{"open nothing", missing, fs.ErrNotExist},
		{"write", put(d, path("f"), "hello"), nil},
		{"remove nothing", d.Remove(path("none")), fs.ErrNotExist},
		{"rename nothing", d.Rename(path("none"), path("f")), fs.ErrNotExist},
		{"folder", d.MkdirAll(path("a/b"), 0o700), nil},
		{"the folder again", d.MkdirAll(path("a/b"), 0o700), nil},
		{"folder over file", d.MkdirAll(path("f"), 0o700), syscall.ENOTDIR},
		{"remove full folder", d.Remove(path("a")), syscall.ENOTEMPTY},
		{"in no folder", put(d, path("no/f"), ""), fs.ErrNotExist},
		{"rename over folder", d.Rename(path("f"), path("a")), syscall.EEXIST},
		{"times", d.Chtimes(path("f"), time.Unix(9, 0), time.Unix(9, 0)), nil},
	}
	if _, err := d.Open(path("f") + "/x"); err != nil {
		under = err
	}
	results = append(results, result{"in a file", under, syscall.ENOTDIR})
	_, taken := d.OpenFile(path("f"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	_, toFolder := d.OpenFile(path("a"), os.O_WRONLY, 0)
	results = append(results, result{"made twice", taken, fs.ErrExist}, result{"write to a folder", toFolder, syscall.EISDIR})
	for _, r := range results {
		if !errors.Is(r.err, r.want) && !(r.what == "rename over folder" && r.err != nil) {
			t.Errorf("%s: %v, want %v", r.what, r.err, r.want)
		}
	}
	f, err := d.OpenFile(path("f"), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Seek(0, io.SeekStart)
	_, werr := io.WriteString(f, ", you")
	end, serr := f.Seek(-3, io.SeekEnd)
	rest, rerr := io.ReadAll(f)
	if err := errors.Join(err, werr, serr, rerr, f.Truncate(7), f.Chmod(0o640), f.Sync()); err != nil || end != 7 || string(rest) != "you" {
		t.Errorf("%q from %d, %v", rest, end, err)
	}
	info, err := f.Stat()
	if err != nil || info.Size() != 7 || info.Mode() != 0o640 || info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
	if err := errors.Join(d.Rename(path("f"), path("g")), f.Close(), d.SyncDir(dir)); err != nil {
		t.Error(err)
	}
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	entries, err := d.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, fmt.Sprint(e.Name(), e.IsDir()))
	}
	if err != nil || !slices.Equal(names, []string{"atrue", "gfalse"}) || read(d, path("g")) != "hello, " {
		t.Errorf("%v, %v, %q", names, err, read(d, path("g")))
	}
	if free, err := d.Free(dir); err != nil || free <= 0 {
		t.Errorf("free: %d, %v", free, err)
	}
	if err := errors.Join(d.RemoveAll(path("a")), d.Remove(path("g"))); err != nil || d.Exists(path("a")) || d.Exists(path("g")) {
		t.Errorf("what was removed is there: %v", err)
	}
}

func TestFates(t *testing.T) {
	// f was synced, then written over and made longer; g is new; h was removed,
	// i renamed to j.
	m := disktest.New()
	d := m.Disk()
	if err := errors.Join(put(d, "/f", "old", synced), put(d, "/h", "h", synced), put(d, "/i", "i", synced), d.SyncDir("/"),
		put(d, "/g", "new"), d.Remove("/h"), d.Rename("/i", "/j")); err != nil {
		t.Fatal(err)
	}
	f, err := d.OpenFile("/f", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, "newer"); err != nil {
		t.Fatal(err)
	}
	const no = "open %s: no such file or directory"
	none := func(path string) string { return fmt.Sprintf(no, path) }
	for fate, want := range map[disktest.Fate][5]string{
		disktest.Kept:     {"newer", "new", none("/h"), none("/i"), "i"},
		disktest.Lost:     {"old", none("/g"), "h", "i", none("/j")},
		disktest.Names:    {"old", "", none("/h"), none("/i"), "i"},
		disktest.Zeros:    {"old\x00\x00", "\x00\x00\x00", none("/h"), none("/i"), "i"},
		disktest.Contents: {"newer", none("/g"), "h", "i", none("/j")},
	} {
		after := m.After(fate, 0).Disk()
		var got [5]string
		for i, path := range []string{"/f", "/g", "/h", "/i", "/j"} {
			got[i] = read(after, path)
		}
		if got != want {
			t.Errorf("%v: %q, want %q", fate, got, want)
		}
	}
}

// All that can come of a torn write does, and the same from the same seed.
func TestTorn(t *testing.T) {
	m := disktest.New()
	if err := errors.Join(put(m.Disk(), "/f", long('a'), synced), m.SyncDir("/"), put(m.Disk(), "/g", long('b'))); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for seed := range uint64(400) {
		got := read(m.After(disktest.Torn, seed).Disk(), "/g")
		if again := read(m.After(disktest.Torn, seed).Disk(), "/g"); again != got {
			t.Fatal("the same seed tells two things")
		}
		switch {
		case strings.HasPrefix(got, "open "):
			got = "no file"
		case got == "":
			got = "empty"
		case got == long('b'):
			got = "whole"
		case strings.Trim(got, "b") == "":
			got = "a beginning"
		case len(got) == 2000 && strings.Trim(got, "\x00") == "":
			got = "zeros"
		case len(got) == 2000:
			got = "some sectors"
		default:
			t.Fatalf("%q", got)
		}
		seen[got]++
		if f := read(m.After(disktest.Torn, seed).Disk(), "/f"); f != long('a') {
			t.Fatal("what was synced is not there")
		}
	}
	if len(seen) != 6 {
		t.Errorf("seen: %v", seen)
	}
}

func TestNothingMovesWithoutPower(t *testing.T) {
	m := disktest.New()
	d := m.Disk()
	m.CutAt(4)
	f, err := d.OpenFile("/f", os.O_RDWR|os.O_CREATE, 0o600) // 1
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(f, "abc")                        // 2
	if err := errors.Join(err, d.SyncDir("/")); err != nil { // 3
		t.Fatal(err)
	}
	if n, err := io.WriteString(f, "defg"); n != 2 || !errors.Is(err, disktest.ErrCut) { // 4
		t.Errorf("%d, %v", n, err)
	}
	select {
	case <-m.Dead():
	default:
		t.Error("it lives on")
	}
	_, stat := d.Lstat("/f")
	_, list := d.ReadDir("/")
	_, free := d.Free("/")
	_, read := f.Read(make([]byte, 1))
	_, seek := f.Seek(0, io.SeekStart)
	_, open := d.Open("/f")
	for i, err := range []error{stat, list, free, read, seek, open, f.Sync(), f.Truncate(0), d.Rename("/f", "/g"), d.Remove("/f"), d.MkdirAll("/d", 0o700)} {
		if !errors.Is(err, disktest.ErrCut) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if ops := m.Ops(); len(ops) != 4 || ops[3].String() != "write 4 bytes to /f" {
		t.Errorf("%v", ops)
	}
	after := m.After(disktest.Kept, 0).Disk()
	if b, err := after.ReadFile("/f", 9); string(b) != "abcde" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fault disktest.Fault
		want  []error // of create, write, sync, rename, another file, its removal
	}{
		"full at the write": {disktest.Fault{At: 2, Err: syscall.ENOSPC}, []error{nil, syscall.ENOSPC, nil, nil, nil, nil}},
		"full from it on":   {disktest.Fault{At: 2, Err: syscall.ENOSPC, Lasting: true}, []error{nil, syscall.ENOSPC, nil, nil, syscall.ENOSPC, fs.ErrNotExist}},
		"full at the sync":  {disktest.Fault{At: 3, Err: syscall.ENOSPC}, []error{nil, nil, syscall.ENOSPC, nil, nil, nil}},
		"a rename needs no room": {disktest.Fault{At: 4, Err: syscall.ENOSPC},
			[]error{nil, nil, nil, nil, nil, nil}},
		"broken":    {disktest.Fault{At: 3, Err: syscall.EIO}, []error{nil, nil, syscall.EIO, nil, nil, nil}},
		"read only": {disktest.Fault{At: 4, Err: syscall.EROFS, Lasting: true}, []error{nil, nil, nil, syscall.EROFS, syscall.EROFS, fs.ErrNotExist}},
	} {
		t.Run(name, func(t *testing.T) {
			m := disktest.New()
			m.Fail(tt.fault)
			d := m.Disk()
			f, err := d.OpenFile("/f", os.O_WRONLY|os.O_CREATE, 0o600)
			got := []error{err}
			_, err = io.WriteString(f, "abcd")
			got = append(got, err, f.Sync(), d.Rename("/f", "/g"))
			_, err = d.OpenFile("/x", os.O_WRONLY|os.O_CREATE, 0o600)
			got = append(got, err, d.Remove("/x"))
			for i, want := range tt.want {
				if !errors.Is(got[i], want) {
					t.Errorf("%d: %v, want %v", i, got[i], want)
				}
			}
		})
	}
}

// After a sync that failed the next one says that all is well, and it is not.
func TestAFailedSyncIsForgotten(t *testing.T) {
	m := disktest.New()
	m.Fail(disktest.Fault{At: 3, Err: syscall.EIO})
	err := put(m.Disk(), "/f", "abc", func(f disk.File) error { return errors.Join(f.Sync(), f.Sync()) })
	if !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := m.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	if got := read(m.Disk(), "/f"); got != "abc" {
		t.Errorf("it is in memory: %q", got)
	}
	for _, fate := range []disktest.Fate{disktest.Lost, disktest.Contents, disktest.Torn} {
		if got := read(m.After(fate, 1).Disk(), "/f"); got != "" {
			t.Errorf("%v: %q", fate, got)
		}
	}
}

// A killed process leaves what it had not synced as unsafe as it was.
func TestKeptIsNotSafe(t *testing.T) {
	m := disktest.New()
	if err := errors.Join(put(m.Disk(), "/f", "old", synced), m.SyncDir("/"), put(m.Disk(), "/g", "new"), m.Rename("/g", "/f")); err != nil {
		t.Fatal(err)
	}
	next := m.After(disktest.Kept, 0)
	if got := read(next.Disk(), "/f"); got != "new" {
		t.Errorf("after a kill: %q", got)
	}
	for fate, want := range map[disktest.Fate]string{disktest.Lost: "old", disktest.Names: "", disktest.Kept: "new"} {
		if got := read(next.After(fate, 0).Disk(), "/f"); got != want {
			t.Errorf("and then a power cut, %v: %q", fate, got)
		}
	}
	f, err := next.OpenFile("/f", os.O_WRONLY, 0)
	if err := errors.Join(err, f.Sync(), next.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	if got := read(next.After(disktest.Lost, 0).Disk(), "/f"); got != "new" {
		t.Errorf("synced by the next process: %q", got)
	}
	if got := read(m.After(disktest.Lost, 0).Disk(), "/f"); got != "old" {
		t.Errorf("the copy is no copy: %q", got)
	}
}

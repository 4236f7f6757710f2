package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// ailing is a disk on which a line of the history can neither be made durable
// nor be taken away again, as often as is left.
type ailing struct {
	disk.Disk
	left int
}

func (a *ailing) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := a.Disk.OpenFile(path, flag, perm)
	if err == nil && filepath.Base(path) == "history.jsonl" && flag&os.O_APPEND != 0 && a.left > 0 {
		a.left--
		return ill{f}, nil
	}
	return f, err
}

type ill struct{ disk.File }

func (ill) Sync() error          { return syscall.EIO }
func (ill) Truncate(int64) error { return syscall.EIO }

// What could not be taken away again is not followed by another line.
func TestALineThatCouldNotBeTakenAway(t *testing.T) {
	a := &ailing{left: 1}
	j, err := OpenOn(disk.On(a), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m, err := j.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Save(m, update.Record{JobID: "j1", Outcome: update.Failed}); err != nil {
		t.Fatal(err)
	}
	if left, err := j.Settle(); left != 1 || !errors.Is(err, syscall.EIO) {
		t.Fatalf("%d left, %v", left, err)
	}
	if left, err := j.Settle(); left != 0 || err != nil {
		t.Fatalf("%d left, %v", left, err)
	}
	if records, err := j.History(0); err != nil || len(records) != 1 {
		t.Errorf("%d records, %v", len(records), err)
	}
	if _, err := j.Verify(); err != nil {
		t.Error(err)
	}
}

// lost is a disk that does not say where a file ends.
type lost struct{ disk.Disk }

func (l lost) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := l.Disk.OpenFile(path, flag, perm)
	if err == nil && flag&os.O_APPEND != 0 {
		return endless{f}, nil
	}
	return f, err
}

type endless struct{ disk.File }

func (endless) Seek(int64, int) (int64, error) { return 0, syscall.EIO }

// Nothing is taken out of a history of which it is not known where it ends.
func TestAHistoryWhoseEndIsNotFound(t *testing.T) {
	dir := t.TempDir()
	for i, d := range []disk.Disk{{}, disk.On(lost{})} {
		j, err := OpenOn(d, dir)
		if err != nil {
			t.Fatal(err)
		}
		m, err := j.Load()
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Save(m, update.Record{JobID: []string{"j1", "j2"}[i], Outcome: update.Failed}); err != nil {
			t.Fatal(err)
		}
		if left, err := j.Settle(); left != i || (err != nil) != (i == 1) {
			t.Fatalf("%d left, %v", left, err)
		}
		if records, err := j.History(0); err != nil || len(records) != 1 {
			t.Errorf("%d records, %v", len(records), err)
		}
	}
}

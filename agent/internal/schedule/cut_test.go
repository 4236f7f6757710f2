package schedule

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// A check that has begun is counted, whatever happens: the file is the old or
// the new, and never damaged.
func TestCuts(t *testing.T) {
	type asked struct{ kept, begun int }
	r := disktest.Sweep(t, "files: schedule", asked{}, func(d disk.Disk, known asked) (asked, error) {
		if err := d.MkdirAll("/state", 0o700); err != nil {
			return known, err
		}
		var said bytes.Buffer
		s := New(Config{Period: time.Hour, File: "/state/schedule.json", Disk: d}, slog.New(slog.NewTextHandler(&said, nil)))
		if said.Len() > 0 {
			return known, unlessPlanned(said.String())
		}
		if s.kept.Failures < known.kept || s.kept.Failures > known.begun {
			return known, fmt.Errorf("%d are counted, %d were kept and %d begun", s.kept.Failures, known.kept, known.begun)
		}
		known.kept = s.kept.Failures
		for range 3 {
			known.begun = s.kept.Failures + 1
			s.begin()
			if said.Len() > 0 {
				return known, unlessPlanned(said.String())
			}
			known.kept = known.begun
		}
		return known, nil
	})
	if r.Points < 500 {
		t.Errorf("too little was tried: %+v", r)
	}
}

// unlessPlanned is what was logged, as the error of the disk that led to it, or
// as one that none did.
func unlessPlanned(said string) error {
	for _, err := range []error{disktest.ErrCut, syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		if strings.Contains(said, err.Error()) {
			return err
		}
	}
	return fmt.Errorf("logged: %s", said)
}

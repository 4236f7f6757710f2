package disktest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// recorder takes the verdicts of a sweep that is to find something.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// versions is what is known of a file that holds the number of its version:
// the last that was acknowledged, and the one that was begun.
type versions struct{ kept, begun int }

// keeping is the life of a program that writes a file three times with replace,
// and must find each version whole.
func keeping(replace func(d disk.Disk, path string, content []byte) error) disktest.Life[versions] {
	return func(d disk.Disk, v versions) (versions, error) {
		if err := d.MkdirAll("/state", 0o700); err != nil {
			return v, err
		}
		b, err := d.ReadFile("/state/f", 1<<20)
		found := 0
		switch {
		case err == nil:
			if _, err := fmt.Sscanf(string(b), "%d", &found); err != nil || string(b) != version(found) {
				return v, fmt.Errorf("damaged: %.20q", b)
			}
		case !errors.Is(err, fs.ErrNotExist):
			return v, err
		}
		if found < v.kept || found > v.begun {
			return v, fmt.Errorf("version %d is there, %d was kept and %d begun", found, v.kept, v.begun)
		}
		v.kept = found
		for range 3 {
			v.begun++
			if err := replace(d, "/state/f", []byte(version(v.begun))); err != nil {
				return v, err
			}
			v.kept = v.begun
		}
		return v, nil
	}
}

func version(n int) string { return strings.Repeat(fmt.Sprintf("%d ", n), 600) }

// aside writes path's content to a file beside it.
func aside(d disk.Disk, path string, content []byte, sync bool) error {
	f, err := d.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// The way that is right survives everything, and each that is known to be wrong
// is found out.
func TestSweepFindsBadWriters(t *testing.T) {
	for name, tt := range map[string]struct {
		write func(d disk.Disk, path string, content []byte) error
		wrong string // "": nothing is
	}{
		"right": {func(d disk.Disk, path string, b []byte) error { return d.WriteFile(path, b, 0o600) }, ""},
		"in place": {func(d disk.Disk, path string, b []byte) error {
			f, err := d.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return err
			}
			_, err = f.Write(b)
			return errors.Join(err, f.Sync(), f.Close(), d.SyncDir("/state"))
		}, "damaged"},
		"rename without a sync": {func(d disk.Disk, path string, b []byte) error {
			return errors.Join(aside(d, path, b, false), d.Rename(path+".new", path), d.SyncDir("/state"))
		}, "damaged"},
		"no sync of the folder": {func(d disk.Disk, path string, b []byte) error {
			if err := aside(d, path, b, true); err != nil {
				return err
			}
			return d.Rename(path+".new", path)
		}, "is there,"},
		"a sync that failed is tried again": {func(d disk.Disk, path string, b []byte) error {
			f, err := d.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.Write(b); err != nil {
				return err
			}
			if f.Sync() != nil {
				if err := f.Sync(); err != nil {
					return err
				}
			}
			return errors.Join(d.Rename(path+".new", path), d.SyncDir("/state"))
		}, "damaged"},
		"errors of a write are passed over": {func(d disk.Disk, path string, b []byte) error {
			f, err := d.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return err
			}
			_, _ = f.Write(b)
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				return err
			}
			return errors.Join(d.Rename(path+".new", path), d.SyncDir("/state"))
		}, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(disktest.ReportEnv, "")
			r := &recorder{TB: t}
			got := disktest.Sweep(r, "writer", versions{}, keeping(tt.write))
			if got.Points < 300 || got.Second < 200 {
				if tt.wrong == "" {
					t.Errorf("too little was tried: %+v", got)
				}
			}
			all := strings.Join(r.errors, "\n")
			if (got.Failures > 0) != (tt.wrong != "") || got.Failures != len(r.errors) || !strings.Contains(all, tt.wrong) {
				t.Fatalf("%d failures, %s", got.Failures, all)
			}
			if tt.wrong == "" {
				return
			}
			// One point alone, as the message says.
			_, point, _ := strings.Cut(r.errors[0], "point ")
			point, _, _ = strings.Cut(point, ": ")
			t.Setenv(disktest.PointEnv, point)
			one := &recorder{TB: t}
			if got := disktest.Sweep(one, "writer", versions{}, keeping(tt.write)); got.Failures != 1 || !strings.Contains(one.errors[0], "point "+point+": ") {
				t.Errorf("again, only %s: %+v, %v", point, got, one.errors)
			}
		})
	}
}

// lines is what is known of a file that is appended to.
type lines struct{ kept, begun int }

func appending(sync bool) disktest.Life[lines] {
	return func(d disk.Disk, l lines) (lines, error) {
		f, err := d.OpenFile("/log", os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return l, err
		}
		defer f.Close()
		if err := d.SyncDir("/"); err != nil {
			return l, err
		}
		b, err := io.ReadAll(f)
		if err != nil {
			return l, err
		}
		whole := strings.Count(string(b), "line\n") // torn ends and zeros are passed over
		if whole < l.kept {
			return l, fmt.Errorf("%d lines are there, %d were kept", whole, l.kept)
		}
		for range 4 {
			l.begun++
			if _, err := io.WriteString(f, "\nline\n"); err != nil {
				return l, err
			}
			if sync {
				if err := f.Sync(); err != nil {
					return l, err
				}
			}
			l.kept++
		}
		return l, nil
	}
}

func TestSweepFindsAppendsThatAreNotSynced(t *testing.T) {
	t.Setenv(disktest.ReportEnv, "")
	if r := disktest.Sweep(t, "lines", lines{}, appending(true)); r.Failures > 0 {
		t.Errorf("%+v", r)
	}
	r := &recorder{TB: t}
	if got := disktest.Sweep(r, "lines", lines{}, appending(false)); got.Failures == 0 || !strings.Contains(r.errors[0], "were kept") {
		t.Errorf("%+v, %v", got, r.errors)
	}
}

// What is no fault of the disk ends the sweep's patience, also in a life that
// is disturbed.
func TestSweepTellsOtherErrors(t *testing.T) {
	t.Setenv(disktest.ReportEnv, "")
	r := &recorder{TB: t}
	got := disktest.Sweep(r, "other", 0, func(d disk.Disk, _ int) (int, error) {
		if err := d.WriteFile("/f", nil, 0o600); errors.Is(err, syscall.EROFS) {
			return 0, errors.New("it fell over")
		} else if err != nil {
			return 0, err
		}
		return 0, nil
	})
	if got.Failures == 0 || !strings.Contains(r.errors[0], "EROFS+: it fell over") {
		t.Errorf("%+v, %v", got, r.errors)
	}
}

func TestReportIsAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report")
	t.Setenv(disktest.ReportEnv, path)
	t.Setenv(disktest.PointEnv, "")
	var want []disktest.Report
	for _, part := range []string{"a", "b"} {
		want = append(want, disktest.Sweep(t, part, 0, func(d disk.Disk, _ int) (int, error) { return 0, d.WriteFile("/f", nil, 0o600) }))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	for _, w := range want {
		var got disktest.Report
		if err := dec.Decode(&got); err != nil || got != w || got.Points == 0 {
			t.Errorf("%+v, %v, want %+v", got, err, w)
		}
	}
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// createNew writes a file that must not exist yet, and syncs it.
func createNew(path string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: it exists and is not overwritten; move it away or name another file", path)
	}
	if err != nil {
		return err
	}
	return finish(f, path, b)
}

// finish writes and syncs f; when that fails it removes path.
func finish(f *os.File, path string, b []byte) error {
	_, err := f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// replace writes path so that it holds its old content or all of b, never
// something in between.
func replace(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".ota-sign-*")
	if err != nil {
		return err
	}
	temp := f.Name()
	if err := finish(f, temp, b); err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(temp, 0o644), os.Rename(temp, path)); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sameFile tells whether two paths name one file.
func sameFile(a, b string) bool {
	ai, errA := os.Stat(a)
	bi, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(ai, bi)
}

// mayReplace keeps an output from taking the place of what it is made of, or
// of something that is no file.
func mayReplace(output string, takes ...string) error {
	for _, taken := range takes {
		if sameFile(taken, output) {
			return fmt.Errorf("the output is the same file as %s; name another output", taken)
		}
	}
	if info, err := os.Stat(output); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("the output %s is no regular file; name a file", output)
	}
	return nil
}

package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// cached is what was read from a file, for as long as that stays the same.
type cached[T any] struct {
	seen  fs.FileInfo
	value T
}

// load gives what the file holds, zero where there is none.
func (c *cached[T]) load(path string, read func() (T, error)) (T, error) {
	var none T
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("release store: %w", err)
	}
	if c.seen != nil && os.SameFile(c.seen, info) && c.seen.ModTime().Equal(info.ModTime()) && c.seen.Size() == info.Size() {
		return c.value, nil
	}
	value, err := read()
	if err != nil {
		return none, err
	}
	c.seen, c.value = info, value
	return value, nil
}

// readBounded reads a file and one byte more than it may have; nil where there
// is none.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("release store: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("release store: %w", err)
	}
	return data, nil
}

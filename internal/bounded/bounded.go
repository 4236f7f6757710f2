// Package bounded reads files of which nobody knows how large they are.
package bounded

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Errors of a file that is not read, wrapped with its path.
var (
	ErrLarge = errors.New("it is too large")
	// ErrOpen says that others may read what is to be a secret.
	ErrOpen = errors.New("others may read it")
)

// File is the content of a file of at most limit bytes.
func File(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return Read(f, path, limit)
}

// Read is File for one that is open already: it is read and closed.
func Read(f io.ReadCloser, path string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrLarge, limit)
	}
	return b, nil
}

// Secret is File for one that nobody but its owner may read.
func Secret(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w: chmod 0600 %s", path, ErrOpen, path)
	}
	return File(path, limit)
}

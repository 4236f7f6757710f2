package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// listing is a file with a list that is replaced as a whole, by this process or another.
type listing[T any] struct {
	path  string
	most  int64                     // bytes
	parse func([]byte) ([]T, error) // of what it holds
	mend  string                    // what to do when it cannot be used

	mu   sync.Mutex // guards what was read
	seen fs.FileInfo
	list []T
}

// load gives what the file holds, without reading it again while it stays the
// same; nothing where there is none. The caller does not change the list.
func (l *listing[T]) load(ctx context.Context) ([]T, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	info, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("release store: %w", err)
	}
	if l.seen != nil && os.SameFile(l.seen, info) && l.seen.ModTime().Equal(info.ModTime()) && l.seen.Size() == info.Size() {
		return l.list, nil
	}
	all, err := l.read()
	if err != nil {
		return nil, err
	}
	l.seen, l.list = info, all
	return all, nil
}

// read reads it from the disk.
func (l *listing[T]) read() ([]T, error) {
	from, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("release store: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(from, l.most+1))
	if err := errors.Join(err, from.Close()); err != nil {
		return nil, fmt.Errorf("release store: %w", err)
	}
	var all []T
	if int64(len(data)) > l.most {
		err = fmt.Errorf("it has more than %d bytes", l.most)
	} else {
		all, err = l.parse(data)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w; %s", l.path, err, l.mend)
	}
	return all, nil
}

// decode reads a file's JSON strictly; number is where its schema goes.
func decode(data []byte, into any, number *int) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if *number != schema {
		return fmt.Errorf("its schema is %d, this program knows %d", *number, schema)
	}
	return nil
}

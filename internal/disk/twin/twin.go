// Package twin keeps what must never go back, such as whose signatures count,
// in two copies. A damaged copy must not bring an older state back and need not
// stop anything: the other counts, the newer where both are whole, and the bad
// one is made anew. What is saved counts once the first copy is durable.
package twin

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// ErrLater is what Decode says of a copy that a later version of the program
// wrote. Then nothing is read and nothing mended.
var ErrLater = errors.New("it was written by a newer agent: install that one again")

// File is a value that lies twice in a folder, as NAME.json and
// NAME.copy.json.
type File[T any] struct {
	Disk disk.Disk
	Dir  string
	Name string
	Max  int64 // bytes that a copy may have
	// Encode writes a copy. Decode reads one, and finds whether it is what was
	// written.
	Encode func(T) ([]byte, error)
	Decode func([]byte) (T, error)
	// Order is negative where a is older than b, 0 where they are the same, and
	// an error where they contradict each other.
	Order func(a, b T) (int, error)
}

// Paths are the two copies.
func (f File[T]) Paths() []string {
	return []string{filepath.Join(f.Dir, f.Name+".json"), filepath.Join(f.Dir, f.Name+".copy.json")}
}

// Prepare makes the folder. What is found in it survives a power cut from then
// on (see disk.Disk.MkdirAll): a save that failed late may have left a file that
// would not.
func (f File[T]) Prepare() error {
	if err := f.Disk.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

// copied is what one copy holds.
type copied[T any] struct {
	path  string
	value T
	err   error // fs.ErrNotExist where there is no such file
}

// Load gives what was saved last, zero where nothing ever was, and mends a copy
// that is not as the other. mended says what was wrong with it; what cannot be
// mended now is mended at the next start. With err it is not known what was
// saved: neither copy can be read, one is ErrLater, or they contradict each
// other.
func (f File[T]) Load() (v T, mended, err error) {
	first, second := f.read(f.Paths()[0]), f.read(f.Paths()[1])
	switch {
	case errors.Is(first.err, ErrLater) || errors.Is(second.err, ErrLater):
		return v, nil, ErrLater
	case errors.Is(first.err, fs.ErrNotExist) && errors.Is(second.err, fs.ErrNotExist):
		return v, nil, nil
	case first.err != nil && second.err != nil:
		return v, nil, errors.Join(first.err, second.err)
	case first.err != nil:
		return second.value, f.mend(first, second), nil
	case second.err != nil:
		return first.value, f.mend(second, first), nil
	}
	switch order, err := f.Order(first.value, second.value); {
	case err != nil:
		return v, nil, err
	case order < 0:
		return second.value, f.mend(first, second), nil
	case order > 0:
		return first.value, f.mend(second, first), nil
	}
	return first.value, nil, nil
}

// mend makes a copy anew from the other, and puts aside what was damaged.
func (f File[T]) mend(bad, good copied[T]) error {
	if bad.err != nil && !errors.Is(bad.err, fs.ErrNotExist) {
		if err := f.Disk.Rename(bad.path, bad.path+".damaged"); err != nil {
			return errors.Join(bad.err, err)
		}
		bad.err = fmt.Errorf("%w; it was put aside as %s.damaged", bad.err, bad.path)
	}
	return errors.Join(bad.err, f.put(bad.path, good.value))
}

// Save makes v what counts. An error leaves what was before; what went wrong
// with the second copy alone does not count, and is told in spare.
func (f File[T]) Save(v T) (spare, err error) {
	if err := f.put(f.Paths()[0], v); err != nil {
		return nil, err
	}
	return f.put(f.Paths()[1], v), nil
}

func (f File[T]) put(path string, v T) error {
	b, err := f.Encode(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Disk.WriteFile(path, b, 0o600)
}

func (f File[T]) read(path string) copied[T] {
	b, err := f.bytes(path)
	if err != nil {
		return copied[T]{path: path, err: err}
	}
	v, err := f.Decode(b)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return copied[T]{path, v, err}
}

func (f File[T]) bytes(path string) ([]byte, error) {
	info, err := f.Disk.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no regular file", path)
	}
	return f.Disk.ReadFile(path, f.Max)
}

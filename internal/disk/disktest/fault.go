package disktest

import (
	"errors"
	"syscall"
)

// Fault is an error that operations answer.
type Fault struct {
	// At is the operation that answers it; of syscall.ENOSPC, if it is one that
	// needs room. A write that answers it has written half.
	At  int
	Err error
	// Lasting: and so do all later ones, of syscall.ENOSPC those that need room.
	Lasting bool
}

// Fail has operations answer an error.
func (m *Model) Fail(f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

// of is what operation o, the nth, answers.
func (f Fault) of(o Op, n int) error {
	switch {
	case f.Err == nil || n < f.At || n > f.At && !f.Lasting:
		return nil
	case errors.Is(f.Err, syscall.ENOSPC) && !o.needsRoom(n == f.At):
		return nil
	}
	return f.Err
}

// needsRoom says whether a full disk stands in the way of an operation. Where
// blocks are given late, the first sync hears of it.
func (o Op) needsRoom(first bool) bool {
	switch o.Kind {
	case "create", "write", "mkdir":
		return true
	case "sync":
		return first
	}
	return false
}

// planned says whether an error comes from a Model that was told to.
func planned(err error) bool {
	for _, of := range []error{ErrCut, syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

package update

import (
	"errors"
	"fmt"
	"slices"
)

// ErrMemory says that a memory does not make sense.
var ErrMemory = errors.New("the update's memory makes no sense")

// Check says whether a memory read from a disk can be worked with.
func (m Memory) Check() error {
	j := m.Job
	switch {
	case m.Schema < 1:
		return fmt.Errorf("%w: schema %d", ErrMemory, m.Schema)
	case !slices.Contains(States(), j.State):
		return fmt.Errorf("%w: unknown state %q", ErrMemory, j.State)
	case j.State != Idle && j.ID == "":
		return fmt.Errorf("%w: state %s without a job", ErrMemory, j.State)
	case j.State == RollingBack && (j.From.Slot == "" || j.To == ""):
		return fmt.Errorf("%w: rolling back from %q to %q", ErrMemory, j.To, j.From.Slot)
	}
	return nil
}

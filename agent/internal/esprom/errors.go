package esprom

import (
	"errors"
	"fmt"
)

// Sentinels for decisions. Wrapped by the errors that carry the details.
var (
	// ErrDead: the port itself failed (device gone, read or write error, EOF).
	// No retry on this port can help.
	ErrDead = errors.New("serial port failed")
	// ErrSilent: the chip stopped answering. The cable may be out, the chip
	// without power, or in another mode.
	ErrSilent = errors.New("chip does not answer")
	// ErrNoise: bytes come, but not as sound frames, at every speed tried.
	ErrNoise = errors.New("line too noisy")
	// ErrMismatch: the flash does not hold what was written to it.
	ErrMismatch = errors.New("flash content differs from what was written")
	// ErrRange: offset or length outside the flash, or not aligned.
	ErrRange = errors.New("flash range")
)

// CommandError is a command that the chip answered with a failure.
type CommandError struct {
	Op     byte // opcode
	Status byte // first status byte, not 0
	Code   byte // second status byte: the reason
	Stub   bool // whose reason codes these are
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("command %#02x failed: status %#02x, code %#02x", e.Op, e.Status, e.Code)
}

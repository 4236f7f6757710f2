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
	ErrNoise = errors.New("serial line too noisy")
	// ErrMismatch: the flash does not hold what was written to it.
	ErrMismatch = errors.New("flash content differs from what was written")
	// ErrRange: offset or length outside the flash, or not aligned.
	ErrRange = errors.New("not a valid flash range")

	// errBadReply: a reply that is no answer to what was asked.
	errBadReply = errors.New("malformed reply")
)

// CommandError is a command that the chip answered with a failure.
type CommandError struct {
	Op   byte // opcode
	Code byte // the reason
	Stub bool // the stub answered, not the ROM
}

// Error names command, loader and reason.
func (e *CommandError) Error() string {
	who := "ROM loader"
	if e.Stub {
		who = "stub loader"
	}
	return fmt.Sprintf("%s: the %s answered %s (code %#02x)", opName(e.Op), who, codeText(e.Code), e.Code)
}

// Reason codes.
const (
	romFormat   = 0x05
	romChecksum = 0x07

	stubLength    = 0xC0
	stubChecksum  = 0xC1
	stubBlockSize = 0xC2
	stubUnknownOp = 0xC3
	stubSPI       = 0xC4
	stubNoFlash   = 0xC6
	stubInflate   = 0xC7
	stubTooLittle = 0xC8
	stubTooMuch   = 0xC9
	stubNoCommand = 0xFF
)

var codeTexts = map[byte]string{
	romFormat:     "that the message is not valid, or out of sequence",
	0x06:          "that it could not act on the message, perhaps for an address outside the flash",
	romChecksum:   "that the checksum is wrong",
	0x08:          "that the flash reads back other than written",
	0x09:          "that it could not read",
	0x0A:          "that the read length is not allowed",
	0x0B:          "that inflating failed",
	0x0C:          "that the deflated data fail their Adler-32 check",
	0x0D:          "that a parameter of the deflated transfer is wrong",
	stubLength:    "that the message has the wrong length",
	stubChecksum:  "that the checksum is wrong",
	stubBlockSize: "that the block size is wrong",
	stubUnknownOp: "that it does not know the command",
	stubSPI:       "that the flash chip failed to read, erase or write",
	0xC5:          "that the flash could not be unlocked",
	stubNoFlash:   "that no flash transfer is under way",
	stubInflate:   "that inflating failed",
	stubTooLittle: "that data are missing",
	stubTooMuch:   "that there are more data than announced",
	stubNoCommand: "that it lacks the command",
}

func codeText(code byte) string {
	if t, ok := codeTexts[code]; ok {
		return t
	}
	return "with an unknown failure"
}

// Refusal says why a chip must not be written.
type Refusal string

// Refusals.
const (
	RefusedSecureDownload  Refusal = "secure_download"
	RefusedFlashEncryption Refusal = "flash_encryption"
	RefusedOtherChip       Refusal = "other_chip"
	RefusedUnknownChip     Refusal = "unknown_chip"
)

// RefusedError is a chip that answers but must not be written. Nothing was
// changed on it.
type RefusedError struct {
	Reason Refusal
	Detail string // what was found and what would lift the refusal
}

// Error says what was found and what would lift the refusal.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("chip refused (%s): %s", e.Reason, e.Detail)
}

// Code is the refusal for machines.
func (e *RefusedError) Code() string { return string(e.Reason) }

// Final tells that trying again changes nothing.
func (e *RefusedError) Final() bool { return true }

// ConnectError: no loader answered.
type ConnectError struct {
	Attempts int
	Heard    Heard  // what came instead
	Sample   string // the end of it, printable, at most 80 bytes
	Reset    error  // what the last reset that failed said; may be nil
}

// Error says what was heard instead and what to look at.
func (e *ConnectError) Error() string {
	s := fmt.Sprintf("no bootloader answered in %d attempts: %s", e.Attempts, e.Heard.advice())
	if e.Sample != "" {
		s += fmt.Sprintf(" (heard %q)", e.Sample)
	}
	if e.Reset != nil {
		s += fmt.Sprintf("; resetting the chip failed: %v", e.Reset)
	}
	return s
}

// Code is the failure for machines.
func (e *ConnectError) Code() string { return "no_bootloader" }

// Unwrap gives ErrSilent or ErrNoise, and the reset's error if there was one.
func (e *ConnectError) Unwrap() []error {
	kind := ErrSilent
	if e.Heard == HeardGarbage {
		kind = ErrNoise
	}
	if e.Reset == nil {
		return []error{kind}
	}
	return []error{kind, e.Reset}
}

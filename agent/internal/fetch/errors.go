package fetch

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// ErrNotStored says that an image that was to be verified is not there (any
// more). It has to be downloaded again.
var ErrNotStored = errors.New("the image is not in the store; it has to be downloaded again")

// A RefusedError says that an offer is not fetched, or an answer not taken,
// whatever is tried.
type RefusedError struct {
	code string
	text string
}

func (e *RefusedError) Error() string { return e.text }

// Code names the refusal for machines: url_refused, bad_offer, too_large,
// size_mismatch, size_unknown, endless_data, encoded, unsafe_store, bad_patch;
// of files on this robot: file_refused, file_unreadable, no_image.
func (e *RefusedError) Code() string { return e.code }

// Attack that the refusal withstands, in the words of TUF; "" where the cause is
// more likely a mistake.
func (e *RefusedError) Attack() string {
	switch e.code {
	case "endless_data", "too_large", "size_unknown":
		return "endless data"
	case "size_mismatch":
		return "mix-and-match"
	}
	return ""
}

// Final: it does not help to try again.
func (*RefusedError) Final() bool { return true }

func refusef(code, format string, args ...any) error {
	return &RefusedError{code: code, text: fmt.Sprintf(format, args...)}
}

// A HashError says that the downloaded file is not the one that was offered.
type HashError struct {
	Want, Got string // SHA-256 in hex
}

func (e *HashError) Error() string {
	return fmt.Sprintf("the downloaded file has the SHA-256 %s, offered was %s: the file on the server is another one, or was changed on its way", e.Got, e.Want)
}

// Code names the failure for machines.
func (*HashError) Code() string { return "file_hash" }

// Attack that it withstands.
func (*HashError) Attack() string { return "mix-and-match" }

// Final: it was tried again already where that could help.
func (*HashError) Final() bool { return true }

// A DiskFullError says that there is no room for the image.
type DiskFullError struct {
	Dir        string
	Need, Free int64 // bytes
	Cause      error // of a write that failed; nil: found beforehand
}

func (e *DiskFullError) Error() string {
	s := fmt.Sprintf("not enough disk space in %s: %s needed (reserve included), %s free; make room there",
		e.Dir, human(e.Need), human(e.Free))
	if e.Cause != nil {
		s += fmt.Sprintf(" (%v)", e.Cause)
	}
	return s
}

func (e *DiskFullError) Unwrap() error { return e.Cause }

// Code names the failure for machines.
func (*DiskFullError) Code() string { return "disk_full" }

// Final: somebody has to make room.
func (*DiskFullError) Final() bool { return true }

// noRoom says that a write failed for want of space, quota or file size.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// An InterruptedError says that a transfer ended early. What came is kept.
type InterruptedError struct {
	Done, Size int64 // bytes
	Cause      error
}

func (e *InterruptedError) Error() string {
	return fmt.Sprintf("the transfer stopped at %d of %d bytes: %v", e.Done, e.Size, e.Cause)
}

func (e *InterruptedError) Unwrap() error { return e.Cause }

// Code names the failure for machines.
func (*InterruptedError) Code() string { return "transfer_interrupted" }

// Final: the rest may come.
func (*InterruptedError) Final() bool { return false }

// A tooSlow transfer is as bad as none.
type tooSlow struct {
	got  int64
	over time.Duration
}

func (e *tooSlow) Error() string {
	return fmt.Sprintf("only %d bytes came in %v, which is too slow", e.got, e.over)
}

// Attack that giving up on it withstands.
func (*tooSlow) Attack() string { return "slow retrieval" }

// An oddAnswer contradicts the request or itself. What is held is of no use
// then: the file is asked for from its beginning.
type oddAnswer struct{ text string }

func (e *oddAnswer) Error() string { return e.text }

// Code names the failure for machines.
func (*oddAnswer) Code() string { return "odd_answer" }

// Final: another replica may know better.
func (*oddAnswer) Final() bool { return false }

func oddf(format string, args ...any) error { return &oddAnswer{fmt.Sprintf(format, args...)} }

// A GaveUpError ends a download after many tries; it wraps what the last one
// died of.
type GaveUpError struct {
	Tries int
	For   time.Duration // since the last new byte
	Cause error
}

func (e *GaveUpError) Error() string {
	tries := "1 try"
	if e.Tries != 1 {
		tries = fmt.Sprintf("%d tries", e.Tries)
	}
	return fmt.Sprintf("gave up after %s and %v without progress: %v", tries, e.For.Round(time.Second), e.Cause)
}

func (e *GaveUpError) Unwrap() error { return e.Cause }

// transient: the same may work the next time.
func transient(err error) bool {
	var f interface{ Final() bool }
	return errors.As(err, &f) && !f.Final()
}

// human writes a size for people.
func human(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

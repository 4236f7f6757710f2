package tuf

import (
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Code names, for machines, why metadata or a file was refused. The texts are
// published: they never change their meaning.
type Code string

// Reasons of a refusal.
const (
	Malformed  Code = "metadata_malformed"      // no TUF document, or one that says impossible things
	TooLarge   Code = "metadata_too_large"      // longer than it may be
	Expired    Code = "metadata_expired"        // nothing newer was signed in time
	OlderThan  Code = "metadata_older"          // of a lower version than what was accepted before
	Mismatch   Code = "metadata_mismatch"       // another document than the one that names it says
	TooFew     Code = "metadata_too_few_keys"   // not signed by as many keys of its role as have to
	Absent     Code = "metadata_absent"         // the server has no such document
	NotListed  Code = "metadata_not_listed"     // the file is none that the owner stands for
	OtherFile  Code = "metadata_other_file"     // the version is listed, with another file
	Withdrawn  Code = "metadata_withdrawn"      // the owner stands for it no more
	Clock      Code = "metadata_clock"          // this computer's clock was never set
	Damaged    Code = "metadata_damaged"        // what was accepted before cannot be read any more
	OtherFleet Code = "metadata_other_fleet"    // the configured root and the accepted one contradict each other
	NoRoot     Code = "metadata_root_unusable"  // the operator's root document cannot be used
	NotNeeded  Code = "metadata_already_taken"  // a version that is there already, with other content
	NotInOrder Code = "metadata_not_next"       // not the version that comes next
	TooFast    Code = "metadata_version_jumped" // a version beyond every count
)

// Attack names the attack that the refusal withstands; "" where the cause is
// more likely a mistake.
func (c Code) Attack() string {
	switch c {
	case TooLarge:
		return "endless data"
	case Expired:
		return "freeze"
	case OlderThan:
		return "roll-back or replay"
	case Mismatch, OtherFile:
		return "mix-and-match"
	case TooFew:
		return "key compromise"
	case NotListed:
		return "arbitrary target"
	case TooFast:
		return "fast-forward"
	default:
		return ""
	}
}

// Refused is what was refused, and why.
type Refused struct {
	Reason Code
	Detail string // what was found, what was wanted and, where something helps, what to do
}

// Error names the code and the detail.
func (e *Refused) Error() string {
	if a := e.Reason.Attack(); a != "" {
		return fmt.Sprintf("release metadata refused (%s, %s attack): %s", e.Reason, a, e.Detail)
	}
	return fmt.Sprintf("release metadata refused (%s): %s", e.Reason, e.Detail)
}

// Code names the refusal for machines.
func (e *Refused) Code() string { return string(e.Reason) }

// Final: asking again at once changes nothing.
func (*Refused) Final() bool { return true }

func refused(code Code, format string, args ...any) *Refused {
	return &Refused{Reason: code, Detail: fmt.Sprintf(format, args...)}
}

// explained turns go-tuf's verdict on a document into a refusal.
func explained(role string, err error) error {
	var (
		expired  *metadata.ErrExpiredMetadata
		version  *metadata.ErrBadVersionNumber
		unsigned *metadata.ErrUnsignedMetadata
		length   *metadata.ErrLengthOrHashMismatch
		r        *Refused
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		return err
	case errors.As(err, &expired):
		return refused(Expired, "%s", expired.Msg)
	case errors.As(err, &version):
		return refused(OlderThan, "%s: %s", role, version.Msg)
	case errors.As(err, &unsigned):
		return refused(TooFew, "%s: %s", role, unsigned.Msg)
	case errors.As(err, &length):
		return refused(Mismatch, "%s: %s", role, length.Msg)
	}
	return refused(Malformed, "%s: %v", role, err)
}

package keyring

import "fmt"

// Code names, for machines, why a document was refused. The texts are
// published: they never change their meaning.
type Code string

// Reasons of a refusal.
const (
	Malformed      Code = "keyring_malformed"           // no keyring document, or one that says impossible things
	NotNewer       Code = "keyring_not_newer"           // older than the one in force
	Conflict       Code = "keyring_conflict"            // the version in force, with other content
	ForeignKey     Code = "keyring_foreign_key"         // signed by no trusted key
	RevokedKey     Code = "keyring_revoked_key"         // signed by a key that is revoked
	BadSignature   Code = "keyring_bad_signature"       // a trusted key is named whose signature it is not
	TooFew         Code = "keyring_too_few_signatures"  // signed by fewer trusted keys than have to
	ForgetsRevoked Code = "keyring_forgets_revocation"  // a revocation of the one in force is missing
	LeavesNoKey    Code = "keyring_leaves_no_key"       // no trusted key would be left
	LeavesTooFew   Code = "keyring_leaves_too_few_keys" // too few to accept another document ever
)

// Attack names the attack that the refusal withstands; "" where the cause is
// more likely a mistake.
func (c Code) Attack() string {
	switch c {
	case NotNewer:
		return "roll-back or replay"
	case Conflict:
		return "mix-and-match"
	case ForeignKey, BadSignature:
		return "arbitrary keyring"
	case RevokedKey, TooFew:
		return "key compromise"
	default:
		return ""
	}
}

// Refused is what was refused of a document, and why.
type Refused struct {
	Code   Code
	Detail string // what was found, what was wanted and, where something helps, what to do
}

// Error names the code and the detail.
func (e *Refused) Error() string {
	return fmt.Sprintf("keyring refused (%s): %s", e.Code, e.Detail)
}

func refused(code Code, format string, args ...any) error {
	return &Refused{Code: code, Detail: fmt.Sprintf(format, args...)}
}

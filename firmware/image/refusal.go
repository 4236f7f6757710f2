package image

import "fmt"

// RefusalCode names, for machines, why an image was refused. The texts are
// published and stored: they never change their meaning.
type RefusalCode string

// Reasons of a refusal, in the order in which [Verify] looks for them.
const (
	RefusedNotAnImage RefusalCode = "not_an_image"     // no container header, or a malformed one
	RefusedSize       RefusalCode = "size"             // header and file disagree on the size
	RefusedUnsigned   RefusalCode = "unsigned"         // the signature field is empty
	RefusedHash       RefusalCode = "hash"             // payload and header disagree
	RefusedSignature  RefusalCode = "signature"        // not signed by a known key
	RefusedRevoked    RefusalCode = "key_revoked"      // signed by a key that is revoked
	RefusedApp        RefusalCode = "app"              // signed, but no whole ESP32 app image
	RefusedVersion    RefusalCode = "version_mismatch" // header or request disagree with the signed version
	RefusedChip       RefusalCode = "chip"             // for another chip
	RefusedSKU        RefusalCode = "sku"              // for another SKU
	RefusedDowngrade  RefusalCode = "downgrade"        // older than what runs
	RefusedTooLarge   RefusalCode = "too_large"        // does not fit the slot
)

// Attack names the attack that the refusal withstands, in the words of TUF and
// Uptane; "" where the cause is more likely a mistake.
func (c RefusalCode) Attack() string {
	switch c {
	case RefusedNotAnImage, RefusedUnsigned, RefusedHash, RefusedSignature:
		return "arbitrary image"
	case RefusedRevoked:
		return "key compromise"
	case RefusedSize:
		return "endless data or truncation"
	case RefusedVersion:
		return "mix-and-match"
	case RefusedChip, RefusedSKU:
		return "wrong target"
	case RefusedDowngrade:
		return "roll-back"
	case RefusedApp, RefusedTooLarge:
		return ""
	default:
		return ""
	}
}

// Refused is the error of [Verify]: what was refused and why.
type Refused struct {
	Code   RefusalCode
	Detail string // what was found, what was wanted and, where something helps, what to do
}

// Error names the code and the detail.
func (e *Refused) Error() string {
	return fmt.Sprintf("image refused (%s): %s", e.Code, e.Detail)
}

// Attack that the refusal withstands: see [RefusalCode.Attack].
func (e *Refused) Attack() string { return e.Code.Attack() }

// Final: the same image is refused again.
func (*Refused) Final() bool { return true }

func refused(code RefusalCode, format string, args ...any) error {
	return &Refused{Code: code, Detail: fmt.Sprintf(format, args...)}
}

package image

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Policy is what a robot, or who publishes for robots, asks of a genuine
// image.
type Policy struct {
	Chip           ChipID         // the robot's chip; AnyChip: not asked. NB the zero value is ESP32
	SKU            string         // the robot's SKU; "": not asked. An image that names no SKU is accepted
	Version        compat.Version // the version that was requested or offered; zero: any
	Running        compat.Version // what runs now; zero: unknown, which disables the downgrade check
	AllowDowngrade bool
	MaxSize        uint32 // size of the slot in bytes; 0: no bound but MaxImageSize
}

// Verified is an image that [Verify] or [Take] has accepted. It owns its bytes.
// The zero value holds no image.
type Verified struct {
	version compat.Version
	app     App
	payload []byte
	sum     [32]byte
	md5     [16]byte
	keyID   string
}

// Version is the version that the signed app description names.
func (v Verified) Version() compat.Version { return v.version }

// Size is the payload's size in bytes.
func (v Verified) Size() uint32 { return uint32(len(v.payload)) }

// Payload reads the app image, the bytes to flash, from the start. Each call
// gives a fresh reader.
func (v Verified) Payload() *bytes.Reader { return bytes.NewReader(v.payload) }

// Bytes is the payload itself, for those that need all of it at once and only
// read: a copy would be as much memory again. Whoever changed it would change what
// was verified; the chip's MD5 then is not [Verified.MD5].
func (v Verified) Bytes() []byte { return v.payload[:len(v.payload):len(v.payload)] }

// SHA256 is the hash of the payload, which the signature covers.
func (v Verified) SHA256() [32]byte { return v.sum }

// MD5 is the payload's MD5, with which the chip's bootloader reports what its
// flash holds. It finds write errors; it proves nothing else.
func (v Verified) MD5() [16]byte { return v.md5 }

// App is what the app image says of itself.
func (v Verified) App() App { return v.app }

// KeyID is the ID of the key that signed the image.
func (v Verified) KeyID() string { return v.keyID }

// IsZero tells whether there is no image.
func (v Verified) IsZero() bool { return v.payload == nil }

// Verify checks a whole signed file; it and [Take] are the only ways to a
// [Verified]. Its error is a [*Refused]. The result holds a copy, made before the
// first check so that nobody can change it in between.
//
// The signature proves who made the payload; p says whether the payload is the
// one for this robot. Until the signature is proven nothing of the payload is
// interpreted, and the header decides nothing but where to look.
func Verify(signed []byte, keys Keyring, p Policy) (Verified, error) {
	if len(signed) <= maxSigned {
		signed = bytes.Clone(signed)
	}
	return Take(signed, keys, p)
}

// Take is Verify without the copy: signed becomes the result's, and nobody may
// change it from then on.
func Take(signed []byte, keys Keyring, p Policy) (Verified, error) {
	v, h, err := authenticate(signed, keys)
	if err != nil {
		return Verified{}, err
	}
	if v.app, err = ParseApp(v.payload); err != nil {
		return Verified{}, refused(RefusedApp, "%v", err)
	}
	if v.version, err = compat.ParseVersion(v.app.Desc.Version); err != nil {
		return Verified{}, refused(RefusedApp, "the version in its app description: %v; set PROJECT_VER in the firmware's build", err)
	}
	if h.Version != v.version {
		return Verified{}, refused(RefusedVersion, "the header says version %v, the signed app description %v: the header was changed after signing", h.Version, v.version)
	}
	if err := p.check(v); err != nil {
		return Verified{}, err
	}
	return v, nil
}

// maxSigned is the size of the largest signed file in bytes.
const maxSigned = HeaderSize + MaxImageSize

// authenticate proves that a known key signed the payload.
func authenticate(signed []byte, keys Keyring) (Verified, Header, error) {
	fail := func(code RefusalCode, format string, args ...any) (Verified, Header, error) {
		return Verified{}, Header{}, refused(code, format, args...)
	}
	if len(signed) > maxSigned {
		return fail(RefusedSize, "%d bytes are more than the largest image of %d", len(signed), maxSigned)
	}
	h, err := ParseHeader(signed)
	if err != nil {
		return fail(RefusedNotAnImage, "%v", err)
	}
	payload := signed[HeaderSize:]
	if uint64(h.ImageSize) != uint64(len(payload)) {
		return fail(RefusedSize, "the header says %d bytes, %d follow it: the file was cut or extended", h.ImageSize, len(payload))
	}
	if h.Signature == [64]byte{} {
		return fail(RefusedUnsigned, "the signature is empty; sign the image with ota-sign")
	}
	sum := sha256.Sum256(payload)
	if sum != h.SHA256 {
		return fail(RefusedHash, "the image's SHA-256 is %x, the header says %x: the file was changed or damaged", sum[:8], h.SHA256[:8])
	}
	key, ok := signer(keys.keys, sum, h.Signature)
	if !ok {
		if gone, was := signer(keys.revoked, sum, h.Signature); was {
			return fail(RefusedRevoked, "signed by key %s, which is revoked; sign it anew with another key", gone.ID)
		}
		return fail(RefusedSignature, "not signed by a known key (known: %v)", keys)
	}
	return Verified{payload: payload, sum: sum, md5: md5.Sum(payload), keyID: key.ID}, h, nil
}

// check compares a genuine image with what the robot needs.
func (p Policy) check(v Verified) error {
	sku := v.app.Desc.SKU()
	switch {
	case !p.Version.IsZero() && v.version != p.Version:
		return refused(RefusedVersion, "it is version %v, requested was %v", v.version, p.Version)
	case p.Chip != AnyChip && v.app.Chip != p.Chip:
		return refused(RefusedChip, "it is built for %v, this robot has %v", v.app.Chip, p.Chip)
	case p.SKU != "" && sku != "" && sku != p.SKU:
		return refused(RefusedSKU, "it is built for SKU %q, this robot is %q", sku, p.SKU)
	case !p.AllowDowngrade && v.version.Compare(p.Running) < 0:
		return refused(RefusedDowngrade, "it is version %v, older than the running %v; a downgrade has to be allowed explicitly", v.version, p.Running)
	case p.MaxSize != 0 && v.Size() > p.MaxSize:
		return refused(RefusedTooLarge, "it has %d bytes, the slot %d", v.Size(), p.MaxSize)
	}
	return nil
}

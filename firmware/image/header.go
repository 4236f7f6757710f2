package image

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

const (
	// HeaderSize is the size of the container header in bytes.
	HeaderSize = 136
	// MaxImageSize is the largest payload in bytes. A slot of the fleet holds
	// 2 MiB, the largest flash of the family's boards 16 MiB.
	MaxImageSize = 16 << 20

	// Magic is the container's first word, little-endian in the file.
	Magic = 0x524F424F
)

// Places of the container header's fields.
const (
	offVersion   = 4
	offSize      = 8
	offSHA256    = 12
	offSignature = 44
	offReserved  = 108
)

// ErrNotSigned says that the bytes do not begin with a container header.
var ErrNotSigned = errors.New("not a signed image")

// Header is the container header. It is not signed: nothing in it may decide
// anything before [Verify] has compared it with the payload.
type Header struct {
	Version   compat.Version
	ImageSize uint32   // bytes after the header, 1 to MaxImageSize
	SHA256    [32]byte // of the payload
	Signature [64]byte // r‖s over SHA256, big-endian
}

// ParseHeader reads the header at the start of b; what follows it is not
// looked at. It refuses a wrong magic, an image size of 0 or above
// [MaxImageSize] and reserved bytes other than 0. Its errors wrap
// [ErrNotSigned].
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes are too few for a header of %d", ErrNotSigned, len(b), HeaderSize)
	}
	if m := binary.LittleEndian.Uint32(b); m != Magic {
		return Header{}, fmt.Errorf("%w: it begins with %#08x instead of %#08x", ErrNotSigned, m, uint32(Magic))
	}
	h := Header{
		Version:   compat.FromPacked(binary.LittleEndian.Uint32(b[offVersion:])),
		ImageSize: binary.LittleEndian.Uint32(b[offSize:]),
		SHA256:    [32]byte(b[offSHA256:offSignature]),
		Signature: [64]byte(b[offSignature:offReserved]),
	}
	if h.ImageSize == 0 || h.ImageSize > MaxImageSize {
		return Header{}, fmt.Errorf("%w: the header gives an image size of %d, want 1 to %d", ErrNotSigned, h.ImageSize, MaxImageSize)
	}
	for i, c := range b[offReserved:HeaderSize] {
		if c != 0 {
			return Header{}, fmt.Errorf("%w: reserved byte %d of the header is %#02x, want 0", ErrNotSigned, i, c)
		}
	}
	return h, nil
}

// AppendTo appends the header's 136 bytes to b.
func (h Header) AppendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, Magic)
	b = binary.LittleEndian.AppendUint32(b, h.Version.Packed())
	b = binary.LittleEndian.AppendUint32(b, h.ImageSize)
	b = append(b, h.SHA256[:]...)
	b = append(b, h.Signature[:]...)
	return append(b, make([]byte, HeaderSize-offReserved)...)
}

package delta

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/robot-platform/robot-ota/firmware/image"
)

const (
	// MaxSize is the size of the largest image, of base and result, in bytes.
	MaxSize = image.HeaderSize + image.MaxImageSize
	// HeaderSize is the size of a patch's header in bytes.
	HeaderSize = 100

	magic   = "RODL"
	version = 1
	streams = 5
)

// Bounds of what a patch unpacks to.
const (
	maxSteps    = 1 << 17
	maxSegments = 16
	maxGap      = MaxSize
)

// ErrPatch says that a patch makes no sense, or is not one for that base.
var ErrPatch = errors.New("the patch cannot be used")

func badf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrPatch, fmt.Errorf(format, args...))
}

// Header is what a patch says it is. Nothing in it is proven.
type Header struct {
	Base, Result         [32]byte // SHA-256
	BaseSize, ResultSize uint32   // bytes, 1 to MaxSize

	stream [streams]uint32 // their sizes
}

// ParseHeader reads the header at the start of a patch of size bytes. Its
// errors wrap [ErrPatch].
func ParseHeader(b []byte, size int64) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, badf("%d bytes are too few", len(b))
	}
	u32 := binary.LittleEndian.Uint32
	h := Header{BaseSize: u32(b[8:]), ResultSize: u32(b[12:]), Base: [32]byte(b[16:48]), Result: [32]byte(b[48:80])}
	total := int64(HeaderSize)
	for i := range h.stream {
		h.stream[i] = u32(b[80+4*i:])
		total += int64(h.stream[i])
	}
	switch {
	case string(b[:4]) != magic:
		return Header{}, badf("it begins with %q", b[:4])
	case b[4] != version || b[5]|b[6]|b[7] != 0:
		return Header{}, badf("it is of version %d, this program knows %d", b[4], version)
	case h.BaseSize == 0 || h.BaseSize > MaxSize || h.ResultSize == 0 || h.ResultSize > MaxSize:
		return Header{}, badf("it is from %d to %d bytes, images have 1 to %d", h.BaseSize, h.ResultSize, MaxSize)
	case total != size:
		return Header{}, badf("it should have %d bytes and has %d", total, size)
	}
	return h, nil
}

// appendTo appends the header's bytes.
func (h Header) appendTo(b []byte) []byte {
	b = append(b, magic...)
	b = append(b, version, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, h.BaseSize)
	b = binary.LittleEndian.AppendUint32(b, h.ResultSize)
	b = append(b, h.Base[:]...)
	b = append(b, h.Result[:]...)
	for _, n := range h.stream {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// script is how the result comes from the base.
type script struct {
	kinds        kinds
	base, result []segment
	steps        []step
}

// encode writes a script as the stream of steps holds it.
func (s script) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(s.kinds))
	for _, list := range [][]segment{s.base, s.result} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, g := range list {
			b = binary.AppendUvarint(b, uint64(g.offset))
			b = binary.AppendUvarint(b, uint64(g.addr))
			b = binary.AppendUvarint(b, uint64(g.size))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s.steps)))
	for _, x := range s.steps {
		b = binary.AppendUvarint(b, uint64(x.copied))
	}
	for _, x := range s.steps {
		b = binary.AppendUvarint(b, uint64(x.literal))
	}
	for _, x := range s.steps {
		b = binary.AppendVarint(b, x.seek)
	}
	return b
}

// readScript reads a script for images of these sizes, and checks that it makes
// the whole result and copies from nowhere but the base.
func readScript(r *reader, base, result uint32) (script, error) {
	var s script
	s.kinds = kinds(r.number(uint64(allKinds)))
	s.base = r.segments(base)
	s.result = r.segments(result)
	n := r.number(maxSteps)
	if r.err != nil {
		return script{}, r.err
	}
	s.steps = make([]step, n)
	for i := range s.steps {
		s.steps[i].copied = uint32(r.number(uint64(result)))
	}
	for i := range s.steps {
		s.steps[i].literal = uint32(r.number(uint64(result)))
	}
	var from, to int64
	for i := range s.steps {
		x := &s.steps[i]
		x.seek = r.signed()
		from += int64(x.copied)
		to += int64(x.copied) + int64(x.literal)
		switch {
		case r.err != nil:
			return script{}, r.err
		case from > int64(base) || to > int64(result):
			return script{}, badf("step %d leads outside of the images", i)
		case x.seek < -from || x.seek > int64(base)-from:
			return script{}, badf("step %d seeks outside of the base", i)
		}
		from += x.seek
	}
	if to != int64(result) {
		return script{}, badf("its steps make %d of %d bytes", to, result)
	}
	return s, nil
}

// segments reads a table of segments of an image of size bytes.
func (r *reader) segments(size uint32) []segment {
	out := make([]segment, r.number(maxSegments))
	for i := range out {
		g := segment{offset: uint32(r.number(uint64(size))), addr: uint32(r.number(1<<32 - 1)), size: uint32(r.number(uint64(size)))}
		if uint64(g.offset)+uint64(g.size) > uint64(size) || uint64(g.addr)+uint64(g.size) > 1<<32 {
			r.fail(badf("segment %d lies outside of the image", i))
		}
		out[i] = g
	}
	return out
}

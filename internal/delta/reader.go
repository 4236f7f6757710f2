package delta

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// window is how far back Zstandard may look, in bytes, and with that what a
// stream takes of memory while it is unpacked.
const window = 512 << 10

// reader unpacks one stream. The first error stays.
type reader struct {
	zip *zstd.Decoder
	in  *bufio.Reader
	err error
}

func newReader(packed io.Reader) (*reader, error) {
	zip, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(2*MaxSize))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return &reader{zip: zip, in: bufio.NewReader(zip)}, nil
}

func (r *reader) close() {
	if r.zip != nil {
		r.zip.Close()
	}
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// number reads a number of at most limit; 0 after an error.
func (r *reader) number(limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(r.in)
	switch {
	case err != nil:
		r.fail(badf("a stream is cut or damaged: %v", err))
		return 0
	case n > limit:
		r.fail(badf("a number is %d, at most %d is possible", n, limit))
		return 0
	}
	return n
}

func (r *reader) signed() int64 {
	if r.err != nil {
		return 0
	}
	n, err := binary.ReadVarint(r.in)
	if err != nil {
		r.fail(badf("a stream is cut or damaged: %v", err))
		return 0
	}
	return n
}

// fill reads as many bytes as b has.
func (r *reader) fill(b []byte) {
	if r.err != nil {
		return
	}
	if _, err := io.ReadFull(r.in, b); err != nil {
		r.fail(badf("a stream is cut or damaged: %v", err))
	}
}

// end makes sure that nothing is left.
func (r *reader) end() error {
	if r.err != nil {
		return r.err
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return badf("a stream is longer than it is used")
	}
	return nil
}

// pack makes the streams.
func pack(in [streams][]byte) (out [streams][]byte, err error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window), zstd.WithEncoderCRC(false))
	if err != nil {
		return out, fmt.Errorf("pack: %w", err)
	}
	for i, b := range in {
		out[i] = zip.EncodeAll(b, nil)
	}
	return out, zip.Close()
}

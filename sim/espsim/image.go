package espsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

var errImage = errors.New("no bootable image")

const (
	imageMagic   = 0xE9
	imageHeader  = 24
	maxSegments  = 16
	descMagic    = 0xABCD5432
	descOffset   = 32
	descSize     = 256
	markerPrefix = "SIMAPP:"
)

// app is an application image that passed the boot loader's checks.
type app struct {
	version, project string
	secureVersion    uint32
	digest           string // appended SHA-256, hex; "" where none is appended
	sum              string // SHA-256 of the whole image, hex
	behaviour        behaviour
}

// parseApp checks an image as the boot loader does: magic, chip, segments
// inside the partition, checksum, hash where one is appended.
func parseApp(p []byte, chipID uint16) (app, error) {
	if len(p) < imageHeader || p[0] != imageMagic {
		return app{}, fmt.Errorf("%w: no magic byte", errImage)
	}
	if id := binary.LittleEndian.Uint16(p[12:]); id != chipID {
		return app{}, fmt.Errorf("%w: for chip id %d, this is %d", errImage, id, chipID)
	}
	n := int(p[1])
	if n == 0 || n > maxSegments {
		return app{}, fmt.Errorf("%w: %d segments", errImage, n)
	}
	at, sum := imageHeader, byte(0xEF)
	var marker []byte
	for i := range n {
		if at+8 > len(p) {
			return app{}, fmt.Errorf("%w: segment %d past the partition", errImage, i)
		}
		size := binary.LittleEndian.Uint32(p[at+4:])
		at += 8
		if size%4 != 0 || uint64(at)+uint64(size) > uint64(len(p)) {
			return app{}, fmt.Errorf("%w: segment %d of %d bytes", errImage, i, size)
		}
		data := p[at : at+int(size)]
		for _, b := range data {
			sum ^= b
		}
		if i == 0 {
			marker = data
		}
		at += int(size)
	}
	at += 16 - at%16 // the checksum is the last byte of the padding
	if at > len(p) || p[at-1] != sum {
		return app{}, fmt.Errorf("%w: checksum", errImage)
	}
	a, err := describe(p, marker)
	if err != nil {
		return app{}, err
	}
	if p[23] == 1 {
		if at+sha256.Size > len(p) {
			return app{}, fmt.Errorf("%w: hash past the partition", errImage)
		}
		want := sha256.Sum256(p[:at])
		if !bytes.Equal(want[:], p[at:at+sha256.Size]) {
			return app{}, fmt.Errorf("%w: hash", errImage)
		}
		a.digest = hex.EncodeToString(want[:])
		at += sha256.Size
	}
	whole := sha256.Sum256(p[:at])
	a.sum = hex.EncodeToString(whole[:])
	return a, nil
}

// describe reads esp_app_desc_t, and the simulator's own marker behind it.
func describe(p, segment []byte) (app, error) {
	if len(p) < descOffset+descSize || binary.LittleEndian.Uint32(p[descOffset:]) != descMagic {
		return app{behaviour: defaultBehaviour()}, nil // boots all the same
	}
	d := p[descOffset:]
	a := app{
		secureVersion: binary.LittleEndian.Uint32(d[4:]),
		version:       cString(d[16:48]), project: cString(d[48:80]),
		behaviour: defaultBehaviour(),
	}
	if len(segment) > descSize && bytes.HasPrefix(segment[descSize:], []byte(markerPrefix)) {
		text := cString(segment[descSize:min(len(segment), descSize+MaxMarker)])
		b, err := parseMarker(text[len(markerPrefix):])
		if err != nil {
			return app{}, fmt.Errorf("%w: %w", errImage, err)
		}
		a.behaviour = b
	}
	return a, nil
}

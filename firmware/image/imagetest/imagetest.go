// Package imagetest builds small, valid ESP32 app images for tests. It is for
// tests only; the simulator has a builder of its own, so that a mistake shared
// by reader and builder cannot hide.
package imagetest

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// Options describe the image; zero values give a version 0.2.1
// "robot-platform" image of 336 bytes for the ESP32-S3 (Chip only when
// ChipSet is false).
type Options struct {
	Version       string // default "0.2.1"
	Project       string // default "robot-platform"
	Chip          image.ChipID
	ChipSet       bool // Chip counts; without it the image is for the ESP32-S3
	SecureVersion uint32
	Body          []byte // data after the app description in the first segment, padded to 4 bytes
}

// App builds a valid app image: one segment with the app description and
// Body, checksum, SHA-256.
func App(o Options) []byte {
	if !o.ChipSet {
		o.Chip = image.ESP32S3
	}
	seg := append(desc(o), o.Body...)
	for len(seg)%4 != 0 {
		seg = append(seg, 0)
	}
	b := []byte{0xE9, 1, 2, 0x3F}                       // magic, segments, DIO, 8 MB at 80 MHz
	b = binary.LittleEndian.AppendUint32(b, 0x40374000) // entry
	b = append(b, 0xEE, 0, 0, 0)                        // WP pin off, drive settings
	b = binary.LittleEndian.AppendUint16(b, uint16(o.Chip))
	b = append(b, 0)                                    // min_chip_rev
	b = append(b, 0, 0)                                 // min_chip_rev_full
	b = append(b, 0x63, 0)                              // max_chip_rev_full 0.99
	b = append(b, 0, 0, 0, 0)                           // reserved
	b = append(b, 1)                                    // hash_appended
	b = binary.LittleEndian.AppendUint32(b, 0x3C000020) // mapped flash
	b = binary.LittleEndian.AppendUint32(b, uint32(len(seg)))
	return Seal(append(b, seg...), seg)
}

// Seal ends an app image whose segments' data are given: padding, checksum,
// SHA-256.
func Seal(b []byte, segments ...[]byte) []byte {
	sum := byte(0xEF)
	for _, seg := range segments {
		for _, c := range seg {
			sum ^= c
		}
	}
	for len(b)%16 != 15 {
		b = append(b, 0)
	}
	b = append(b, sum)
	digest := sha256.Sum256(b)
	return append(b, digest[:]...)
}

// desc builds esp_app_desc_t.
func desc(o Options) []byte {
	if o.Version == "" {
		o.Version = "0.2.1"
	}
	if o.Project == "" {
		o.Project = "robot-platform"
	}
	d := make([]byte, 256)
	binary.LittleEndian.PutUint32(d, 0xABCD5432)
	binary.LittleEndian.PutUint32(d[4:], o.SecureVersion)
	copy(d[16:48], o.Version)
	copy(d[48:80], o.Project)
	copy(d[80:96], "12:00:00")
	copy(d[96:112], "Jan  2 2026")
	copy(d[112:144], "v5.5.1")
	for i := range 32 {
		d[144+i] = byte(i)
	}
	return d
}

package delta

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// firmware is a signed file's shape around an ESP32-S3 image of functions that
// call each other, load literals and are pointed at; grown bytes are put in
// before the function in the middle, so that all that lies behind moves, and
// the references with it.
func firmware(grown int) []byte {
	const (
		functions = 400
		body      = 160 // bytes of a function
		pool      = 8   // literals before each
		rodata    = 0x3C000020
		text      = 0x42000020
	)
	rng := rand.New(rand.NewPCG(5, 6))
	at := func(f int) uint32 { // where function f begins
		a := uint32(text + f*(body+4*pool) + 4*pool)
		if f >= functions/2 {
			a += uint32(grown)
		}
		return a
	}
	var code, table []byte
	for f := range functions {
		if f == functions/2 {
			code = append(code, noise(grown, 9)...)
		}
		for range pool {
			code = binary.LittleEndian.AppendUint32(code, at(rng.IntN(functions)))
		}
		begin := len(code)
		code = append(code, 0x36, 0x41, 0x00) // entry a1, 32
		for len(code)-begin < body-3 {
			here := uint32(text + len(code))
			switch rng.IntN(4) {
			case 0:
				w := refer(0x25, here, at(rng.IntN(functions))) // call8
				code = append(code, byte(w), byte(w>>8), byte(w>>16))
			case 1:
				w := refer(0x21, here, at(f)-uint32(4*(1+rng.IntN(pool)))) // l32r a2
				code = append(code, byte(w), byte(w>>8), byte(w>>16))
			default: // add a?, a?, a?
				code = append(code, byte(rng.IntN(16)<<4), byte(rng.Uint32()), 0x80)
			}
		}
		for len(code)-begin < body {
			code = append(code, 0)
		}
		table = binary.LittleEndian.AppendUint32(table, at(rng.IntN(functions)))
	}
	desc := make([]byte, 256)
	binary.LittleEndian.PutUint32(desc, 0xABCD5432)
	copy(desc[16:], "0.2.1")
	copy(desc[48:], "robot-platform-standard")
	img := make([]byte, 24)
	img[0], img[1], img[23] = 0xE9, 2, 1
	binary.LittleEndian.PutUint16(img[12:], uint16(image.ESP32S3))
	img[17], img[18] = 0xFF, 0xFF
	sum := byte(0xEF)
	for _, g := range []struct {
		addr uint32
		data []byte
	}{{rodata, append(desc, table...)}, {text, code}} {
		img = binary.LittleEndian.AppendUint32(img, g.addr)
		img = binary.LittleEndian.AppendUint32(img, uint32(len(g.data)))
		img = append(img, g.data...)
		for _, b := range g.data {
			sum ^= b
		}
	}
	for len(img)%16 != 15 {
		img = append(img, 0)
	}
	img = append(img, sum)
	digest := sha256.Sum256(img)
	return append(make([]byte, image.HeaderSize), append(img, digest[:]...)...)
}

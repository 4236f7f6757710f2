// Package deltatest builds firmware that is linked anew with each release, as
// patches between releases meet it: functions that call each other, load
// literals and are pointed at, so that one that grows moves all that lie behind
// it, and the references to them. It is for tests and benchmarks.
package deltatest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// Spec says what is built. The same Spec gives the same bytes.
type Spec struct {
	Version   string // of the app description
	Functions int    // 0: 400, which makes about 170 KiB
	// Grown functions have some instructions more than in release 0, spread over
	// the image; Rewritten ones have nothing in common with it. Both come first of
	// the others in an order that looks random.
	Grown, Rewritten int
}

// Addresses of an ESP32-S3, and what a function is made of.
const (
	rodataAddr = 0x3C000020
	dramAddr   = 0x3FC94000
	textAddr   = 0x42000020
	pool       = 6  // literals before each function
	ops        = 96 // instructions of a function, on average
)

// function is a piece of code before it is linked.
type function struct {
	seed uint64
	ops  int
	at   uint32 // of its first instruction
}

// App builds the app image, without a signature.
func App(s Spec) []byte {
	if s.Functions == 0 {
		s.Functions = 400
	}
	fs := s.functions()
	at := uint32(textAddr)
	for i := range fs {
		fs[i].at = at + 4*pool
		at = fs[i].at + (3+3*uint32(fs[i].ops)+3)&^3
	}
	var text []byte
	for i, f := range fs {
		text = f.link(text, fs, i)
	}
	return pack([]segment{{rodataAddr, s.rodata(fs)}, {dramAddr, table(fs, 7)}, {textAddr, text}})
}

// functions are those of the release.
func (s Spec) functions() []function {
	fs := make([]function, s.Functions)
	for i := range fs {
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		fs[i] = function{seed: uint64(i), ops: ops/2 + rng.IntN(ops)}
	}
	for n, i := range rand.New(rand.NewPCG(3, 4)).Perm(s.Functions)[:min(s.Functions, s.Grown+s.Rewritten)] {
		if n < s.Rewritten {
			fs[i].seed += 1 << 32
		} else {
			fs[i].ops += 5 + n%20
		}
	}
	return fs
}

// reach is how many functions away one may be that is called: a call reaches
// 512 KiB.
const reach = 1000

// link appends literals and instructions, with the addresses of fs, of which f is
// number i.
func (f function) link(text []byte, fs []function, i int) []byte {
	rng := rand.New(rand.NewPCG(f.seed, 2))
	for range pool {
		text = binary.LittleEndian.AppendUint32(text, fs[rng.IntN(len(fs))].at)
	}
	text = append(text, 0x36, 0x41, 0x00) // entry a1, 32
	for range f.ops {
		here := uint32(textAddr + len(text))
		var w uint32
		switch n := rng.IntN(10); {
		case n < 2: // call8
			callee := fs[max(0, min(len(fs)-1, i+rng.IntN(2*reach)-reach))]
			w = 0x25 | (callee.at-4-here&^3)>>2&0x3ffff<<6
		case n < 4: // l32r
			literal := f.at - uint32(4*(1+rng.IntN(pool)))
			w = uint32(0x01|rng.IntN(8)<<4) | (literal-(here+3)&^3)>>2&0xffff<<8
		case n < 9: // add and the like, of a few kinds
			w = uint32(rng.IntN(8)<<4) | uint32(rng.IntN(12))<<8 | 0x800000
		default: // immediates
			w = 0x02 | uint32(rng.IntN(1<<20))<<4&0xffff00
		}
		text = append(text, byte(w), byte(w>>8), byte(w>>16))
	}
	for len(text)%4 != 0 {
		text = append(text, 0)
	}
	return text
}

// table is data that points at functions.
func table(fs []function, every int) (b []byte) {
	for i := 0; i < len(fs); i += every {
		b = binary.LittleEndian.AppendUint32(b, fs[i].at)
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
	}
	return b
}

// rodata is the app description, texts and a table.
func (s Spec) rodata(fs []function) []byte {
	b := make([]byte, 256)
	binary.LittleEndian.PutUint32(b, 0xABCD5432)
	copy(b[16:], s.Version)
	copy(b[48:], "robot-platform-standard")
	copy(b[112:], "v5.4.1")
	elf := sha256.Sum256(fmt.Appendf(nil, "%+v", s))
	copy(b[144:], elf[:])
	for i := range fs {
		b = fmt.Appendf(b, "%s: cannot %s the %s (%%d)\x00", names[i%7], names[i%11], names[i*i%13])
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return append(b, table(fs, 3)...)
}

var names = [...]string{"motor", "start", "sensor", "relay", "stop", "battery", "read", "window", "release", "bus", "odometer", "valve", "clock"}

type segment struct {
	addr uint32
	data []byte
}

// pack makes an app image of segments.
func pack(segments []segment) []byte {
	img := make([]byte, 24)
	img[0], img[1], img[23] = 0xE9, byte(len(segments)), 1
	binary.LittleEndian.PutUint16(img[12:], uint16(image.ESP32S3))
	img[17], img[18] = 0xFF, 0xFF
	sum := byte(0xEF)
	for _, g := range segments {
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
	return append(img, digest[:]...)
}

// Package testimage builds ESP32 application images that esptool, ESP-IDF's
// boot loader and the simulator take for real ones.
//
// The code in them is noise, the structure is right: header, segments aligned
// as the flash cache wants them, app description, checksum and appended
// SHA-256. Contents compress about as well as a real application does, so that
// transfers take as long. What the simulated application does stands in a
// marker behind the app description; see espsim.Behaviours.
package testimage

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"github.com/robot-platform/robot-ota/sim/espsim"
)

// DefaultProject is the project name of Spec's zero value.
const DefaultProject = "robot-platform-standard"

// ChipESP32 stands for the plain ESP32 in Spec.Chip, whose chip id is 0.
const ChipESP32 uint16 = 0xFFFE

// Bounds of Spec.Size.
const (
	DefaultSize = 64 << 10
	MinSize     = 1 << 10
	MaxSize     = 8 << 20
)

// Spec says what the image is to be. Version is needed, the rest has defaults.
type Spec struct {
	Version string // of the app description, at most 31 bytes, e.g. "0.2.1"
	Project string // at most 31 bytes; default DefaultProject
	// Chip is the chip id in the header; default 9, ESP32-S3. ChipESP32 is
	// the plain ESP32.
	Chip uint16
	// Size of the whole image in bytes, rounded up to a multiple of 16.
	Size int
	// Behaviour of the simulated application, default "good".
	Behaviour string
	// Protocol version that it advertises; default by the major version: 1
	// below 1.0.0, 2 from there.
	Protocol      uint8
	SecureVersion uint32
	// SigningKey is the public key that it embeds, X‖Y in hex; "" for none.
	SigningKey string
	Seed       uint64 // varies the contents
	// Like is the version whose contents it has, but for what differs between
	// versions by their nature; "": contents of its own.
	Like string
}

// layout is where a chip wants its segments.
type layout struct{ drom, dram, irom, iram uint32 }

func layoutOf(chip uint16) layout {
	if chip == 0 {
		return layout{0x3F400020, 0x3FFB0000, 0x400D0020, 0x40080000}
	}
	return layout{0x3C0A0020, 0x3FC94000, 0x42000020, 0x40374000}
}

const (
	headerSize = 24
	segHeader  = 8
	tailSize   = 4 + sha256.Size // padding with the checksum, hash
	cachePage  = 64 << 10
	bigImage   = 4 * cachePage // from here on all four kinds of segment
	iramSize   = 0xC000
	dramSize   = 0x4000 - 2*segHeader
)

type segment struct {
	addr uint32
	data []byte
}

// Build makes the image; the same Spec gives the same bytes.
func Build(s Spec) ([]byte, error) {
	s, chip, err := s.withDefaults()
	if err != nil {
		return nil, err
	}
	segs := s.segments(layoutOf(chip))
	img := make([]byte, headerSize, s.Size)
	img[0], img[1], img[2], img[3] = 0xE9, byte(len(segs)), 0x02, 0x3F // DIO, 8 MB, 80 MHz
	binary.LittleEndian.PutUint32(img[4:], segs[len(segs)-1].addr+0x40)
	img[8] = 0xEE // no write-protect pin
	binary.LittleEndian.PutUint16(img[12:], chip)
	binary.LittleEndian.PutUint16(img[17:], 399) // newest chip revision, v3.99
	img[23] = 1                                  // hash appended
	sum := byte(0xEF)
	for _, g := range segs {
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
	return append(img, digest[:]...), nil
}

func (s Spec) withDefaults() (Spec, uint16, error) {
	if s.Project == "" {
		s.Project = DefaultProject
	}
	if s.Behaviour == "" {
		s.Behaviour = "good"
	}
	if s.Size == 0 {
		s.Size = DefaultSize
	}
	s.Size = (s.Size + 15) &^ 15
	if s.Protocol == 0 {
		s.Protocol = 1
		if !strings.HasPrefix(s.Version, "0.") {
			s.Protocol = 2
		}
	}
	chip := s.Chip
	switch chip {
	case 0:
		chip = 9
	case ChipESP32:
		chip = 0
	}
	switch {
	case s.Version == "" || len(s.Version) > 31:
		return s, 0, fmt.Errorf("version %q: want 1 to 31 bytes", s.Version)
	case len(s.Project) > 31:
		return s, 0, fmt.Errorf("project %q: want at most 31 bytes", s.Project)
	case len(espsim.Marker(s.Behaviour, s.Protocol, s.SigningKey)) > espsim.MaxMarker:
		return s, 0, fmt.Errorf("behaviour %.40q: it leaves no room for the key", s.Behaviour)
	case s.Size < MinSize || s.Size > MaxSize:
		return s, 0, fmt.Errorf("size %d: want %d to %d bytes", s.Size, MinSize, MaxSize)
	}
	if s.SigningKey != "" {
		if _, err := espsim.KeyID(s.SigningKey); err != nil {
			return s, 0, err
		}
	}
	return s, chip, espsim.CheckBehaviour(s.Behaviour)
}

// segments lays the image out so that it comes to exactly Size bytes. Code in
// flash has to lie at the same place within a 64 KiB page as in memory.
func (s Spec) segments(at layout) []segment {
	room := s.Size - headerSize - tailSize
	gen := s.generator()
	if s.Size < bigImage {
		code := min(iramSize, room/4&^15)
		rodata := room - code - 2*segHeader
		return []segment{
			{at.drom, s.describe(gen.fill(rodata))},
			{at.iram, gen.fill(code)},
		}
	}
	rodata := s.Size/4/cachePage*cachePage - 0x4000
	text := room - rodata - dramSize - iramSize - 4*segHeader
	return []segment{
		{at.drom, s.describe(gen.fill(rodata))},
		{at.dram, gen.fill(dramSize)},
		{at.irom, gen.fill(text)},
		{at.iram, gen.fill(iramSize)},
	}
}

// describe puts esp_app_desc_t and the marker at the front of the first
// segment.
func (s Spec) describe(p []byte) []byte {
	const descSize = 256
	clear(p[:descSize+espsim.MaxMarker])
	binary.LittleEndian.PutUint32(p, 0xABCD5432)
	binary.LittleEndian.PutUint32(p[4:], s.SecureVersion)
	copy(p[16:47], s.Version)
	copy(p[48:79], s.Project)
	copy(p[80:95], "12:00:00")
	copy(p[96:111], "Jan  1 2026")
	copy(p[112:143], "v5.4.1")
	elf := sha256.Sum256(fmt.Appendf(nil, "%+v", s))
	copy(p[144:], elf[:])
	p[180] = 16 // mmu page size, log2
	copy(p[descSize:], espsim.Marker(s.Behaviour, s.Protocol, s.SigningKey))
	return p
}

// generator makes contents.
type generator struct {
	rng   *rand.Rand
	words [64][16]byte
}

func (s Spec) generator() *generator {
	of := s.Version
	if s.Like != "" {
		of = s.Like
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s", of, s.Project)
	g := &generator{rng: rand.New(rand.NewPCG(s.Seed, h.Sum64()))}
	for i := range g.words {
		for j := range g.words[i] {
			g.words[i][j] = byte(g.rng.Uint32())
		}
	}
	return g
}

// fill makes n bytes, a mix of noise and phrases that come again, which
// deflates to about 0.60 as compiled code does.
func (g *generator) fill(n int) []byte {
	p := make([]byte, 0, n+16)
	for len(p) < n {
		if g.rng.IntN(1000) < noisePermille {
			p = binary.LittleEndian.AppendUint64(p, g.rng.Uint64())
			p = binary.LittleEndian.AppendUint64(p, g.rng.Uint64())
			continue
		}
		p = append(p, g.words[g.rng.IntN(len(g.words))][:]...)
	}
	return p[:n]
}

const noisePermille = 520

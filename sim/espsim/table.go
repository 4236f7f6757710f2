package espsim

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	tableSize   = 0xC00
	tableRow    = 32
	typeApp     = 0
	typeData    = 1
	subFactory  = 0x00
	subOTA      = 0x10
	subTest     = 0x20
	subOTAData  = 0x00
	subNVS      = 0x02
	maxOTASlots = 16
)

// partition is a row of the partition table.
type partition struct {
	typ, subtype uint8
	offset, size uint32
	label        string
	flags        uint32
}

// slots is what the boot loader makes of the table.
type slots struct {
	rows    []partition
	factory partition
	test    partition
	ota     [maxOTASlots]partition
	count   int // of OTA slots
	otadata partition
	nvs     partition
}

var errTable = errors.New("partition table")

// parseTable reads a partition table as ESP-IDF's boot loader does: rows AA 50
// up to a row of FF, an MD5 row EB EB over the rows before where there is one.
func parseTable(raw []byte, flashSize uint32) (slots, error) {
	var s slots
	for at := 0; at+tableRow <= len(raw); at += tableRow {
		row := raw[at : at+tableRow]
		switch {
		case row[0] == 0xAA && row[1] == 0x50:
			p := partition{
				typ: row[2], subtype: row[3],
				offset: binary.LittleEndian.Uint32(row[4:]), size: binary.LittleEndian.Uint32(row[8:]),
				label: cString(row[12:28]), flags: binary.LittleEndian.Uint32(row[28:]),
			}
			if uint64(p.offset)+uint64(p.size) > uint64(flashSize) {
				return slots{}, fmt.Errorf("%w: partition %q ends past the flash", errTable, p.label)
			}
			s.add(p)
		case row[0] == 0xEB && row[1] == 0xEB:
			if sum := md5.Sum(raw[:at]); !bytes.Equal(sum[:], row[16:]) {
				return slots{}, fmt.Errorf("%w: MD5 does not match", errTable)
			}
		case blank(row):
			if len(s.rows) == 0 {
				return slots{}, fmt.Errorf("%w: empty", errTable)
			}
			return s, nil
		default:
			return slots{}, fmt.Errorf("%w: row %d has magic %02x%02x", errTable, at/tableRow, row[0], row[1])
		}
	}
	return slots{}, fmt.Errorf("%w: no end", errTable)
}

func (s *slots) add(p partition) {
	s.rows = append(s.rows, p)
	switch {
	case p.typ == typeApp && p.subtype == subFactory:
		s.factory = p
	case p.typ == typeApp && p.subtype == subTest:
		s.test = p
	case p.typ == typeApp && p.subtype&0xF0 == subOTA:
		s.ota[p.subtype&0x0F] = p
		s.count++
	case p.typ == typeData && p.subtype == subOTAData:
		s.otadata = p
	case p.typ == typeData && p.subtype == subNVS:
		s.nvs = p
	}
}

// Indices of slots beside the OTA slots' 0 and up.
const (
	factoryIndex = -1
	noIndex      = -99
)

// at is the partition of a slot; size 0 for none.
func (s *slots) at(i int) partition {
	switch {
	case i == factoryIndex:
		return s.factory
	case i >= 0 && i < s.count && i < maxOTASlots:
		return s.ota[i]
	}
	return partition{}
}

func slotName(i int) string {
	switch {
	case i == factoryIndex:
		return "factory"
	case i >= 0:
		return fmt.Sprintf("ota_%d", i)
	}
	return ""
}

func cString(p []byte) string {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		p = p[:i]
	}
	return string(bytes.ToValidUTF8(p, []byte("?")))
}

// FleetTable is the partition table of the fleet's robots, as it lies in
// flash.
func FleetTable() []byte {
	rows := []partition{
		{typeData, subNVS, 0x11000, 0x6000, "nvs", 0},
		{typeData, 0x01, 0x17000, 0x1000, "phy_init", 0},
		{typeData, subOTAData, 0x18000, 0x2000, "otadata", 0},
		{typeApp, subFactory, 0x20000, 0x200000, "factory", 0},
		{typeApp, subOTA, 0x220000, 0x200000, "ota_0", 0},
		{typeApp, subOTA + 1, 0x420000, 0x200000, "ota_1", 0},
		{typeData, 0x03, 0x620000, 0x10000, "coredump", 0},
		{typeData, 0x04, 0x630000, 0x1000, "nvs_keys", 1},
		{typeData, 0x82, 0x631000, 0x1CF000, "storage", 0},
	}
	return encodeTable(rows)
}

func encodeTable(rows []partition) []byte {
	raw := make([]byte, tableSize)
	clearTo(raw, 0xFF)
	at := 0
	for _, p := range rows {
		row := raw[at : at+tableRow]
		clearTo(row, 0)
		row[0], row[1], row[2], row[3] = 0xAA, 0x50, p.typ, p.subtype
		binary.LittleEndian.PutUint32(row[4:], p.offset)
		binary.LittleEndian.PutUint32(row[8:], p.size)
		copy(row[12:28], p.label)
		binary.LittleEndian.PutUint32(row[28:], p.flags)
		at += tableRow
	}
	sum := md5.Sum(raw[:at])
	raw[at], raw[at+1] = 0xEB, 0xEB
	copy(raw[at+16:], sum[:])
	return raw
}

// Provision is the flash of a robot as it leaves the works: placeholder boot
// loader, the fleet's partition table at tableOffset (0: the fleet's), blank
// OTA data, and the images given by slot name ("factory", "ota_0", "ota_1").
func Provision(size int, tableOffset uint32, images map[string][]byte) ([]byte, error) {
	if size == 0 {
		size = DefaultFlashSize
	}
	if tableOffset == 0 {
		tableOffset = DefaultTableOffset
	}
	if err := checkSize(size); err != nil {
		return nil, err
	}
	flash := make([]byte, size)
	clearTo(flash, 0xFF)
	copy(flash, bootPlaceholder())
	if int(tableOffset)+tableSize > size {
		return nil, fmt.Errorf("espsim: a partition table at %#x does not fit into a flash of %d bytes", tableOffset, size)
	}
	copy(flash[tableOffset:], FleetTable())
	s, err := parseTable(FleetTable(), uint32(size))
	if err != nil {
		return nil, err
	}
	for name, img := range images {
		i := slotIndex(name)
		p := s.at(i)
		if p.size == 0 {
			return nil, fmt.Errorf("espsim: no slot %q: there are factory, ota_0 and ota_1", name)
		}
		if len(img) > int(p.size) {
			return nil, fmt.Errorf("espsim: image of %d bytes does not fit into %s of %d", len(img), name, p.size)
		}
		copy(flash[p.offset:], img)
	}
	return flash, nil
}

func slotIndex(name string) int {
	for i := factoryIndex; i < maxOTASlots; i++ {
		if slotName(i) == name {
			return i
		}
	}
	return noIndex
}

// bootPlaceholder stands where the second-stage boot loader lies: its first
// byte is an image's, the rest says what it is.
func bootPlaceholder() []byte {
	return append([]byte{0xE9, 0, 2, 0x3F}, "second-stage boot loader of a simulated robot"...)
}

package flashmap

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes and constants of a partition table: esp_flash_partitions.h.
const (
	// TableSize is the most bytes that a table takes.
	TableSize = 0xC00

	rowSize      = 32
	rowMagic     = 0x50AA // "AA 50"
	md5Magic     = 0xEBEB // "EB EB", then 14 FF, then the MD5 of the rows before
	endMagic     = 0xFFFF
	sectorSize   = 0x1000
	appAlign     = 0x10000 // the MMU maps 64 KiB pages
	lowestOffset = 0x9000  // behind a table at the lowest place

	typeApp        = 0x00
	typeData       = 0x01
	subtypeFactory = 0x00 // of typeApp
	subtypeOTA0    = 0x10 // of typeApp
	subtypeOTAData = 0x00 // of typeData
	otaDataSize    = 2 * sectorSize
)

// ErrTable says that bytes are not a usable partition table.
var ErrTable = errors.New("no usable partition table")

// Partition is a row of the table. Offset and Size are bytes in the flash.
type Partition struct {
	Type, Subtype uint8
	Offset, Size  uint32
	Label         string
	Flags         uint32 // bit 0: encrypted, bit 1: read-only
}

// Table is a partition table that [ParseTable] has accepted.
type Table struct {
	parts []Partition
	slots int
}

// TableOffsets gives the places in the flash where a table is looked for, in
// order: ESP-IDF's default, and the fleet's.
func TableOffsets() []uint32 { return []uint32{0x8000, 0x10000} }

// ParseTable reads a partition table from at most [TableSize] bytes of raw, for
// a flash of flashSize bytes. It demands the MD5 row (CONFIG_PARTITION_TABLE_MD5,
// ESP-IDF's default) and nothing after it, aligned partitions inside the flash
// that do not overlap, labels, factory, OTA data and OTA slots each once, and
// OTA slots without a gap. Errors wrap [ErrTable].
func ParseTable(raw []byte, flashSize uint32) (Table, error) {
	raw = raw[:min(len(raw), TableSize)]
	rows, err := checkedRows(raw)
	if err != nil {
		return Table{}, err
	}
	var t Table
	for len(rows) > 0 {
		p, err := parseRow(rows[:rowSize], flashSize)
		if err != nil {
			return Table{}, err
		}
		if err := t.add(p); err != nil {
			return Table{}, err
		}
		rows = rows[rowSize:]
	}
	for t.slots < MaxOTASlots {
		if _, ok := t.find(typeApp, subtypeOTA0+uint8(t.slots)); !ok {
			break
		}
		t.slots++
	}
	for _, p := range t.parts {
		if isOTA(p) && int(p.Subtype-subtypeOTA0) >= t.slots {
			return Table{}, tableError("it has ota_%d but no ota_%d", p.Subtype-subtypeOTA0, t.slots)
		}
	}
	return t, nil
}

func tableError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrTable, fmt.Errorf(format, args...))
}

// checkedRows gives the rows that the MD5 row covers.
func checkedRows(raw []byte) ([]byte, error) {
	for at := 0; len(raw)-at >= rowSize; at += rowSize {
		row := raw[at : at+rowSize]
		switch binary.LittleEndian.Uint16(row) {
		case rowMagic:
		case md5Magic:
			if !blank(row[2:16]) || md5.Sum(raw[:at]) != [16]byte(row[16:]) {
				return nil, tableError("its MD5 does not fit: it is damaged")
			}
			if at == 0 {
				return nil, tableError("it has no row")
			}
			if !blank(raw[at+rowSize:]) {
				return nil, tableError("something follows its MD5 row")
			}
			return raw[:at], nil
		case endMagic:
			return nil, tableError("row %d is blank and no MD5 row came before", at/rowSize)
		default:
			return nil, tableError("row %d begins with % x", at/rowSize, row[:2])
		}
	}
	return nil, tableError("it has no MD5 row in its first %d bytes", len(raw))
}

// parseRow reads one row and checks what can be checked without the others.
func parseRow(row []byte, flashSize uint32) (Partition, error) {
	p := Partition{
		Type: row[2], Subtype: row[3],
		Offset: binary.LittleEndian.Uint32(row[4:]),
		Size:   binary.LittleEndian.Uint32(row[8:]),
		Flags:  binary.LittleEndian.Uint32(row[28:]),
	}
	label, _, _ := bytes.Cut(row[12:28], []byte{0}) // a label of 16 letters has no NUL
	if len(label) == 0 || bytes.ContainsFunc(label, func(r rune) bool { return r < ' ' || r > '~' }) {
		return p, tableError("the label %q is not printable", label)
	}
	p.Label = string(label)
	if p.Size == 0 || uint64(p.Offset)+uint64(p.Size) > uint64(flashSize) {
		return p, tableError("%s at %#x with %#x bytes lies outside the flash of %#x", p.Label, p.Offset, p.Size, flashSize)
	}
	app, otaData := p.Type == typeApp, isOTAData(p)
	switch {
	case p.Offset%sectorSize != 0 || app && p.Offset%appAlign != 0:
		return p, tableError("%s begins at %#x, which is not aligned", p.Label, p.Offset)
	case (app || otaData) && p.Size%sectorSize != 0:
		return p, tableError("%s has %#x bytes, not whole sectors", p.Label, p.Size)
	case (app || otaData) && p.Offset < lowestOffset:
		return p, tableError("%s at %#x lies on the bootloader", p.Label, p.Offset)
	case otaData && p.Size < otaDataSize:
		return p, tableError("%s has %#x bytes, OTA data need %#x", p.Label, p.Size, otaDataSize)
	}
	return p, nil
}

// add appends p if it gets along with the partitions before it.
func (t *Table) add(p Partition) error {
	for _, q := range t.parts {
		switch {
		case p.Label == q.Label:
			return tableError("two partitions are called %s", p.Label)
		case p.Offset < q.Offset+q.Size && q.Offset < p.Offset+p.Size: // both end inside the flash: no overflow
			return tableError("%s and %s overlap", q.Label, p.Label)
		case p.Type == q.Type && p.Subtype == q.Subtype && (p.Type == typeApp || isOTAData(p)):
			return tableError("%s and %s have the same type and subtype", q.Label, p.Label)
		}
	}
	t.parts = append(t.parts, p)
	return nil
}

func isOTA(p Partition) bool {
	return p.Type == typeApp && p.Subtype >= subtypeOTA0 && p.Subtype < subtypeOTA0+MaxOTASlots
}

func isOTAData(p Partition) bool { return p.Type == typeData && p.Subtype == subtypeOTAData }

func (t Table) find(typ, subtype uint8) (Partition, bool) {
	for _, p := range t.parts {
		if p.Type == typ && p.Subtype == subtype {
			return p, true
		}
	}
	return Partition{}, false
}

// Partitions gives all partitions in the table's order.
func (t Table) Partitions() []Partition { return append([]Partition(nil), t.parts...) }

// OTASlots is the number of OTA slots, 0 to [MaxOTASlots].
func (t Table) OTASlots() int { return t.slots }

// Slot gives the partition of a slot.
func (t Table) Slot(s Slot) (Partition, bool) {
	if s == Factory {
		return t.find(typeApp, subtypeFactory)
	}
	if s < 0 || int(s) >= t.slots {
		return Partition{}, false
	}
	return t.find(typeApp, subtypeOTA0+uint8(s))
}

// OTAData gives the partition that holds the OTA data.
func (t Table) OTAData() (Partition, bool) { return t.find(typeData, subtypeOTAData) }

func blank(b []byte) bool {
	for _, c := range b {
		if c != 0xFF {
			return false
		}
	}
	return true
}

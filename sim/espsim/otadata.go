package espsim

import (
	"context"
	"encoding/binary"
	"hash/crc32"
)

// States of an OTA data entry.
const (
	stateNew       = 0
	statePending   = 1
	stateValid     = 2
	stateInvalid   = 3
	stateAborted   = 4
	stateUndefined = 0xFFFFFFFF
)

func stateName(s uint32) string {
	switch s {
	case stateNew:
		return "new"
	case statePending:
		return "pending_verify"
	case stateValid:
		return "valid"
	case stateInvalid:
		return "invalid"
	case stateAborted:
		return "aborted"
	}
	return "undefined"
}

const entrySize = 32

// otaEntry is esp_ota_select_entry_t.
type otaEntry struct {
	seq   uint32
	label [20]byte
	state uint32
	crc   uint32
}

func parseEntry(p []byte) (e otaEntry) {
	e.seq = binary.LittleEndian.Uint32(p)
	copy(e.label[:], p[4:24])
	e.state = binary.LittleEndian.Uint32(p[24:])
	e.crc = binary.LittleEndian.Uint32(p[28:])
	return e
}

func (e otaEntry) bytes() []byte {
	p := make([]byte, entrySize)
	binary.LittleEndian.PutUint32(p, e.seq)
	copy(p[4:], e.label[:])
	binary.LittleEndian.PutUint32(p[24:], e.state)
	binary.LittleEndian.PutUint32(p[28:], e.crc)
	return p
}

// seqCRC is the check over the sequence number, which is all it covers.
func seqCRC(seq uint32) uint32 {
	return crc32.Update(0xFFFFFFFF, crc32.IEEETable, binary.LittleEndian.AppendUint32(nil, seq))
}

// ruledOut is bootloader_common_ota_select_invalid.
func (e otaEntry) ruledOut() bool {
	return e.seq == 0xFFFFFFFF || e.state == stateInvalid || e.state == stateAborted
}

// valid is bootloader_common_ota_select_valid.
func (e otaEntry) valid() bool { return !e.ruledOut() && e.crc == seqCRC(e.seq) }

// active is the entry that decides, -1 for none.
func active(e [2]otaEntry) int {
	switch a, b := e[0].valid(), e[1].valid(); {
	case a && b:
		if e[1].seq > e[0].seq {
			return 1
		}
		return 0
	case a:
		return 0
	case b:
		return 1
	}
	return -1
}

// readOTA reads both entries.
func (c *Chip) readOTA(p partition) (e [2]otaEntry) {
	for i := range e {
		var raw [entrySize]byte
		c.nor.peek(p.offset+uint32(i)*sectorSize, raw[:])
		e[i] = parseEntry(raw[:])
	}
	return e
}

// writeOTA rewrites an entry as boot loader and application both do: the
// sector is erased, the 32 bytes are written.
func (c *Chip) writeOTA(ctx context.Context, p partition, i int, e otaEntry) error {
	at := p.offset + uint32(i)*sectorSize
	if err := c.nor.erase(ctx, at, sectorSize, false); err != nil {
		return err
	}
	return c.nor.program(ctx, at, e.bytes())
}

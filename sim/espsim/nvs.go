package espsim

import (
	"context"
	"encoding/binary"
	"hash/crc32"
)

// nvsRecord is what the application keeps over resets. In flash it is a log of
// records, so that a torn write costs no more than the newest; it is not
// ESP-IDF's NVS format, which nobody outside of the chip reads.
type nvsRecord struct {
	boots    uint32 // starts over the chip's life
	failures uint32 // starts in a row whose self-test did not pass
}

const (
	nvsMagic = 0x4E565331
	nvsSize  = 16
)

func (r nvsRecord) bytes() []byte {
	p := binary.LittleEndian.AppendUint32(nil, nvsMagic)
	p = binary.LittleEndian.AppendUint32(p, r.boots)
	p = binary.LittleEndian.AppendUint32(p, r.failures)
	return binary.LittleEndian.AppendUint32(p, crc32.ChecksumIEEE(p))
}

// loadNVS finds the newest record and where the next goes.
func (c *Chip) loadNVS(p partition) (r nvsRecord, next uint32) {
	if p.size < 2*sectorSize {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.spare, 0
	}
	raw := make([]byte, 2*sectorSize)
	c.nor.peek(p.offset, raw)
	found := false
	for at := 0; at < len(raw); at += nvsSize {
		rec := raw[at : at+nvsSize]
		if binary.LittleEndian.Uint32(rec) != nvsMagic || binary.LittleEndian.Uint32(rec[12:]) != crc32.ChecksumIEEE(rec[:12]) {
			continue
		}
		boots := binary.LittleEndian.Uint32(rec[4:])
		if !found || boots >= r.boots {
			r, next, found = nvsRecord{boots, binary.LittleEndian.Uint32(rec[8:])}, uint32(at+nvsSize), true
		}
	}
	// A place that a torn write spoiled is passed over.
	for next%sectorSize != 0 && !blank(raw[next:next+nvsSize]) {
		next += nvsSize
	}
	return r, next % uint32(len(raw))
}

// saveNVS appends a record; at the start of a sector it erases that first.
func (c *Chip) saveNVS(ctx context.Context, p partition, r nvsRecord) error {
	if p.size < 2*sectorSize {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.spare = r
		return nil
	}
	_, next := c.loadNVS(p)
	if next%sectorSize == 0 {
		var s [sectorSize]byte
		if c.nor.peek(p.offset+next, s[:]); !blank(s[:]) {
			if err := c.nor.erase(ctx, p.offset+next, sectorSize, false); err != nil {
				return err
			}
		}
	}
	return c.nor.program(ctx, p.offset+next, r.bytes())
}

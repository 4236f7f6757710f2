package flashmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrOTAData says that OTA data cannot be read.
var ErrOTAData = errors.New("no OTA data")

// OTAState is how far the trial of a slot's app has come: esp_ota_img_states_t
// of esp_flash_partitions.h.
type OTAState uint32

// States of an entry. A bootloader with rollback turns New into PendingVerify
// when it boots the slot, and PendingVerify into Aborted at the boot after.
const (
	New           OTAState = 0
	PendingVerify OTAState = 1
	Valid         OTAState = 2
	Invalid       OTAState = 3
	Aborted       OTAState = 4
	Undefined     OTAState = 0xFFFFFFFF // never on trial
)

// String gives the state's name as telemetry and reports spell it.
func (s OTAState) String() string {
	switch s {
	case New:
		return "new"
	case PendingVerify:
		return "pending_verify"
	case Valid:
		return "valid"
	case Invalid:
		return "invalid"
	case Aborted:
		return "aborted"
	case Undefined:
		return "undefined"
	default:
		return fmt.Sprintf("unknown state %#x", uint32(s))
	}
}

// Sequence numbers. 0 is never written; FF… is a blank entry.
const (
	blankSeq = 0xFFFFFFFF
	maxSeq   = blankSeq - 1
)

// Entry is esp_ota_select_entry_t, 32 bytes; the rest of its sector is blank.
// Its CRC covers Seq alone.
type Entry struct {
	Seq   uint32
	Label [20]byte
	State OTAState
	CRC   uint32
}

// Valid tells whether the entry was written whole: its CRC is good and it is
// not blank. Its State may still forbid booting it.
func (e Entry) Valid() bool { return e.Seq != blankSeq && e.CRC == seqCRC(e.Seq) }

// Bytes is the entry as it lies in flash, at the start of its sector.
func (e Entry) Bytes() (raw [32]byte) {
	binary.LittleEndian.PutUint32(raw[:], e.Seq)
	copy(raw[4:], e.Label[:])
	binary.LittleEndian.PutUint32(raw[24:], uint32(e.State))
	binary.LittleEndian.PutUint32(raw[28:], e.CRC)
	return raw
}

// bootable tells whether the bootloader considers the entry.
func (e Entry) bootable() bool {
	return e.Valid() && e.State != Invalid && e.State != Aborted
}

// slot is the slot that the entry stands for. The bootloader's arithmetic: 32
// bits, so that Seq 0 wraps.
func (e Entry) slot(slots int) Slot { return Slot((e.Seq - 1) % uint32(slots)) }

// holds tells whether the entry can boot s.
func (e Entry) holds(s Slot, slots int) bool { return e.bootable() && e.slot(slots) == s }

// onTrial tells whether a reset can take the entry away.
func (e Entry) onTrial() bool { return e.State == New || e.State == PendingVerify }

// seqCRC is the ROM's crc32_le(UINT32_MAX, seq): vectors 1→4743989A,
// 2→55F63774.
func seqCRC(seq uint32) uint32 {
	return crc32.Update(0xFFFFFFFF, crc32.IEEETable, binary.LittleEndian.AppendUint32(nil, seq))
}

// OTAData are the two entries of the OTA data partition, at +0 and +0x1000.
type OTAData struct {
	Entries [2]Entry
}

// ParseOTAData reads the first two sectors of the OTA data partition. Any
// content is OTA data (blank and damaged entries do not count); the only error
// is raw being shorter than 0x2000 bytes. It wraps [ErrOTAData].
func ParseOTAData(raw []byte) (OTAData, error) {
	if len(raw) < otaDataSize {
		return OTAData{}, fmt.Errorf("%w: %d bytes, want %d", ErrOTAData, len(raw), otaDataSize)
	}
	var o OTAData
	for i := range o.Entries {
		o.Entries[i] = parseEntry(raw[i*sectorSize:])
	}
	return o, nil
}

func parseEntry(b []byte) Entry {
	return Entry{
		Seq:   binary.LittleEndian.Uint32(b),
		Label: [20]byte(b[4:24]),
		State: OTAState(binary.LittleEndian.Uint32(b[24:])),
		CRC:   binary.LittleEndian.Uint32(b[28:]),
	}
}

// With is what the OTA data are after an edit that a planner made.
func (o OTAData) With(e Edit) OTAData {
	o.Entries[e.Offset/sectorSize] = parseEntry(e.Data)
	return o
}

// Choose gives the slot that the bootloader selects, and the entry (0 or 1)
// that made it do so; [Factory] and -1 when neither entry is bootable or there
// are no OTA slots. It is the choice from what the flash holds now: a
// bootloader with rollback first turns PendingVerify into Aborted
// ([OTAData.AfterReset]). A chip without a factory partition tries ota_0 in
// place of Factory.
func (o OTAData) Choose(slots int) (Slot, int) {
	chosen := -1
	for i, e := range o.Entries {
		if e.bootable() && (chosen < 0 || e.Seq > o.Entries[chosen].Seq) {
			chosen = i
		}
	}
	if chosen < 0 || slots < 1 {
		return Factory, -1
	}
	return o.Entries[chosen].slot(slots), chosen
}

// AfterReset is what a bootloader with rollback makes of the OTA data before
// it chooses: a trial that was not confirmed is Aborted.
func (o OTAData) AfterReset() OTAData {
	for i := range o.Entries {
		if o.Entries[i].State == PendingVerify {
			o.Entries[i].State = Aborted
		}
	}
	return o
}

// StateOf gives the state of the entry that stands for s, the one that could
// be booted first; false when there is none (for [Factory] always).
func (o OTAData) StateOf(s Slot, slots int) (OTAState, bool) {
	if i := o.entryOf(s, slots); i >= 0 {
		return o.Entries[i].State, true
	}
	return Undefined, false
}

// entryOf gives the whole entry that stands for s: a bootable one before one
// that is not, a higher sequence number before a lower; -1 for none.
func (o OTAData) entryOf(s Slot, slots int) int {
	best := -1
	for i, e := range o.Entries {
		if slots < 1 || !e.Valid() || e.slot(slots) != s {
			continue
		}
		if best < 0 || better(e, o.Entries[best]) {
			best = i
		}
	}
	return best
}

func better(e, than Entry) bool {
	if e.bootable() != than.bootable() {
		return e.bootable()
	}
	return e.Seq > than.Seq
}

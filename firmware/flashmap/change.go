package flashmap

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// Decisions of the planners.
var (
	// ErrSlot says that a slot cannot take the part it was given.
	ErrSlot = errors.New("wrong slot")
	// ErrOnTrial says that the slot to fall back on is itself unconfirmed: the
	// next reset would abort it.
	ErrOnTrial = errors.New("slot is on trial")
	// ErrNotBooted says that the slot to confirm is not the one that boots.
	ErrNotBooted = errors.New("slot is not the one that boots")
)

// Edit is one erase and write of a sector of the OTA data partition, the unit
// that a power cut can hit. The 32 bytes of an entry are written in rising
// order of addresses, so that its CRC comes last.
type Edit struct {
	Offset uint32 // in the partition: 0 or 0x1000
	Data   []byte // the sector's whole content, 4096 bytes
}

// plan collects edits and what the OTA data are after them.
type plan struct {
	OTAData
	edits []Edit
}

// put writes an entry, unless it stands there already.
func (p *plan) put(i int, e Entry) {
	if p.Entries[i] == e {
		return
	}
	data := bytes.Repeat([]byte{0xFF}, sectorSize)
	raw := e.Bytes()
	copy(data, raw[:])
	p.Entries[i] = e
	p.edits = append(p.edits, Edit{Offset: uint32(i * sectorSize), Data: data})
}

// putState writes entry i again with another state. An entry of sequence
// number 0 is renumbered: the CRC of 0 is FF…, so that it would count before
// it is written whole.
func (p *plan) putState(i int, s OTAState, slots int) {
	e := p.Entries[i]
	if e.Seq == 0 {
		e.Seq, _ = seqAbove(0, e.slot(slots), slots)
		e.CRC = seqCRC(e.Seq)
	}
	e.State = s
	p.put(i, e)
}

// newEntry is a whole entry, its label blank as ESP-IDF leaves it.
func newEntry(seq uint32, s OTAState) Entry {
	return Entry{Seq: seq, Label: [20]byte(bytes.Repeat([]byte{0xFF}, 20)), State: s, CRC: seqCRC(seq)}
}

// seqAbove gives the lowest sequence number for s above base, false when there
// is none left.
func seqAbove(base uint32, s Slot, slots int) (uint32, bool) {
	n := uint64(slots)
	seq := uint64(base) + 1 + (uint64(s)+n-uint64(base)%n)%n
	return uint32(min(seq, math.MaxUint32)), seq <= maxSeq
}

// spare gives the entry that is not chosen, entry 0 when none is, and the
// sequence number that an entry has to exceed to be chosen instead.
func (p *plan) spare(slots int) (at int, base uint32) {
	_, chosen := p.Choose(slots)
	if chosen < 0 {
		return 0, 0
	}
	return 1 - chosen, p.Entries[chosen].Seq
}

// seat makes good, a slot that is known to work, bootable by the spare entry,
// in state Valid, and gives that entry. It outranks the other entry where the
// numbers allow it; at the end of the number space it starts anew at the
// bottom, and the caller gets the other entry out of the way next.
func (p *plan) seat(good Slot, slots int) int {
	at, base := p.spare(slots)
	seq, ok := seqAbove(base, good, slots)
	if !ok {
		seq, _ = seqAbove(0, good, slots)
	}
	p.put(at, newEntry(seq, Valid))
	return at
}

// Switch plans to boot `to` on trial (state New), with `from`, the slot that
// runs and works, as what the chip falls back on. slots is the number of OTA
// slots. An entry that holds `from` is left as it is. No edits mean that all
// is as it should be.
//
// Usually that is one edit, of the entry that does not hold `from`. Where no
// entry holds `from` although it runs (the bootloader fell back on it because
// another app was damaged), or its sequence number is the last of the number
// space, `from` gets an entry first.
//
// It refuses slots that cannot be ([ErrSlot]) and a `from` whose own trial is
// not over ([ErrOnTrial]).
func (o OTAData) Switch(from, to Slot, slots int) ([]Edit, error) {
	if err := checkSlots(slots, from, to); err != nil {
		return nil, err
	}
	if to == Factory {
		return nil, fmt.Errorf("%w: factory has no trial; restore it instead", ErrSlot)
	}
	p := &plan{OTAData: o}
	if from == Factory {
		p.trialOverFactory(to, slots)
		return p.edits, nil
	}
	holder := p.holderOf(from, slots)
	if holder >= 0 && p.Entries[holder].State == PendingVerify {
		return nil, fmt.Errorf("%w: %v has not been confirmed, so the next reset would abort it; confirm or restore it first", ErrOnTrial, from)
	}
	if holder < 0 {
		holder = p.seat(from, slots)
	}
	target := p.Entries[1-holder]
	if target.holds(to, slots) && target.State == New && target.Seq > p.Entries[holder].Seq {
		return p.edits, nil
	}
	seq, ok := seqAbove(p.Entries[holder].Seq, to, slots)
	if !ok { // `from` starts anew at the bottom, in the other entry; until that is done its old one counts
		holder = 1 - holder
		first, _ := seqAbove(0, from, slots)
		p.put(holder, newEntry(first, Valid))
		seq, _ = seqAbove(first, to, slots)
	}
	p.put(1-holder, newEntry(seq, New))
	return p.edits, nil
}

// trialOverFactory puts `to` on trial with factory to fall back on: no other
// entry may stay bootable. The entry that is chosen now goes last, so that the
// one beneath it never comes up.
func (p *plan) trialOverFactory(to Slot, slots int) {
	_, target := p.Choose(slots)
	if target < 0 {
		target = 0
	}
	if p.Entries[1-target].bootable() {
		p.putState(1-target, Invalid, slots)
	}
	seq, _ := seqAbove(0, to, slots)
	p.put(target, newEntry(seq, New))
}

// holderOf gives the entry that boots s: one whose state no reset changes
// before one on trial, a higher sequence number before a lower; -1 for none.
func (o OTAData) holderOf(s Slot, slots int) int {
	best := -1
	for i, e := range o.Entries {
		if !e.holds(s, slots) {
			continue
		}
		if best < 0 || e.onTrial() == o.Entries[best].onTrial() && e.Seq > o.Entries[best].Seq || o.Entries[best].onTrial() && !e.onTrial() {
			best = i
		}
	}
	return best
}

// Confirm plans to end the trial of s, which runs and has proved itself, for
// firmware that cannot do so itself: its entry becomes Valid. While the sector
// is rewritten a power cut costs the trial, never the fall-back; Confirm then
// writes the entry anew.
//
// It refuses a slot whose trial was ended by a reset, and one that another
// entry outranks ([ErrNotBooted]).
func (o OTAData) Confirm(s Slot, slots int) ([]Edit, error) {
	if err := checkSlots(slots, s); err != nil {
		return nil, err
	}
	if s == Factory {
		return nil, fmt.Errorf("%w: factory has no trial to confirm", ErrSlot)
	}
	p := &plan{OTAData: o}
	chosen, at := p.Choose(slots)
	if chosen == s {
		p.putState(at, Valid, slots)
		return p.edits, nil
	}
	if st, ok := p.StateOf(s, slots); ok {
		return nil, fmt.Errorf("%w: %v is %v, the chip boots %v", ErrNotBooted, s, st, chosen)
	}
	// The entry of s is gone: a cut while it was being confirmed leaves one blank or torn.
	free, base := p.spare(slots)
	seq, ok := seqAbove(base, s, slots)
	if !ok || p.Entries[0].Valid() && p.Entries[1].Valid() {
		return nil, fmt.Errorf("%w: no entry is left for %v, the chip boots %v", ErrNotBooted, s, chosen)
	}
	p.put(free, newEntry(seq, Valid))
	return p.edits, nil
}

// Restore plans to boot `good` again, a slot that is known to work (perhaps
// [Factory]), and to make sure that `bad` is not booted: an entry that holds it
// becomes Invalid, also one that a reset may or may not abort (PendingVerify).
// No edits mean that all is as it should be.
func (o OTAData) Restore(bad, good Slot, slots int) ([]Edit, error) {
	if err := checkSlots(slots, bad, good); err != nil {
		return nil, err
	}
	p := &plan{OTAData: o}
	if good == Factory {
		p.onlyFactory(slots)
		return p.edits, nil
	}
	keep := p.holderOf(good, slots)
	if keep < 0 || p.Entries[keep].onTrial() {
		keep = p.seat(good, slots)
	}
	_, chosen := p.Choose(slots)
	if chosen != keep || p.Entries[1-keep].holds(bad, slots) {
		p.putState(1-keep, Invalid, slots)
	}
	return p.edits, nil
}

// onlyFactory makes every entry unbootable, the chosen one last, so that the
// one beneath it never comes up.
func (p *plan) onlyFactory(slots int) {
	_, chosen := p.Choose(slots)
	if chosen < 0 {
		return
	}
	for _, i := range []int{1 - chosen, chosen} {
		if p.Entries[i].bootable() {
			p.putState(i, Invalid, slots)
		}
	}
}

// checkSlots refuses slots that the chip does not have, and two of the same.
func checkSlots(slots int, s ...Slot) error {
	if slots < 1 || slots > MaxOTASlots {
		return fmt.Errorf("%w: a chip with %d OTA slots", ErrSlot, slots)
	}
	for i, one := range s {
		if one < Factory || int(one) >= slots {
			return fmt.Errorf("%w: %v on a chip with %d OTA slots", ErrSlot, one, slots)
		}
		if i > 0 && one == s[0] {
			return fmt.Errorf("%w: %v is both what to leave and where to go", ErrSlot, one)
		}
	}
	return nil
}

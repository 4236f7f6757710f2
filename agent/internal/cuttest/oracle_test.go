package cuttest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"
)

// oracle watches the flash from inside the chip. It has its own idea of what
// ESP-IDF's boot loader chooses, and shares no code with product or simulator.
type oracle struct {
	f      flow
	old    release
	older  release
	fresh  release // the one that the update brings
	mu     sync.Mutex
	faults []string
	// confirmed is the slot that booted last as confirmed, what has to stay
	// bootable.
	confirmed int
	image     []byte
	switched  bool // as the agent has made it durable: the new firmware may boot
	switching bool // the agent has yet to finish that: it may put on trial what has confirmed itself meanwhile
}

func newOracle(p *plant, f flow) *oracle {
	o := &oracle{f: f, old: p.old, older: p.older, fresh: p.releases[f.behaviour], image: p.old.app}
	if f.factory {
		o.confirmed = -1
	}
	return o
}

// fault notes what must not be; the lock is held.
func (o *oracle) fault(format string, args ...any) {
	if len(o.faults) < 10 {
		o.faults = append(o.faults, fmt.Sprintf(format, args...))
	}
}

func (o *oracle) blame(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault(format, args...)
}

// name of the image that a partition holds whole; "": none that was verified.
func (o *oracle) name(partition []byte) string {
	for _, r := range []release{o.fresh, o.old, o.older} {
		if bytes.HasPrefix(partition, r.app) {
			return r.version
		}
	}
	return ""
}

// changed is asked after each change of the flash.
func (o *oracle) changed(flash []byte, addr, n uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	touches := func(at, size uint32) bool { return addr < at+size && at < addr+n }
	if touches(0, otaAt) && !touches(0x11000, otaAt-0x11000) {
		o.fault("boot loader or partition table are written, at %#x", addr)
	}
	if at := slotAt(o.confirmed); touches(at, slotSize) && !bytes.HasPrefix(flash[at:], o.image) {
		o.fault("the confirmed image in %s is written over, at %#x", slotName(o.confirmed), addr)
	}
	next, state := o.chosen(flash)
	if !touches(otaAt, 0x2000) && !touches(slotAt(next), slotSize) {
		return
	}
	slot, ok := o.boots1(flash, next)
	if !ok {
		o.fault("after a write at %#x the chip has nothing to boot", addr)
		return
	}
	if slot != next {
		o.fault("after a write at %#x the OTA data choose %s, which holds no image that was verified", addr, slotName(next))
	}
	name := o.name(flash[slotAt(slot) : slotAt(slot)+slotSize])
	if name == o.fresh.version && !o.mayBoot() {
		o.fault("after a write at %#x the chip boots the new firmware, which the agent's memory knows nothing of", addr)
	}
	if name == o.older.version {
		o.fault("after a write at %#x the chip boots neither the old nor the new firmware but %s", addr, name)
	}
	if slot == next && (state == otaValid || state == otaUndefined) {
		o.confirmed, o.image = slot, bytes.Clone(flash[slotAt(slot):][:imageSize])
	}
	back := o.wayBack(flash)
	if o.switching && state == otaNew && name == o.fresh.version && o.name(flash[slotAt(back):slotAt(back)+slotSize]) == o.old.version {
		o.confirmed, o.image = back, o.old.app // as where the entry is erased first
	}
	if back != o.confirmed {
		o.fault("after a write at %#x a failed trial would end in %s, not in %s", addr, slotName(back), slotName(o.confirmed))
	}
}

// mayBoot says whether the new firmware may: it is on trial, or confirmed.
func (o *oracle) mayBoot() bool { return o.switched || bytes.Equal(o.image, o.fresh.app) }

// booted is asked when the boot loader starts an image.
func (o *oracle) booted(slot string, partition []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := o.name(partition)
	switch {
	case name == "":
		o.fault("an image boots from %s that nobody verified", slot)
	case name == o.older.version:
		o.fault("the firmware before the old one boots from %s", slot)
	case name == o.fresh.version && !o.mayBoot():
		o.fault("the new firmware boots, which the agent's memory knows nothing of")
	}
}

const (
	otaNew       = 0
	otaPending   = 1
	otaValid     = 2
	otaInvalid   = 3
	otaAborted   = 4
	otaUndefined = 0xFFFFFFFF
)

type otaChoice struct {
	seq, state uint32
	good       bool
}

func entries(flash []byte) (e [2]otaChoice) {
	for i := range e {
		raw := flash[otaAt+0x1000*i:]
		e[i].seq, e[i].state = binary.LittleEndian.Uint32(raw), binary.LittleEndian.Uint32(raw[24:])
		sum := crc32.Update(0xFFFFFFFF, crc32.IEEETable, raw[:4])
		e[i].good = e[i].seq != 0xFFFFFFFF && binary.LittleEndian.Uint32(raw[28:]) == sum
	}
	return e
}

// choose is the slot by the highest entry that counts, and its state.
func choose(e [2]otaChoice) (slot int, state uint32) {
	best := -1
	for i, x := range e {
		if x.good && x.state != otaInvalid && x.state != otaAborted && (best < 0 || x.seq > e[best].seq) {
			best = i
		}
	}
	if best < 0 {
		return -1, otaValid // factory
	}
	return int((e[best].seq - 1) % 2), e[best].state
}

// chosen is what the OTA data choose if the chip starts now: with rollback, one
// that is on trial has lost it.
func (o *oracle) chosen(flash []byte) (slot int, state uint32) {
	e := entries(flash)
	for i := range e {
		if e[i].state == otaPending && !o.f.plain {
			e[i].state = otaAborted
		}
	}
	return choose(e)
}

// wayBack is the slot that boots once what is not confirmed has failed.
func (o *oracle) wayBack(flash []byte) int {
	e := entries(flash)
	for i := range e {
		if e[i].state == otaPending || e[i].state == otaNew {
			e[i].state = otaAborted
		}
	}
	slot, _ := choose(e)
	slot, _ = o.boots1(flash, slot)
	return slot
}

// boots1 is the slot that boots when one is chosen: where it holds no whole
// image, those below it are tried down to factory, then those above it.
func (o *oracle) boots1(flash []byte, chosen int) (int, bool) {
	order := map[int][]int{-1: {-1, 0, 1}, 0: {0, -1, 1}, 1: {1, 0, -1}}[chosen]
	for _, s := range order {
		if o.name(flash[slotAt(s):slotAt(s)+slotSize]) != "" {
			return s, true
		}
	}
	return 0, false
}

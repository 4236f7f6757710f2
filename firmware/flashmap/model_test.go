package flashmap_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

// This file holds a model of ESP-IDF's second-stage bootloader and of NOR
// flash, written from esp32.md's facts and bytes only: it shares no code with
// the package.

const (
	sector = 4096
	stNew, stPending, stValid,
	stInvalid, stAborted = 0, 1, 2, 3, 4
	stUndefined = 0xFFFFFFFF
	factory     = flashmap.Factory
)

// chip is a chip's OTA data partition and what boots from it.
type chip struct {
	flash    [2 * 32]byte // the entries' bytes; the rest of a sector stays blank
	slots    int
	rollback bool // CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE
}

// partition is the flash that parse reads; only the entries in it ever change.
var partition = bytes.Repeat([]byte{0xFF}, 2*sector)

// boot is one run of the bootloader: it marks trials and gives the slot.
func (c *chip) boot() flashmap.Slot {
	var seq, state [2]uint32
	var ok [2]bool
	for i := range 2 {
		e := c.flash[32*i:]
		seq[i] = binary.LittleEndian.Uint32(e)
		state[i] = binary.LittleEndian.Uint32(e[24:])
		if c.rollback && state[i] == stPending {
			state[i] = stAborted
			binary.LittleEndian.PutUint32(e[24:], stAborted)
		}
		ok[i] = seq[i] != 0xFFFFFFFF && state[i] != stInvalid && state[i] != stAborted &&
			binary.LittleEndian.Uint32(e[28:]) == romCRC(seq[i])
	}
	var active int
	switch {
	case ok[0] && ok[1]:
		if seq[1] > seq[0] {
			active = 1
		} else {
			active = 0
		}
	case ok[0]:
		active = 0
	case ok[1]:
		active = 1
	default:
		return factory
	}
	if c.rollback && state[active] == stNew {
		binary.LittleEndian.PutUint32(c.flash[32*active+24:], stPending)
	}
	return flashmap.Slot((seq[active] - 1) % uint32(c.slots))
}

// romCRC is the ROM's crc32_le(UINT32_MAX, seq), bit by bit: the register
// starts at ^UINT32_MAX and the result is inverted.
func romCRC(seq uint32) uint32 {
	r := uint32(0)
	for i := range 32 {
		bit := (r ^ seq>>i) & 1
		r >>= 1
		if bit == 1 {
			r ^= 0xEDB88320
		}
	}
	return ^r
}

// entry gives the 32 bytes of an entry.
func entry(seq, state, crc uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, seq)
	b = append(b, bytes.Repeat([]byte{0xFF}, 20)...)
	b = binary.LittleEndian.AppendUint32(b, state)
	return binary.LittleEndian.AppendUint32(b, crc)
}

func whole(seq, state uint32) []byte { return entry(seq, state, romCRC(seq)) }

var blankEntry = bytes.Repeat([]byte{0xFF}, 32)

// chips gives a chip for every pair of entry states, sequence numbers and
// number of slots.
func chips(rollback bool, visit func(chip)) {
	seqs := [][2]uint32{
		{1, 2}, {2, 1}, {1, 1}, {3, 1}, {2, 9}, {0, 5}, {6, 0},
		{2, 0xFFFFFFFE}, {0xFFFFFFFD, 0xFFFFFFFE}, {0xFFFFFFFE, 0xFFFFFFFC},
	}
	states := []uint32{stNew, stPending, stValid, stInvalid, stAborted, stUndefined}
	variants := func(seq uint32) [][]byte {
		v := [][]byte{blankEntry, entry(seq, stValid, romCRC(seq)^0x80)} // blank; torn
		for _, s := range states {
			v = append(v, whole(seq, s))
		}
		return v
	}
	for slots := 1; slots <= 3; slots++ {
		for _, s := range seqs {
			for _, e0 := range variants(s[0]) {
				for _, e1 := range variants(s[1]) {
					c := chip{slots: slots, rollback: rollback}
					copy(c.flash[:], e0)
					copy(c.flash[32:], e1)
					visit(c)
				}
			}
		}
	}
}

// cuts visits the chip as it is after a power cut at every point of the edits:
// before, inside and after each erase, and inside each write, byte by byte and
// within a byte. done says that all edits are through.
func cuts(t testing.TB, c chip, edits []flashmap.Edit, rng *rand.Rand, visit func(c chip, where string, done bool)) {
	t.Helper()
	visit(c, "before any edit", len(edits) == 0)
	for n, e := range edits {
		if e.Offset != 0 && e.Offset != sector || len(e.Data) != sector {
			t.Fatalf("edit %d is no sector: offset %#x, %d bytes", n, e.Offset, len(e.Data))
		}
		if !bytes.Equal(e.Data[32:], bytes.Repeat([]byte{0xFF}, sector-32)) {
			t.Fatalf("edit %d writes behind the entry", n)
		}
		at := c.flash[32*(e.Offset/sector):][:32]
		old := [32]byte(at)
		for k := 1; k < 32; k++ { // an erase that went through the first k bytes
			copy(at, blankEntry[:k])
			visit(c, fmt.Sprintf("edit %d, %d bytes erased", n, k), false)
		}
		for range 3 { // an erase that set bits here and there
			for i := range at {
				at[i] = old[i] | byte(rng.Uint32())
			}
			at[0], at[31] = at[0]|0xF0, at[31]|0x0F
			if [4]byte(at[:4]) != [4]byte(old[:4]) {
				visit(c, fmt.Sprintf("edit %d, half erased", n), false)
			}
		}
		copy(at, blankEntry)
		visit(c, fmt.Sprintf("edit %d, erased", n), false)
		for k := range 32 { // a write only clears bits
			if at[k] = e.Data[k] | 0x55; k == 31 && at[k] == e.Data[k] {
				break // the last byte was complete with half its bits
			}
			visit(c, fmt.Sprintf("edit %d, byte %d half written", n, k), false)
			if at[k] = e.Data[k]; k < 31 && !bytes.Equal(e.Data[k+1:32], blankEntry[k+1:]) {
				visit(c, fmt.Sprintf("edit %d, %d bytes written", n, k+1), false)
			}
		}
		copy(at, e.Data)
		visit(c, fmt.Sprintf("edit %d made", n), n == len(edits)-1)
	}
}

func parse(t testing.TB, c chip) flashmap.OTAData {
	t.Helper()
	copy(partition, c.flash[:32])
	copy(partition[sector:], c.flash[32:])
	o, err := flashmap.ParseOTAData(partition)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// apply makes the edits.
func apply(c chip, edits []flashmap.Edit) chip {
	for _, e := range edits {
		copy(c.flash[32*(e.Offset/sector):][:32], e.Data)
	}
	return c
}

// held tells whether an entry that no reset takes away boots s.
func held(c chip, s flashmap.Slot) bool {
	if s == factory {
		return true // a fall-back that needs no entry
	}
	for i := range 2 {
		e := c.flash[32*i:]
		seq, state := binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[24:])
		if seq != 0xFFFFFFFF && binary.LittleEndian.Uint32(e[28:]) == romCRC(seq) &&
			(state == stValid || state == stUndefined) &&
			flashmap.Slot((seq-1)%uint32(c.slots)) == s {
			return true
		}
	}
	return false
}

func describe(c chip) string {
	return fmt.Sprintf("%d slots, rollback %v, entries % x | % x", c.slots, c.rollback, c.flash[:32], c.flash[32:])
}

// eachChange runs plan over all chips and pairs of slots, with rollback in the
// bootloader and without.
func eachChange(t *testing.T, run func(t *testing.T, c chip, a, b flashmap.Slot)) {
	for _, rollback := range []bool{true, false} {
		t.Run(fmt.Sprintf("rollback %v", rollback), func(t *testing.T) {
			chips(rollback, func(c chip) {
				for a := factory; int(a) < c.slots; a++ {
					for b := factory; int(b) < c.slots; b++ {
						if a != b {
							run(t, c, a, b)
						}
					}
				}
			})
		})
	}
}

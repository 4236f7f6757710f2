package flashmap_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

// otaData builds a partition from the 32 bytes of each entry.
func otaData(e0, e1 []byte) []byte {
	b := make([]byte, 2*sector)
	for i := range b {
		b[i] = 0xFF
	}
	copy(b, e0)
	copy(b[sector:], e1)
	return b
}

func mustParse(t testing.TB, e0, e1 []byte) flashmap.OTAData {
	t.Helper()
	o, err := flashmap.ParseOTAData(otaData(e0, e1))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestEntryCRC holds the CRC against vectors taken from a chip.
func TestEntryCRC(t *testing.T) {
	for seq, crc := range map[uint32]uint32{1: 0x4743989A, 2: 0x55F63774, 3: 0xED4A5011, 4: 0x709D68A8} {
		o := mustParse(t, entry(seq, stValid, crc), entry(seq, stValid, crc^1))
		if !o.Entries[0].Valid() {
			t.Errorf("seq %d with CRC %08X is not valid", seq, crc)
		}
		if o.Entries[1].Valid() {
			t.Errorf("seq %d with CRC %08X is valid", seq, crc^1)
		}
		if romCRC(seq) != crc {
			t.Errorf("the model's CRC of %d is %08X, want %08X", seq, romCRC(seq), crc)
		}
	}
	if (flashmap.Entry{Seq: 0xFFFFFFFF, CRC: romCRC(0xFFFFFFFF)}).Valid() {
		t.Error("an entry with a blank sequence number is valid")
	}
}

func TestParseOTAData(t *testing.T) {
	e0 := entry(5, stPending, romCRC(5))
	copy(e0[4:], "label-of-twenty-byte")
	o := mustParse(t, e0, blankEntry)
	want := flashmap.Entry{Seq: 5, Label: [20]byte([]byte("label-of-twenty-byte")), State: flashmap.PendingVerify, CRC: romCRC(5)}
	if o.Entries[0] != want {
		t.Errorf("entry 0 is %+v, want %+v", o.Entries[0], want)
	}
	if o.Entries[1].Valid() {
		t.Error("a blank entry is valid")
	}
	for _, n := range []int{0, 32, 2*sector - 1} {
		if _, err := flashmap.ParseOTAData(make([]byte, n)); !errors.Is(err, flashmap.ErrOTAData) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := flashmap.ParseOTAData(make([]byte, 3*sector)); err != nil {
		t.Errorf("a larger partition: %v", err)
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name   string
		e0, e1 []byte
		slots  int
		want   flashmap.Slot
		entry  int
	}{
		{"blank", blankEntry, blankEntry, 2, factory, -1},
		{"no slots", whole(1, stValid), blankEntry, 0, factory, -1},
		{"first update", whole(1, stValid), blankEntry, 2, 0, 0},
		{"second update", whole(1, stValid), whole(2, stNew), 2, 1, 1},
		{"the higher, not the later", whole(3, stValid), whole(2, stValid), 2, 0, 0},
		{"entry 0 holds ota_1", whole(2, stValid), whole(1, stValid), 2, 1, 0},
		{"both hold ota_0", whole(1, stValid), whole(3, stValid), 2, 0, 1},
		{"aborted", whole(1, stValid), whole(2, stAborted), 2, 0, 0},
		{"invalid", whole(1, stValid), whole(2, stInvalid), 2, 0, 0},
		{"both out", whole(1, stInvalid), whole(2, stAborted), 2, factory, -1},
		{"torn", whole(1, stValid), entry(2, stNew, 0xFFFFFFFF), 2, 0, 0},
		{"undefined", whole(1, stValid), whole(2, stUndefined), 2, 1, 1},
		{"equal numbers", whole(7, stValid), whole(7, stValid), 2, 0, 0},
		{"three slots", whole(6, stValid), whole(5, stValid), 3, 2, 0},
		{"the last number", whole(0xFFFFFFFE, stValid), whole(1, stValid), 2, 1, 0},
	} {
		if s, e := mustParse(t, c.e0, c.e1).Choose(c.slots); s != c.want || e != c.entry {
			t.Errorf("%s: chose %v by entry %d, want %v by %d", c.name, s, e, c.want, c.entry)
		}
	}
}

func TestStateOf(t *testing.T) {
	o := mustParse(t, whole(2, stPending), whole(3, stAborted))
	for _, c := range []struct {
		slot  flashmap.Slot
		slots int
		want  flashmap.OTAState
		ok    bool
	}{
		{1, 2, flashmap.PendingVerify, true},
		{0, 2, flashmap.Aborted, true},
		{factory, 2, flashmap.Undefined, false},
		{2, 3, flashmap.Aborted, true},
		{0, 3, flashmap.Undefined, false},
		{0, 0, flashmap.Undefined, false},
		{0, 1, flashmap.PendingVerify, true}, // both stand for it; the bootable one counts
	} {
		if st, ok := o.StateOf(c.slot, c.slots); st != c.want || ok != c.ok {
			t.Errorf("%v of %d: %v, %v, want %v, %v", c.slot, c.slots, st, ok, c.want, c.ok)
		}
	}
	twice := mustParse(t, whole(1, stUndefined), whole(3, stValid))
	if st, _ := twice.StateOf(0, 2); st != flashmap.Valid {
		t.Errorf("of two bootable entries the lower was taken: %v", st)
	}
}

func TestOTAStateString(t *testing.T) {
	for s, want := range map[flashmap.OTAState]string{
		0: "new", 1: "pending_verify", 2: "valid", 3: "invalid", 4: "aborted", 0xFFFFFFFF: "undefined", 9: "unknown state 0x9",
	} {
		if got := s.String(); got != want {
			t.Errorf("%d is %q, want %q", uint32(s), got, want)
		}
	}
}

func TestSlotText(t *testing.T) {
	for s := factory; s < flashmap.MaxOTASlots; s++ {
		if got, err := flashmap.ParseSlot(s.String()); err != nil || got != s {
			t.Errorf("%v is read as %v, %v", s, got, err)
		}
	}
	if s := flashmap.Slot(1).String(); s != "ota_1" {
		t.Errorf("slot 1 is %q", s)
	}
	for _, bad := range []string{"", "ota_", "ota_16", "ota_-1", "ota_01", "ota_300", "Factory", "ota_1 ", "1"} {
		if s, err := flashmap.ParseSlot(bad); err == nil {
			t.Errorf("%q is read as %v", bad, s)
		}
	}
}

func FuzzParseOTAData(f *testing.F) {
	f.Add(blankEntry, blankEntry, uint8(2), int8(-1), int8(0))
	f.Add(whole(1, stValid), whole(2, stPending), uint8(2), int8(0), int8(1))
	f.Add(whole(0xFFFFFFFE, stValid), entry(0, stNew, 0xFFFFFFFF), uint8(3), int8(2), int8(1))
	f.Fuzz(func(t *testing.T, e0, e1 []byte, n uint8, a, b int8) {
		copy(partition, blankEntry)
		copy(partition[sector:], blankEntry)
		copy(partition[:32], e0)
		copy(partition[sector:sector+32], e1)
		o, err := flashmap.ParseOTAData(partition)
		if err != nil {
			t.Fatal(err)
		}
		slots, from, to := int(n), flashmap.Slot(a), flashmap.Slot(b)
		if s, at := o.Choose(slots); s != factory && (int(s) >= slots || !o.Entries[at].Valid()) {
			t.Fatalf("chose %v of %d by entry %d", s, slots, at)
		}
		for name, plan := range map[string]func() ([]flashmap.Edit, error){
			"switch":  func() ([]flashmap.Edit, error) { return o.Switch(from, to, slots) },
			"restore": func() ([]flashmap.Edit, error) { return o.Restore(from, to, slots) },
			"confirm": func() ([]flashmap.Edit, error) { return o.Confirm(to, slots) },
		} {
			edits, err := plan()
			if err != nil {
				continue
			}
			c := apply(chip{flash: [64]byte(append(bytes.Clone(partition[:32]), partition[sector:sector+32]...)), slots: slots}, edits)
			if got := c.boot(); len(edits) > 3 || got != to {
				t.Fatalf("%s %v → %v of %d: %d edits, boots %v", name, from, to, slots, len(edits), got)
			}
		}
	})
}

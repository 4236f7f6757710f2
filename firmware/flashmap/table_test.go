package flashmap_test

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

const flash8MB = 8 << 20

type row struct {
	typ, subtype byte
	offset, size uint32
	label        string
}

// fleet is the partition table of the existing robots.
var fleet = []row{
	{1, 2, 0x11000, 0x6000, "nvs"},
	{1, 1, 0x17000, 0x1000, "phy_init"},
	{1, 0, 0x18000, 0x2000, "otadata"},
	{0, 0, 0x20000, 0x200000, "factory"},
	{0, 0x10, 0x220000, 0x200000, "ota_0"},
	{0, 0x11, 0x420000, 0x200000, "ota_1"},
	{1, 3, 0x620000, 0x10000, "coredump"},
	{1, 4, 0x630000, 0x1000, "nvs_keys"},
	{1, 0x82, 0x631000, 0x1CF000, "storage"},
}

func rows(rs []row) []byte {
	var b []byte
	for _, r := range rs {
		b = append(b, 0xAA, 0x50, r.typ, r.subtype)
		b = binary.LittleEndian.AppendUint32(b, r.offset)
		b = binary.LittleEndian.AppendUint32(b, r.size)
		label := make([]byte, 16)
		copy(label, r.label)
		b = append(b, label...)
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

// table builds a whole table: rows, MD5 row, FF.
func table(rs []row) []byte { return seal(rows(rs)) }

func seal(b []byte) []byte {
	sum := md5.Sum(b)
	b = append(b, 0xEB, 0xEB)
	b = append(b, bytes.Repeat([]byte{0xFF}, 14)...)
	b = append(b, sum[:]...)
	return append(b, bytes.Repeat([]byte{0xFF}, max(0, flashmap.TableSize-len(b)))...)
}

// change gives the fleet's table with one row changed.
func change(label string, f func(*row)) []byte {
	rs := append([]row(nil), fleet...)
	for i := range rs {
		if rs[i].label == label {
			f(&rs[i])
		}
	}
	return table(rs)
}

// TestGoldenTable reads a table of two rows, written out byte by byte.
func TestGoldenTable(t *testing.T) {
	raw, err := hex.DecodeString(
		"aa500100" + "00d00000" + "00200000" + "6f746164617461000000000000000000" + "00000000" +
			"aa500010" + "00000100" + "00001000" + "6f74615f300000000000000000000000" + "01000000" +
			"ebebffffffffffffffffffffffffffff" + "6abc5ef9c3b31dbbb1829914e9294477")
	if err != nil {
		t.Fatal(err)
	}
	tab, err := flashmap.ParseTable(raw, 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := []flashmap.Partition{
		{Type: 1, Offset: 0xD000, Size: 0x2000, Label: "otadata"},
		{Subtype: 0x10, Offset: 0x10000, Size: 0x100000, Label: "ota_0", Flags: 1},
	}
	got := tab.Partitions()
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, ok := tab.Slot(factory); ok || tab.OTASlots() != 1 {
		t.Errorf("factory %v, %d OTA slots, want none and 1", ok, tab.OTASlots())
	}
}

func TestFleetTable(t *testing.T) {
	tab, err := flashmap.ParseTable(append(table(fleet), "what lies behind it"...), flash8MB)
	if err != nil {
		t.Fatal(err)
	}
	if tab.OTASlots() != 2 || len(tab.Partitions()) != len(fleet) {
		t.Errorf("%d OTA slots in %d partitions", tab.OTASlots(), len(tab.Partitions()))
	}
	for slot, offset := range map[flashmap.Slot]uint32{factory: 0x20000, 0: 0x220000, 1: 0x420000} {
		if p, ok := tab.Slot(slot); !ok || p.Offset != offset || p.Size != 0x200000 || p.Label != slot.String() {
			t.Errorf("%v: %+v, %v", slot, p, ok)
		}
	}
	for _, none := range []flashmap.Slot{2, -2, 15} {
		if p, ok := tab.Slot(none); ok {
			t.Errorf("%v: %+v", none, p)
		}
	}
	if p, ok := tab.OTAData(); !ok || p.Offset != 0x18000 || p.Size != 0x2000 {
		t.Errorf("OTA data: %+v, %v", p, ok)
	}
	tab.Partitions()[0].Label = "changed"
	if tab.Partitions()[0].Label != "nvs" {
		t.Error("Partitions hands out the table's own rows")
	}
	if at := flashmap.TableOffsets(); len(at) != 2 || at[0] != 0x8000 || at[1] != 0x10000 {
		t.Errorf("a table is looked for at %#x", at)
	}
}

func TestManySlots(t *testing.T) {
	rs := []row{{1, 0, 0x10000, 0x2000, "otadata"}, {0, 0x20, 0x20000, 0x1000, "test"}}
	for i := range uint32(16) {
		rs = append(rs, row{0, byte(0x10 + i), 0x30000 + i*0x10000, 0x10000, flashmap.Slot(i).String()})
	}
	tab, err := flashmap.ParseTable(table(rs), flash8MB)
	if err != nil || tab.OTASlots() != flashmap.MaxOTASlots {
		t.Fatalf("%d slots, %v", tab.OTASlots(), err)
	}
}

func TestTableRefused(t *testing.T) {
	whole := table(fleet)
	cut := func(n int) []byte { return whole[:n] }
	flip := func(at int) []byte {
		b := bytes.Clone(whole)
		b[at] ^= 1
		return b
	}
	full := make([]row, 0, 96)
	for i := range uint32(96) {
		full = append(full, row{1, 0x40, 0x11000 + i*0x1000, 0x1000, "p" + string(rune('0'+i/10)) + string(rune('0'+i%10))})
	}
	for _, c := range []struct {
		name string
		raw  []byte
		says string
	}{
		{"empty", nil, "no MD5 row"},
		{"blank flash", bytes.Repeat([]byte{0xFF}, flashmap.TableSize), "row 0 is blank"},
		{"zeros", make([]byte, flashmap.TableSize), "begins with 00 00"},
		{"bootloader in its place", append([]byte{0xE9, 3, 2, 0x3F}, make([]byte, 60)...), "begins with e9 03"},
		{"cut before the MD5 row", cut(9 * 32), "no MD5 row"},
		{"cut inside the MD5 row", cut(9*32 + 31), "no MD5 row"},
		{"no MD5 row", append(rows(fleet), bytes.Repeat([]byte{0xFF}, 64)...), "row 9 is blank"},
		{"only an MD5 row", table(nil), "no row"},
		{"too many rows", table(full), "no MD5 row"},
		{"a row changed", flip(5), "damaged"},
		{"the MD5 changed", flip(9*32 + 16), "damaged"},
		{"the MD5 row's filling changed", flip(9*32 + 3), "damaged"},
		{"a row behind the MD5 row", append(cut(10*32), rows(fleet[:1])...), "follows its MD5 row"},
		{"behind the flash", change("storage", func(r *row) { r.size += 0x1000 }), "outside the flash"},
		{"wraps 2^32", change("storage", func(r *row) { r.size = math.MaxUint32 - 0xFFF }), "outside the flash"},
		{"empty partition", change("nvs", func(r *row) { r.size = 0 }), "outside the flash"},
		{"overlap", change("nvs", func(r *row) { r.size += 1 }), "nvs and phy_init overlap"},
		{"label twice", change("nvs", func(r *row) { r.label = "otadata" }), "two partitions are called otadata"},
		{"no label", change("nvs", func(r *row) { r.label = "" }), "not printable"},
		{"label not printable", change("nvs", func(r *row) { r.label = "n\x1bvs" }), "not printable"},
		{"two OTA data", change("coredump", func(r *row) { r.subtype = 0 }), "same type and subtype"},
		{"two factories", change("ota_0", func(r *row) { r.subtype = 0 }), "same type and subtype"},
		{"two ota_0", change("ota_1", func(r *row) { r.subtype = 0x10 }), "same type and subtype"},
		{"gap in the slots", change("ota_0", func(r *row) { r.subtype = 0x12 }), "ota_2 but no ota_0"},
		{"sector not aligned", change("nvs", func(r *row) { r.offset += 0x800; r.size -= 0x800 }), "not aligned"},
		{"app not on a page", change("factory", func(r *row) { r.offset += 0x1000; r.size -= 0x1000 }), "not aligned"},
		{"app of no whole sectors", change("factory", func(r *row) { r.size -= 4 }), "not whole sectors"},
		{"OTA data too small", change("otadata", func(r *row) { r.size = 0x1000 }), "need 0x2000"},
		{"OTA data on the bootloader", change("otadata", func(r *row) { r.offset = 0x4000 }), "on the bootloader"},
	} {
		_, err := flashmap.ParseTable(c.raw, flash8MB)
		if !errors.Is(err, flashmap.ErrTable) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", c.name, err, c.says)
		}
	}
	if _, err := flashmap.ParseTable(whole, 4<<20); !errors.Is(err, flashmap.ErrTable) {
		t.Errorf("a table for a larger flash: %v", err)
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add(table(fleet), uint32(flash8MB))
	f.Add(table(fleet)[:9*32], uint32(flash8MB))
	f.Add(rows(fleet[2:5]), uint32(0)) // sealed by the target, to get past the MD5
	f.Fuzz(func(t *testing.T, raw []byte, flashSize uint32) {
		for _, b := range [][]byte{raw, seal(bytes.Clone(raw[:min(len(raw), 64*32)/32*32]))} {
			tab, err := flashmap.ParseTable(b, flashSize)
			if err != nil {
				continue
			}
			var end uint64
			for _, p := range tab.Partitions() {
				end = max(end, uint64(p.Offset)+uint64(p.Size))
			}
			if end > uint64(flashSize) {
				t.Fatalf("a partition ends at %#x in a flash of %#x", end, flashSize)
			}
			for s := range flashmap.Slot(tab.OTASlots()) {
				if _, ok := tab.Slot(s); !ok {
					t.Fatalf("%v of %d is missing", s, tab.OTASlots())
				}
			}
		}
	})
}

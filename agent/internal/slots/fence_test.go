package slots

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

// memory is a flash that notes what is written, and may change it.
type memory struct {
	data   []byte
	writes int
	bend   func([]byte) []byte
}

func (m *memory) Read(_ context.Context, off, n uint32) ([]byte, error) {
	return m.data[off : off+n], nil
}
func (m *memory) MD5(_ context.Context, off, n uint32) ([16]byte, error) {
	return md5.Sum(m.data[off : off+n]), nil
}
func (m *memory) Write(_ context.Context, off uint32, data []byte, _ func(done, total int)) ([16]byte, error) {
	m.writes++
	if m.bend != nil {
		copy(m.data[off:], m.bend(data))
	}
	return md5.Sum(m.data[off : int(off)+len(data)]), nil
}

// TestFence: of the whole flash, only OTA slots that need not be kept and the
// OTA data can be written, whatever this package's other code might ask for.
func TestFence(t *testing.T) {
	raw, err := espsim.Provision(0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{data: raw}
	d := New(m, uint32(len(raw)), image.ESP32S3)
	v, err := d.layout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slot := func(s flashmap.Slot) flashmap.Partition {
		p, ok := v.Table.Slot(s)
		if !ok {
			t.Fatalf("no %v", s)
		}
		return p
	}
	ota, ok := v.Table.OTAData()
	if !ok {
		t.Fatal("no OTA data")
	}
	forged, wide, moved := slot(0), slot(0), ota
	forged.Offset = 0
	wide.Size *= 2
	moved.Offset = slot(1).Offset
	keep := []flashmap.Slot{1, flashmap.Factory}
	for _, tc := range []struct {
		name string
		p    flashmap.Partition
		off  uint32
		n    int
		want bool
	}{
		{"slot", slot(0), 0, 10_000, true},
		{"whole slot", slot(0), 0, int(slot(0).Size), true},
		{"one more", slot(0), 0, int(slot(0).Size) + 1, false},
		{"last sector and one more", slot(0), slot(0).Size - sectorSize, sectorSize + 1, false},
		{"not aligned", slot(0), 1, 10, false},
		{"nothing", slot(0), 0, 0, false},
		{"far out", slot(0), 0xFFFFF000, sectorSize, false},
		{"slot to keep", slot(1), 0, 10, false},
		{"factory", slot(flashmap.Factory), 0, 10, false},
		{"OTA data", ota, sectorSize, sectorSize, true},
		{"behind the OTA data", ota, 2 * sectorSize, sectorSize, false},
		{"a partition that is not in the table", forged, 0, 10, false},
		{"one that is larger than in the table", wide, 0, 10, false},
		{"OTA data elsewhere", moved, 0, sectorSize, false},
	} {
		before := m.writes
		_, err := d.write(t.Context(), v, tc.p, tc.off, make([]byte, tc.n), keep, nil)
		var r *Refusal
		if tc.want != (err == nil) || tc.want != (m.writes > before) {
			t.Errorf("%s: %v, written: %v", tc.name, err, m.writes > before)
		}
		if err != nil && (!errors.As(err, &r) || r.Code() != CodeFence || !r.Final()) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	for _, p := range v.Table.Partitions() {
		isSlot := p == slot(0) || p == slot(1)
		if v.writable(p) != (isSlot || p == ota) {
			t.Errorf("partition %q can be written: %v", p.Label, v.writable(p))
		}
	}
}

func TestBootOrder(t *testing.T) {
	for _, tc := range []struct {
		chosen flashmap.Slot
		slots  int
		want   []flashmap.Slot
	}{
		{flashmap.Factory, 2, []flashmap.Slot{-1, 0, 1}},
		{0, 2, []flashmap.Slot{0, -1, 1}},
		{1, 3, []flashmap.Slot{1, 0, -1, 2}},
	} {
		got := bootOrder(tc.chosen, tc.slots)
		if len(got) != len(tc.want) {
			t.Fatalf("%v: %v", tc.chosen, got)
		}
		for i := range got {
			if got[i] != tc.want[i] {
				t.Errorf("%v: %v, want %v", tc.chosen, got, tc.want)
			}
		}
	}
}

// TestReadBack: OTA data that do not read back as written, or that would boot
// something else, are an error.
func TestReadBack(t *testing.T) {
	for name, bend := range map[string]func([]byte) []byte{
		"not written": func([]byte) []byte { return nil },
		"bit flipped": func(p []byte) []byte { q := bytes.Clone(p); q[100] ^= 1; return q },
		"cut short":   func(p []byte) []byte { return p[:28] },
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := espsim.Provision(0, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			d := New(&memory{data: raw, bend: bend}, uint32(len(raw)), image.ESP32S3)
			v, err := d.layout(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			edits, err := v.OTA.Switch(flashmap.Factory, 0, 2)
			if err != nil {
				t.Fatal(err)
			}
			err = d.apply(t.Context(), v, edits, 0)
			var r *Refusal
			if !errors.As(err, &r) || r.Code() != CodeReadBack || r.Final() {
				t.Errorf("got %v", err)
			}
		})
	}
	raw, err := espsim.Provision(0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := New(&memory{data: raw}, uint32(len(raw)), image.ESP32S3)
	v, err := d.layout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var r *Refusal
	if err := d.apply(t.Context(), v, nil, 1); !errors.As(err, &r) || r.Code() != CodeReadBack {
		t.Errorf("no edits, and yet to boot ota_1: %v", err)
	}
	for _, e := range []flashmap.Edit{{Offset: 0x2000, Data: make([]byte, sectorSize)}, {Offset: 0, Data: make([]byte, 2*sectorSize)}} {
		if err := d.apply(t.Context(), v, []flashmap.Edit{e}, 0); !errors.As(err, &r) || r.Code() != CodeFence {
			t.Errorf("edit outside of the entries: %v", err)
		}
	}
}

// TestTheOtherEntryIsHit: where an erase went astray and took the entry that is
// fallen back on, the switch has not succeeded, and the next try sees it.
func TestTheOtherEntryIsHit(t *testing.T) {
	raw, err := espsim.Provision(0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{data: raw, bend: func(p []byte) []byte { return p }}
	d := New(m, uint32(len(raw)), image.ESP32S3)
	change := func(plan func(flashmap.OTAData) ([]flashmap.Edit, error), want flashmap.Slot) error {
		v, err := d.layout(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		edits, err := plan(v.OTA)
		if err != nil {
			t.Fatal(err)
		}
		return d.apply(t.Context(), v, edits, want)
	}
	if err := change(func(o flashmap.OTAData) ([]flashmap.Edit, error) { return o.Restore(1, 0, 2) }, 0); err != nil {
		t.Fatal(err)
	}
	v, err := d.layout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, _ := v.Table.OTAData()
	holder := uint32(0)
	if v.OTA.Entries[1].Valid() {
		holder = 1
	}
	m.bend = func(b []byte) []byte {
		clear(m.data[p.Offset+holder*sectorSize:][:sectorSize])
		return b
	}
	onTrial := func(o flashmap.OTAData) ([]flashmap.Edit, error) { return o.Switch(0, 1, 2) }
	var r *Refusal
	if err := change(onTrial, 1); !errors.As(err, &r) || r.Code() != CodeReadBack || r.Final() {
		t.Errorf("got %v", err)
	}
	m.bend = func(b []byte) []byte { return b }
	if err := change(onTrial, 1); err != nil {
		t.Error(err)
	}
	if v, err = d.layout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, ok := v.OTA.StateOf(0, 2); v.Chosen != 1 || !ok || st != flashmap.Valid {
		t.Errorf("chosen %v, ota_0 %v, %v", v.Chosen, st, ok)
	}
}

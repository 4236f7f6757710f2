package flashmap_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

// wantEdit is an edit as its offset and the 32 bytes of its entry.
type wantEdit struct {
	offset uint32
	entry  []byte
}

func checkEdits(t *testing.T, got []flashmap.Edit, err error, want []wantEdit) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d edits, want %d: %v", len(got), len(want), got)
	}
	for i, w := range want {
		if got[i].Offset != w.offset || !bytes.Equal(got[i].Data[:32], w.entry) {
			t.Errorf("edit %d at %#x is % x, want at %#x % x", i, got[i].Offset, got[i].Data[:32], w.offset, w.entry)
		}
	}
}

func TestSwitch(t *testing.T) {
	for _, c := range []struct {
		name     string
		e0, e1   []byte
		from, to flashmap.Slot
		slots    int
		want     []wantEdit
	}{
		{"from factory, blank", blankEntry, blankEntry, factory, 0, 2, []wantEdit{{0, whole(1, stNew)}}},
		{"from factory, blank, to ota_1", blankEntry, blankEntry, factory, 1, 2, []wantEdit{{0, whole(2, stNew)}}},
		{"from factory, entries aborted", whole(1, stAborted), whole(2, stInvalid), factory, 0, 2, []wantEdit{{0, whole(1, stNew)}}},
		{"from factory, ota_0 damaged but selected", whole(1, stValid), blankEntry, factory, 0, 2, []wantEdit{{0, whole(1, stNew)}}},
		{
			"from factory, both selected: the chosen entry goes last", whole(1, stValid), whole(2, stValid), factory, 0, 2,
			[]wantEdit{{0, whole(1, stInvalid)}, {sector, whole(1, stNew)}},
		},
		{"ota_0 in entry 0", whole(1, stValid), blankEntry, 0, 1, 2, []wantEdit{{sector, whole(2, stNew)}}},
		{"ota_0 in entry 1", whole(2, stValid), whole(3, stValid), 0, 1, 2, []wantEdit{{0, whole(4, stNew)}}},
		{"ota_1 in entry 0", whole(4, stValid), whole(3, stValid), 1, 0, 2, []wantEdit{{sector, whole(5, stNew)}}},
		{"target aborted before", whole(1, stValid), whole(2, stAborted), 0, 1, 2, []wantEdit{{sector, whole(2, stNew)}}},
		{"numbers far apart", whole(1, stValid), whole(500, stAborted), 0, 1, 2, []wantEdit{{sector, whole(2, stNew)}}},
		{"both entries hold ota_0", whole(1, stValid), whole(3, stValid), 0, 1, 2, []wantEdit{{0, whole(4, stNew)}}},
		{"done already", whole(1, stValid), whole(2, stNew), 0, 1, 2, nil},
		{"on trial already", whole(1, stValid), whole(2, stPending), 0, 1, 2, []wantEdit{{sector, whole(2, stNew)}}},
		{"confirmed already", whole(1, stValid), whole(2, stValid), 0, 1, 2, []wantEdit{{sector, whole(2, stNew)}}},
		{"new but outranked", whole(7, stValid), whole(2, stNew), 0, 1, 2, []wantEdit{{sector, whole(8, stNew)}}},
		{"three slots", whole(1, stValid), whole(2, stValid), 1, 2, 3, []wantEdit{{0, whole(3, stNew)}}},
		{"three slots, one left out", whole(1, stValid), blankEntry, 0, 2, 3, []wantEdit{{sector, whole(3, stNew)}}},
		{
			"ota_0 runs without an entry", blankEntry, whole(2, stValid), 0, 1, 2,
			[]wantEdit{{0, whole(3, stValid)}, {sector, whole(4, stNew)}},
		},
		{
			"the numbers end", whole(0xFFFFFFFE, stValid), whole(0xFFFFFFFD, stValid), 1, 0, 2,
			[]wantEdit{{sector, whole(2, stValid)}, {0, whole(3, stNew)}},
		},
		{"the last number is used", whole(0xFFFFFFFD, stValid), blankEntry, 0, 1, 2, []wantEdit{{sector, whole(0xFFFFFFFE, stNew)}}},
		{
			"the numbers end and ota_0 runs without an entry", whole(0xFFFFFFFE, stValid), blankEntry, 0, 1, 2,
			[]wantEdit{{sector, whole(1, stValid)}, {0, whole(2, stNew)}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			edits, err := mustParse(t, c.e0, c.e1).Switch(c.from, c.to, c.slots)
			checkEdits(t, edits, err, c.want)
		})
	}
}

func TestConfirm(t *testing.T) {
	for _, c := range []struct {
		name   string
		e0, e1 []byte
		slot   flashmap.Slot
		want   []wantEdit
	}{
		{"on trial", whole(1, stValid), whole(2, stPending), 1, []wantEdit{{sector, whole(2, stValid)}}},
		{"new", whole(1, stNew), blankEntry, 0, []wantEdit{{0, whole(1, stValid)}}},
		{"never on trial", whole(1, stUndefined), blankEntry, 0, []wantEdit{{0, whole(1, stValid)}}},
		{"confirmed already", whole(1, stValid), whole(2, stValid), 1, nil},
		{"cut in entry 1", whole(1, stValid), blankEntry, 1, []wantEdit{{sector, whole(2, stValid)}}},
		{"cut in entry 0, factory beneath", entry(1, stUndefined, 0xFFFFFFFF), blankEntry, 0, []wantEdit{{0, whole(1, stValid)}}},
		{"number 0", whole(0, stNew), blankEntry, 1, []wantEdit{{0, whole(2, stValid)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			edits, err := mustParse(t, c.e0, c.e1).Confirm(c.slot, 2)
			checkEdits(t, edits, err, c.want)
		})
	}
}

func TestRestore(t *testing.T) {
	for _, c := range []struct {
		name      string
		e0, e1    []byte
		bad, good flashmap.Slot
		slots     int
		want      []wantEdit
	}{
		{"on trial", whole(1, stValid), whole(2, stPending), 1, 0, 2, []wantEdit{{sector, whole(2, stInvalid)}}},
		{"confirmed", whole(3, stValid), whole(2, stValid), 0, 1, 2, []wantEdit{{0, whole(3, stInvalid)}}},
		{"aborted by the chip", whole(1, stValid), whole(2, stAborted), 1, 0, 2, nil},
		{"outranked, still bootable", whole(3, stValid), whole(2, stPending), 1, 0, 2, []wantEdit{{sector, whole(2, stInvalid)}}},
		{"to factory", whole(1, stPending), blankEntry, 0, factory, 2, []wantEdit{{0, whole(1, stInvalid)}}},
		{
			"to factory, both bootable: the chosen entry goes last", whole(3, stValid), whole(2, stValid), 0, factory, 2,
			[]wantEdit{{sector, whole(2, stInvalid)}, {0, whole(3, stInvalid)}},
		},
		{"to factory, which runs", blankEntry, whole(2, stAborted), 1, factory, 2, nil},
		{"from factory", blankEntry, whole(2, stInvalid), factory, 1, 2, []wantEdit{{0, whole(2, stValid)}}},
		{
			"the good slot lost its entry", whole(4, stValid), blankEntry, 1, 0, 2,
			[]wantEdit{{sector, whole(5, stValid)}, {0, whole(4, stInvalid)}},
		},
		{
			"the good slot lost its entry, both hold the bad one", whole(2, stValid), whole(4, stNew), 1, 0, 2,
			[]wantEdit{{0, whole(5, stValid)}, {sector, whole(4, stInvalid)}},
		},
		{
			"the good slot lost its entry at the end of the numbers", whole(0xFFFFFFFE, stValid), blankEntry, 1, 0, 2,
			[]wantEdit{{sector, whole(1, stValid)}, {0, whole(0xFFFFFFFE, stInvalid)}},
		},
		{
			"a third slot is chosen", whole(1, stValid), whole(3, stValid), 1, 0, 3,
			[]wantEdit{{sector, whole(3, stInvalid)}},
		},
		{
			"the good slot is on trial itself", whole(1, stPending), whole(2, stValid), 1, 0, 2,
			[]wantEdit{{0, whole(3, stValid)}, {sector, whole(2, stInvalid)}},
		},
		// Sequence number 0 stands for the last slot, here ota_1.
		{"number 0", whole(0, stValid), whole(1, stValid), 1, 0, 2, []wantEdit{{0, whole(2, stInvalid)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			edits, err := mustParse(t, c.e0, c.e1).Restore(c.bad, c.good, c.slots)
			checkEdits(t, edits, err, c.want)
		})
	}
}

// TestChangesRefused shows what the planners do not do, and that they say why.
func TestChangesRefused(t *testing.T) {
	blankData := mustParse(t, blankEntry, blankEntry)
	onTrial := mustParse(t, whole(1, stPending), blankEntry)
	for _, c := range []struct {
		name string
		plan func() ([]flashmap.Edit, error)
		is   error
		says string
	}{
		{"to factory", func() ([]flashmap.Edit, error) { return blankData.Switch(0, factory, 2) }, flashmap.ErrSlot, "restore it"},
		{"to itself", func() ([]flashmap.Edit, error) { return blankData.Switch(1, 1, 2) }, flashmap.ErrSlot, "both what to leave"},
		{"to a slot that is not there", func() ([]flashmap.Edit, error) { return blankData.Switch(factory, 2, 2) }, flashmap.ErrSlot, "ota_2 on a chip with 2"},
		{"from a slot that is not there", func() ([]flashmap.Edit, error) { return blankData.Switch(-2, 0, 2) }, flashmap.ErrSlot, "ota_-2"},
		{"no slots", func() ([]flashmap.Edit, error) { return blankData.Switch(factory, 0, 0) }, flashmap.ErrSlot, "0 OTA slots"},
		{"too many slots", func() ([]flashmap.Edit, error) { return blankData.Switch(factory, 0, 17) }, flashmap.ErrSlot, "17 OTA slots"},
		{"from a trial", func() ([]flashmap.Edit, error) { return onTrial.Switch(0, 1, 2) }, flashmap.ErrOnTrial, "ota_0 has not been confirmed"},
		{"confirm factory", func() ([]flashmap.Edit, error) { return blankData.Confirm(factory, 2) }, flashmap.ErrSlot, "no trial"},
		{"confirm a slot that is not there", func() ([]flashmap.Edit, error) { return blankData.Confirm(5, 2) }, flashmap.ErrSlot, "ota_5"},
		{"confirm an aborted trial", func() ([]flashmap.Edit, error) {
			return mustParse(t, whole(1, stValid), whole(2, stAborted)).Confirm(1, 2)
		}, flashmap.ErrNotBooted, "ota_1 is aborted, the chip boots ota_0"},
		{"confirm what is outranked", func() ([]flashmap.Edit, error) {
			return mustParse(t, whole(3, stValid), whole(2, stValid)).Confirm(1, 2)
		}, flashmap.ErrNotBooted, "ota_1 is valid, the chip boots ota_0"},
		{"confirm what no entry holds", func() ([]flashmap.Edit, error) {
			return mustParse(t, whole(1, stValid), whole(3, stValid)).Confirm(1, 2)
		}, flashmap.ErrNotBooted, "no entry is left for ota_1"},
		{"confirm past the last number", func() ([]flashmap.Edit, error) {
			return mustParse(t, whole(0xFFFFFFFE, stValid), blankEntry).Confirm(0, 2)
		}, flashmap.ErrNotBooted, "no entry is left for ota_0"},
		{"restore itself", func() ([]flashmap.Edit, error) { return blankData.Restore(0, 0, 2) }, flashmap.ErrSlot, "both"},
		{"restore a slot that is not there", func() ([]flashmap.Edit, error) { return blankData.Restore(0, 2, 2) }, flashmap.ErrSlot, "ota_2"},
	} {
		edits, err := c.plan()
		if !errors.Is(err, c.is) || edits != nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d edits, error %v, want %v saying %q", c.name, len(edits), err, c.is, c.says)
		}
	}
}

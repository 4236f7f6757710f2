package slots

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// View is what a chip holds.
type View struct {
	TableOffset uint32
	Table       flashmap.Table
	OTA         flashmap.OTAData
	// Chosen is what OTA data say; Boots is the slot that a boot now would
	// start, which is another one if the chosen slot holds no app.
	Chosen, Boots flashmap.Slot
	// State of Boots; Valid for factory and for a slot that is fallen back on.
	State flashmap.OTAState
	// Inactive is the slot an update goes to; equal to Boots when there is none.
	Inactive flashmap.Slot
	// App is an outline of what lies in Boots, not proved; see
	// image.ParseOutline. It is zero where no slot holds an app.
	App image.App
}

// onTrial: what boots has not been confirmed, so that what it would fall back
// on is needed as well.
func (v View) onTrial() bool { return v.State == flashmap.New || v.State == flashmap.PendingVerify }

// Inspect reads partition table, OTA data, and an outline of the app that boots.
func (d *Device) Inspect(ctx context.Context) (View, error) {
	v, err := d.layout(ctx)
	if err != nil {
		return View{}, err
	}
	v.Boots = v.Chosen
	for _, s := range bootOrder(v.Chosen, v.Table.OTASlots()) {
		app, err := d.Outline(ctx, s)
		if err == nil {
			v.Boots, v.App = s, app
			break
		}
		var refused *Refusal
		if !errors.Is(err, image.ErrApp) && !errors.As(err, &refused) { // no app, or no such slot: the next one's turn
			return View{}, err
		}
	}
	v.decide()
	return v, nil
}

// Outline is what the app in slot s says of itself, not proved; see
// image.ParseOutline. The error wraps image.ErrApp where the slot holds none,
// and is a *Refusal where the chip has no such slot.
func (d *Device) Outline(ctx context.Context, s flashmap.Slot) (image.App, error) {
	p, ok, err := d.Partition(ctx, s)
	if err != nil {
		return image.App{}, err
	}
	if !ok {
		return image.App{}, refuse(CodeNoSlot, "the chip has no slot %v", s)
	}
	o, err := d.outline(ctx, s, p)
	if err != nil {
		return image.App{}, err
	}
	return o.app, o.err
}

// outline is what a slot says of its app, or why it holds none.
type outline struct {
	app image.App
	err error // wraps image.ErrApp
}

func (d *Device) outline(ctx context.Context, s flashmap.Slot, p flashmap.Partition) (outline, error) {
	if o, ok := d.apps[s]; ok {
		return o, nil
	}
	app, err := image.ParseOutline(d.reader(ctx, p), p.Size)
	if err != nil && !errors.Is(err, image.ErrApp) {
		return outline{}, fmt.Errorf("read %v: %w", s, err)
	}
	o := outline{app, err}
	d.apps[s] = o
	return o, nil
}

// layout reads partition table and OTA data alone.
func (d *Device) layout(ctx context.Context) (View, error) {
	v, err := d.table(ctx)
	if err != nil {
		return View{}, err
	}
	p, ok := v.Table.OTAData()
	if !ok || v.Table.OTASlots() == 0 {
		return View{}, refuse(CodeNoSlot, "the partition table at %#x has no OTA slots or no OTA data: this chip is not laid out for updates", v.TableOffset)
	}
	if v.OTA, err = d.otaData(ctx, p); err != nil {
		return View{}, err
	}
	v.Chosen, _ = v.OTA.Choose(v.Table.OTASlots())
	return v, nil
}

// table is the partition table, which nothing here writes.
func (d *Device) table(ctx context.Context) (View, error) {
	if d.found == nil {
		v, err := d.findTable(ctx)
		if err != nil {
			return View{}, err
		}
		d.found = &v
	}
	return *d.found, nil
}

// Partition is where a slot lies, if the chip has it.
func (d *Device) Partition(ctx context.Context, s flashmap.Slot) (flashmap.Partition, bool, error) {
	v, err := d.table(ctx)
	if err != nil {
		return flashmap.Partition{}, false, err
	}
	p, ok := v.Table.Slot(s)
	return p, ok, nil
}

// findTable looks for the partition table.
func (d *Device) findTable(ctx context.Context) (View, error) {
	var problems []error
	for _, at := range flashmap.TableOffsets() {
		// Two bytes tell a bootloader's code from a table; reading code to its
		// end would cost time on a slow line.
		mark, err := d.flash.Read(ctx, at, 2)
		if err != nil {
			return View{}, fmt.Errorf("look for a partition table: %w", err)
		}
		if !bytes.Equal(mark, []byte{0xAA, 0x50}) {
			problems = append(problems, fmt.Errorf("%#x: it begins with %#x", at, mark))
			continue
		}
		raw, err := d.readTable(ctx, at)
		if err != nil {
			return View{}, fmt.Errorf("read the partition table: %w", err)
		}
		t, err := flashmap.ParseTable(raw, d.size)
		if err == nil {
			return View{TableOffset: at, Table: t}, nil
		}
		problems = append(problems, fmt.Errorf("%#x: %w", at, err))
	}
	return View{}, refuse(CodeNoTable, "no partition table on the chip").because(errors.Join(problems...))
}

// tableStep is how much of a partition table is read at once: 16 rows of 32
// bytes, as many as most have.
const tableStep = 512

var blankRow = bytes.Repeat([]byte{0xFF}, 32)

// readTable reads a partition table as far as it is filled: the chip's bootloader
// stops at a blank row as well, and the full size takes longer than all the rest
// that is read.
func (d *Device) readTable(ctx context.Context, at uint32) ([]byte, error) {
	var raw []byte
	for len(raw) < flashmap.TableSize {
		n := min(tableStep, flashmap.TableSize-uint32(len(raw)))
		b, err := d.flash.Read(ctx, at+uint32(len(raw)), n)
		if err != nil {
			return nil, err
		}
		raw = append(raw, b...)
		if bytes.HasSuffix(b, blankRow) {
			break
		}
	}
	return raw, nil
}

// entrySize is the part of an OTA data sector that means something.
const entrySize = 32

// otaData reads the two entries. The rest of their sectors means nothing.
func (d *Device) otaData(ctx context.Context, p flashmap.Partition) (flashmap.OTAData, error) {
	raw := bytes.Repeat([]byte{0xFF}, 2*sectorSize)
	for at := uint32(0); at < 2*sectorSize; at += sectorSize {
		b, err := d.flash.Read(ctx, p.Offset+at, entrySize)
		if err != nil {
			return flashmap.OTAData{}, fmt.Errorf("read OTA data: %w", err)
		}
		copy(raw[at:], b)
	}
	return flashmap.ParseOTAData(raw)
}

// decide fills in what follows from what boots: its state, and what an update
// may overwrite.
func (v *View) decide() {
	v.State = flashmap.Valid
	if v.Boots == v.Chosen && v.Boots != flashmap.Factory {
		v.State, _ = v.OTA.StateOf(v.Boots, v.Table.OTASlots())
	}
	v.Inactive = v.Boots
	n := flashmap.Slot(v.Table.OTASlots())
	for i := range n {
		if s := (max(v.Boots, -1) + 1 + i) % n; s != v.Boots {
			v.Inactive = s
			break
		}
	}
}

// bootOrder is the order in which ESP-IDF's bootloader tries slots: the chosen
// one, those below it down to factory, those above it.
func bootOrder(chosen flashmap.Slot, slots int) []flashmap.Slot {
	var order []flashmap.Slot
	for s := chosen; s >= flashmap.Factory; s-- {
		order = append(order, s)
	}
	for s := chosen + 1; int(s) < slots; s++ {
		order = append(order, s)
	}
	return order
}

// reader reads a partition piece by piece.
func (d *Device) reader(ctx context.Context, p flashmap.Partition) io.ReaderAt {
	return readerAt(func(b []byte, off int64) (int, error) {
		got, err := d.flash.Read(ctx, p.Offset+uint32(off), uint32(len(b)))
		return copy(b, got), err
	})
}

type readerAt func(b []byte, off int64) (int, error)

func (f readerAt) ReadAt(b []byte, off int64) (int, error) { return f(b, off) }

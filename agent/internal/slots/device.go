package slots

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// Device is a chip's slots, through its flash. It is not safe for concurrent
// use, and it is for one stay of the chip in its loader, in which nobody else
// writes the flash: what it read and did not write is not read again, but for
// OTA data.
type Device struct {
	flash    Flash
	size     uint32
	chip     image.ChipID
	found    *View                      // the partition table, once it was read
	apps     map[flashmap.Slot]outline  // of slots not written since
	wrote    map[flashmap.Slot]proof    // of slots written since, if all went well
	attested map[flashmap.Slot][16]byte // MD5 of what the slot was proved to hold
}

// proof is the chip's MD5 of the first size bytes of a slot.
type proof struct {
	size uint32
	sum  [16]byte
}

// New makes a Device of a flash of size bytes on a chip.
func New(f Flash, size uint32, chip image.ChipID) *Device {
	return &Device{
		flash: f, size: size, chip: chip,
		apps: make(map[flashmap.Slot]outline), wrote: make(map[flashmap.Slot]proof), attested: make(map[flashmap.Slot][16]byte),
	}
}

// Write fills slot to with v's app image. It refuses the slot that boots, any
// slot while what boots is on trial, and an image that is for another chip or
// too large. Where the OTA data still choose slot to although another one boots
// (its app is damaged), they are made to choose what boots, first of all.
// progress, which may be nil, hears of bytes in place. Whatever happens, the
// chip boots as before.
func (d *Device) Write(ctx context.Context, to flashmap.Slot, v image.Verified, progress func(done, total int64)) error {
	view, err := d.Inspect(ctx)
	if err != nil {
		return err
	}
	if to == view.Chosen && to != view.Boots {
		if err := d.Restore(ctx, to, view.Boots); err != nil {
			return fmt.Errorf("make the OTA data choose %v, which boots: %w", view.Boots, err)
		}
		if view, err = d.Inspect(ctx); err != nil {
			return err
		}
	}
	p, err := d.target(view, to)
	if err != nil {
		return err
	}
	if err := d.fits(p, v); err != nil {
		return err
	}
	delete(d.attested, to)
	delete(d.wrote, to)
	delete(d.apps, to)
	tell := func(done, total int) {
		if progress != nil {
			progress(int64(done), int64(total))
		}
	}
	sum, err := d.write(ctx, view, p, 0, v.Bytes(), []flashmap.Slot{view.Boots, view.Chosen}, tell)
	if err != nil {
		return err
	}
	d.wrote[to] = proof{v.Size(), sum}
	if sum == v.MD5() {
		d.apps[to] = outline{app: v.App()}
	}
	return nil
}

// target is the partition of a slot that may be overwritten.
func (d *Device) target(v View, to flashmap.Slot) (flashmap.Partition, error) {
	p, ok := v.Table.Slot(to)
	switch {
	case !ok || to == flashmap.Factory:
		return p, refuse(CodeNoSlot, "the chip has no OTA slot %v", to)
	case to == v.Boots || to == v.Chosen:
		return p, refuse(CodeRunningSlot, "%v is the slot that boots; an update goes to %v", to, v.Inactive)
	case v.onTrial():
		return p, refuse(CodeRunningSlot, "%v is on trial (%v), so %v may be what it falls back on; confirm or roll back first", v.Boots, v.State, to)
	}
	return p, nil
}

func (d *Device) fits(p flashmap.Partition, v image.Verified) error {
	switch {
	case v.IsZero():
		return refuse(CodeNoApp, "no verified image was given")
	case v.Size() > p.Size:
		return refuse(CodeTooLarge, "the image has %d bytes, %q takes %d", v.Size(), p.Label, p.Size)
	case v.App().Chip != d.chip:
		return refuse(CodeOtherChip, "the image is for %v, this is an %v", v.App().Chip, d.chip)
	}
	return nil
}

// Attest proves that slot s holds v: the chip's MD5 over exactly the image's
// length equals the image's. Only then Switch may boot it. The chip is not asked
// again for what it said after the last write to the slot.
func (d *Device) Attest(ctx context.Context, s flashmap.Slot, v image.Verified) error {
	view, err := d.table(ctx)
	if err != nil {
		return err
	}
	p, ok := view.Table.Slot(s)
	if !ok {
		return refuse(CodeNoSlot, "the chip has no slot %v", s)
	}
	if err := d.fits(p, v); err != nil {
		return err
	}
	delete(d.attested, s)
	want := v.MD5()
	sum := d.wrote[s].sum
	if d.wrote[s] != (proof{v.Size(), want}) {
		if sum, err = d.flash.MD5(ctx, p.Offset, v.Size()); err != nil {
			return fmt.Errorf("MD5 of %v: %w", s, err)
		}
	}
	if sum != want {
		return refuse(CodeMismatch, "%v does not hold the verified image: its MD5 is %x, the image's %x", s, sum, want)
	}
	d.attested[s] = sum
	return nil
}

// Switch makes the chip boot `to` on trial, with `from`, which boots now, as
// what it falls back on. `to` must have been attested. Once begun it may be
// repeated after a failure or a power cut at any point; at each the chip boots
// one of the two.
func (d *Device) Switch(ctx context.Context, from, to flashmap.Slot) error {
	if _, ok := d.attested[to]; !ok {
		return refuse(CodeNotAttested, "%v was not proved to hold a verified image; attest it first", to)
	}
	v, err := d.Inspect(ctx)
	if err != nil {
		return err
	}
	if v.Boots != from && v.Boots != to {
		return refuse(CodeRunningSlot, "the chip boots %v, not %v", v.Boots, from)
	}
	if err := d.bootable(ctx, from); err != nil {
		return err
	}
	edits, err := v.OTA.Switch(from, to, v.Table.OTASlots())
	if err != nil {
		return fmt.Errorf("plan the switch: %w", err)
	}
	return d.apply(ctx, v, edits, to)
}

// Restore makes the chip boot good again, and marks bad as invalid. It refuses
// a good slot that holds no app for this chip.
func (d *Device) Restore(ctx context.Context, bad, good flashmap.Slot) error {
	v, err := d.Inspect(ctx)
	if err != nil {
		return err
	}
	if err := d.bootable(ctx, good); err != nil {
		return err
	}
	edits, err := v.OTA.Restore(bad, good, v.Table.OTASlots())
	if err != nil {
		return fmt.Errorf("plan the way back: %w", err)
	}
	return d.apply(ctx, v, edits, good)
}

// Confirm ends the trial of s in its favour, for firmware that cannot.
func (d *Device) Confirm(ctx context.Context, s flashmap.Slot) error {
	v, err := d.Inspect(ctx)
	if err != nil {
		return err
	}
	if err := d.bootable(ctx, s); err != nil {
		return err
	}
	edits, err := v.OTA.Confirm(s, v.Table.OTASlots())
	if err != nil {
		return fmt.Errorf("plan the confirmation: %w", err)
	}
	return d.apply(ctx, v, edits, s)
}

// bootable: slot s holds what looks like an app for this chip.
func (d *Device) bootable(ctx context.Context, s flashmap.Slot) error {
	app, err := d.Outline(ctx, s)
	switch {
	case errors.Is(err, image.ErrApp):
		return refuse(CodeNoApp, "%v holds no app that could boot", s).because(err)
	case err != nil:
		return err
	case app.Chip != d.chip:
		return refuse(CodeOtherChip, "the app in %v is for %v, this is an %v", s, app.Chip, d.chip)
	}
	return nil
}

// apply carries out edits of the OTA data in their order, if they make the chip
// boot want, and has the chip's MD5 of each; then of the entry that was not
// written last, which an erase that went astray would have hit.
func (d *Device) apply(ctx context.Context, v View, edits []flashmap.Edit, want flashmap.Slot) error {
	p, ok := v.Table.OTAData()
	if !ok {
		return refuse(CodeNoSlot, "the chip has no OTA data")
	}
	after := v.OTA
	for _, e := range edits {
		if e.Offset >= 2*sectorSize || len(e.Data) != sectorSize {
			return refuse(CodeFence, "an edit of %d bytes at +%#x of the OTA data", len(e.Data), e.Offset)
		}
		after = after.With(e)
	}
	if s, _ := after.Choose(v.Table.OTASlots()); s != want {
		return refuse(CodeReadBack, "after the change the chip would boot %v instead of %v", s, want)
	}
	for _, e := range edits {
		sum, err := d.write(ctx, v, p, e.Offset, e.Data, nil, nil)
		if err != nil {
			return err
		}
		if sum != md5.Sum(e.Data) {
			return refuse(CodeReadBack, "OTA data at +%#x do not read back as written", e.Offset)
		}
	}
	if len(edits) == 0 {
		return nil
	}
	other := 1 - int(edits[len(edits)-1].Offset/sectorSize)
	raw := after.Entries[other].Bytes()
	sum, err := d.flash.MD5(ctx, p.Offset+uint32(other)*sectorSize, uint32(len(raw)))
	if err != nil {
		return fmt.Errorf("MD5 of entry %d of the OTA data: %w", other, err)
	}
	if sum != md5.Sum(raw[:]) {
		return refuse(CodeReadBack, "entry %d of the OTA data is not as it should be after the change", other)
	}
	return nil
}

package simulated

import (
	"fmt"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

const (
	otaSlots   = 2
	sectorSize = 0x1000
)

// chip is what matters of an ESP32 to an update: two slots, and the OTA data
// that say which one boots.
type chip struct {
	slots   [otaSlots]Firmware
	otadata [2 * sectorSize]byte
	runs    flashmap.Slot
	boots   uint64
}

func newChip(f Firmware) (*chip, error) {
	c := &chip{}
	for i := range c.otadata {
		c.otadata[i] = 0xFF
	}
	c.slots[0] = f
	if err := c.edit(func(o flashmap.OTAData) ([]flashmap.Edit, error) { return o.Switch(flashmap.Factory, 0, otaSlots) }); err != nil {
		return nil, err
	}
	c.boot()
	return c, c.confirm()
}

func (c *chip) read() (flashmap.OTAData, error) { return flashmap.ParseOTAData(c.otadata[:]) }

// edit performs what a plan says.
func (c *chip) edit(plan func(flashmap.OTAData) ([]flashmap.Edit, error)) error {
	o, err := c.read()
	if err != nil {
		return err
	}
	edits, err := plan(o)
	if err != nil {
		return err
	}
	for _, e := range edits {
		copy(c.otadata[e.Offset:], e.Data)
	}
	return nil
}

// boot is what the bootloader does at a reset: a trial that was not confirmed is
// over, and a new one begins.
func (c *chip) boot() {
	c.boots++
	o, err := c.read()
	if err != nil {
		return // it is always long enough
	}
	o = o.AfterReset()
	slot, entry := o.Choose(otaSlots)
	if entry >= 0 && o.Entries[entry].State == flashmap.New {
		o.Entries[entry].State = flashmap.PendingVerify
	}
	for i, e := range o.Entries {
		c.setState(i, e.State)
	}
	c.runs = slot
}

// setState writes the state of an entry, 24 bytes into it
// (esp_ota_select_entry_t.ota_state, esp_flash_partitions.h).
func (c *chip) setState(entry int, s flashmap.OTAState) {
	at := entry*sectorSize + 24
	for i := range 4 {
		c.otadata[at+i] = byte(s >> (8 * i))
	}
}

func (c *chip) inactive() flashmap.Slot { return 1 - max(0, c.runs) }

func (c *chip) confirm() error {
	return c.edit(func(o flashmap.OTAData) ([]flashmap.Edit, error) { return o.Confirm(c.runs, otaSlots) })
}

func (c *chip) switchTo(to flashmap.Slot) error {
	return c.edit(func(o flashmap.OTAData) ([]flashmap.Edit, error) { return o.Switch(c.runs, to, otaSlots) })
}

func (c *chip) restore(bad, good string) error {
	b, err := flashmap.ParseSlot(bad)
	if err != nil {
		return err
	}
	g, err := flashmap.ParseSlot(good)
	if err != nil {
		return err
	}
	return c.edit(func(o flashmap.OTAData) ([]flashmap.Edit, error) { return o.Restore(b, g, otaSlots) })
}

func (c *chip) state() flashmap.OTAState {
	o, err := c.read()
	if err != nil {
		return flashmap.Undefined
	}
	s, _ := o.StateOf(c.runs, otaSlots)
	return s
}

// firmware is what runs. The provisioned chips have no factory partition to fall
// back on: a robot without a bootable slot is one that the simulation has lost.
func (c *chip) firmware() (Firmware, error) {
	if c.runs < 0 || int(c.runs) >= otaSlots || c.slots[c.runs].Image.Version == (compat.Version{}) {
		return Firmware{}, fmt.Errorf("nothing bootable in %s", c.runs)
	}
	return c.slots[c.runs], nil
}

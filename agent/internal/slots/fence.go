package slots

import (
	"context"
	"fmt"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

// Flash is the chip's flash as its loader gives access to it.
type Flash interface {
	Read(ctx context.Context, off, n uint32) ([]byte, error)
	// MD5 is computed by the chip over what its flash holds.
	MD5(ctx context.Context, off, n uint32) ([16]byte, error)
	// Write erases, writes and proves whole sectors, and gives the chip's MD5
	// of what it wrote, asked for after the last write; see esprom.Session.
	Write(ctx context.Context, off uint32, data []byte, progress func(done, total int)) ([16]byte, error)
}

const sectorSize = 0x1000

// write is the only call of Flash.Write in this package. It keeps within
// partition p, which must be an OTA slot or the OTA data of the table that was
// read from the chip, and out of every slot in keep.
func (d *Device) write(ctx context.Context, v View, p flashmap.Partition, off uint32, data []byte,
	keep []flashmap.Slot, progress func(done, total int),
) (sum [16]byte, err error) {
	if !v.writable(p) {
		return sum, refuse(CodeFence, "partition %q at %#x is neither an OTA slot nor the OTA data", p.Label, p.Offset)
	}
	if off%sectorSize != 0 || uint64(off)+sectors(len(data)) > uint64(p.Size) || len(data) == 0 {
		return sum, refuse(CodeFence, "%d bytes at +%#x do not fit into partition %q of %d bytes", len(data), off, p.Label, p.Size)
	}
	for _, s := range keep {
		kept, ok := v.Table.Slot(s)
		if ok && overlap(kept, p.Offset+off, sectors(len(data))) {
			return sum, refuse(CodeFence, "%v must stay as it is", s)
		}
	}
	if sum, err = d.flash.Write(ctx, p.Offset+off, data, progress); err != nil {
		return sum, fmt.Errorf("partition %q: %w", p.Label, err)
	}
	return sum, nil
}

// writable: p stands in the table as an OTA slot or as the OTA data. Factory
// is no OTA slot.
func (v View) writable(p flashmap.Partition) bool {
	if data, ok := v.Table.OTAData(); ok && data == p {
		return true
	}
	for s := range v.Table.OTASlots() {
		if slot, ok := v.Table.Slot(flashmap.Slot(s)); ok && slot == p {
			return true
		}
	}
	return false
}

// sectors is n bytes rounded up to what erasing them takes.
func sectors(n int) uint64 { return (uint64(n) + sectorSize - 1) &^ (sectorSize - 1) }

func overlap(p flashmap.Partition, off uint32, n uint64) bool {
	return uint64(off) < uint64(p.Offset)+uint64(p.Size) && uint64(p.Offset) < uint64(off)+n
}

// Codes of refusals, for machines.
const (
	CodeFence       = "outside_fence"   // a write outside the inactive slot and the OTA data
	CodeNoTable     = "no_table"        // no partition table where one may be
	CodeNoSlot      = "no_slot"         // the chip has no such slot, or no OTA data
	CodeRunningSlot = "running_slot"    // the slot boots, or is what a trial falls back on
	CodeTooLarge    = "too_large"       // the image does not fit the slot
	CodeOtherChip   = "other_chip"      // the image is for another chip
	CodeNotAttested = "not_attested"    // the slot was not proved to hold the verified image
	CodeMismatch    = "attest_mismatch" // the slot holds something else than the verified image
	CodeNoApp       = "no_app"          // the slot to go back to holds no app
	CodeReadBack    = "readback"        // OTA data do not read back as written
)

// Refusal is a step that was not taken, and why. The chip boots as before.
type Refusal struct {
	code string
	text string
	err  error
}

func refuse(code, format string, args ...any) *Refusal {
	return &Refusal{code: code, text: fmt.Sprintf(format, args...)}
}

func (e *Refusal) because(err error) *Refusal { e.err = err; return e }

// Error says what was refused and why.
func (e *Refusal) Error() string {
	if e.err != nil {
		return e.text + ": " + e.err.Error()
	}
	return e.text
}

// Unwrap gives the cause, if there is one.
func (e *Refusal) Unwrap() error { return e.err }

// Code is the refusal for machines, one of the Code constants.
func (e *Refusal) Code() string { return e.code }

// Final tells that trying again changes nothing. A mismatch may come from a
// fault of the line or the flash, which another write may mend.
func (e *Refusal) Final() bool { return e.code != CodeMismatch && e.code != CodeReadBack }

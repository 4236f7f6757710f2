package flashmap

import (
	"fmt"
	"strconv"
	"strings"
)

// Slot is a place that holds an app: Factory, or N for ota_N.
type Slot int8

// Factory is the slot that runs while no OTA entry is bootable.
const Factory Slot = -1

// MaxOTASlots is the number of OTA subtypes that ESP-IDF has: ota_0 to ota_15.
const MaxOTASlots = 16

// String gives "factory" or "ota_N".
func (s Slot) String() string {
	if s == Factory {
		return "factory"
	}
	return fmt.Sprintf("ota_%d", int(s))
}

// ParseSlot reads what [Slot.String] writes.
func ParseSlot(text string) (Slot, error) {
	if text == "factory" {
		return Factory, nil
	}
	digits, ok := strings.CutPrefix(text, "ota_")
	n, err := strconv.ParseUint(digits, 10, 8)
	if !ok || err != nil || n >= MaxOTASlots || digits != strconv.FormatUint(n, 10) {
		return Factory, fmt.Errorf("unknown slot %q: want factory or ota_0 to ota_%d", text, MaxOTASlots-1)
	}
	return Slot(n), nil
}

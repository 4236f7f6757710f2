package image

import (
	"fmt"
	"strings"
)

// ChipID is the chip an app image was built for: esp_chip_id_t of ESP-IDF's
// esp_app_format.h.
type ChipID uint16

// Chips of the ESP32 family.
const (
	ESP32    ChipID = 0
	ESP32S2  ChipID = 2
	ESP32C3  ChipID = 5
	ESP32S3  ChipID = 9
	ESP32C2  ChipID = 12
	ESP32C6  ChipID = 13
	ESP32H2  ChipID = 16
	ESP32P4  ChipID = 18
	ESP32C61 ChipID = 20
	ESP32C5  ChipID = 23
	// AnyChip in a [Policy] accepts every chip. In an image it is ESP-IDF's
	// ESP_CHIP_ID_INVALID, and such an image is refused.
	AnyChip ChipID = 0xFFFF
)

var chipNames = map[ChipID]string{
	ESP32: "esp32", ESP32S2: "esp32s2", ESP32C3: "esp32c3", ESP32S3: "esp32s3", ESP32C2: "esp32c2",
	ESP32C6: "esp32c6", ESP32H2: "esp32h2", ESP32P4: "esp32p4", ESP32C61: "esp32c61", ESP32C5: "esp32c5",
}

// String gives the chip's name as ESP-IDF's targets spell it: "esp32s3".
func (c ChipID) String() string {
	if name, ok := chipNames[c]; ok {
		return name
	}
	if c == AnyChip {
		return "any chip"
	}
	return fmt.Sprintf("unknown chip %d", uint16(c))
}

// ParseChip reads a chip's name: "esp32s3", "ESP32-S3".
func ParseChip(s string) (ChipID, error) {
	want := strings.ReplaceAll(strings.ToLower(s), "-", "")
	for id, name := range chipNames {
		if name == want {
			return id, nil
		}
	}
	return AnyChip, fmt.Errorf("unknown chip %q: want a name such as esp32s3", s)
}

// Package testimage builds ESP32 application images that esptool, ESP-IDF's
// boot loader and the simulator take for real ones.
package testimage

// Spec says what the image is to be. The zero value is not usable: Version is
// needed.
type Spec struct {
	Version       string // of the app description, e.g. "0.2.1"
	Project       string // default "robot-platform-standard"
	Chip          uint16 // chip id of the header; default 9, ESP32-S3; use ChipESP32 for 0
	Size          int    // bytes of the whole image, 16-aligned upwards; default 64 KiB
	Behaviour     string // what the simulated application does; default "good", see espsim
	Protocol      uint8  // advertised protocol version; default by the fleet's table
	SecureVersion uint32
	Seed          uint64 // varies the contents
}

// ChipESP32 stands for the plain ESP32 in Spec.Chip, whose chip id is 0.
const ChipESP32 uint16 = 0xFFFE

// Build makes the image; the same Spec gives the same bytes.
func Build(Spec) ([]byte, error) { return nil, nil }

package esprom

import (
	"math/bits"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// romMagicReg holds a word of the ROM by which the ESP32 and the ESP32-S2,
// which do not report a chip id, are known.
const romMagicReg = 0x40001000

// chip is what differs between chips. Addresses are those of the technical
// reference manuals.
type chip struct {
	id   image.ChipID
	name string
	stub string // file name of the stub image without .json
	// magic at romMagicReg, for chips without a chip id.
	magic uint32
	// mac is the eFuse word that holds the lower 32 bits of the MAC; the upper
	// 16 follow in the next.
	mac uint32
	spi spiRegs
	// begin5: the ROM's FLASH_BEGIN takes a fifth word (encryption).
	begin5 bool
	// romBaud: the stub keeps whatever speed the ROM was given, so the speed
	// can be raised before the stub is uploaded. The stubs of the other chips
	// restore the ROM's first speed.
	romBaud bool
	// noStubSecureBoot: with secure boot the ROM does not start code in RAM.
	noStubSecureBoot bool
	usb              *usbRegs // chips whose own USB port needs care
}

// spiRegs locates the SPI controller that the flash is on.
type spiRegs struct {
	base                       uint32
	usr, usr2, misoDlen, w0Off uint32
}

// usbRegs is what a chip that may be connected by its own USB port needs.
type usbRegs struct {
	// portNo is a ROM variable: which port the loader uses.
	portNo        uint32
	otg, jtag     byte
	wdtConfig     uint32
	wdtProtect    uint32
	wdtKey        uint32
	swdConfig     uint32
	swdProtect    uint32
	swdKey        uint32
	swdAutoFeed   uint32
	forceDownload uint32 // register whose bit 0 forces download mode over a reset
}

var (
	spiOld = spiRegs{usr: 0x1C, usr2: 0x24, misoDlen: 0x2C, w0Off: 0x80}
	spiNew = spiRegs{usr: 0x18, usr2: 0x20, misoDlen: 0x28, w0Off: 0x58}
)

func (r spiRegs) at(base uint32) spiRegs { r.base = base; return r }

// chips is the table of known chips.
var chips = [...]chip{
	{
		id: image.ESP32, name: "ESP32", stub: "esp32", magic: 0x00F01D83,
		mac: 0x3FF5A004, spi: spiOld.at(0x3FF42000),
	},
	{
		id: image.ESP32S2, name: "ESP32-S2", stub: "esp32s2", magic: 0x000007C6,
		mac: 0x3F41A044, spi: spiNew.at(0x3F402000), begin5: true,
	},
	{
		id: image.ESP32S3, name: "ESP32-S3", stub: "esp32s3",
		mac: 0x60007044, spi: spiNew.at(0x60002000), begin5: true, romBaud: true,
		noStubSecureBoot: true,
		usb: &usbRegs{
			portNo: 0x3FCEF14C, otg: 3, jtag: 4,
			wdtConfig: 0x60008098, wdtProtect: 0x600080B0, wdtKey: 0x50D83AA1,
			swdConfig: 0x600080B4, swdProtect: 0x600080B8, swdKey: 0x8F1D312A, swdAutoFeed: 1 << 31,
			forceDownload: 0x6000812C,
		},
	},
	{
		id: image.ESP32C3, name: "ESP32-C3", stub: "esp32c3",
		mac: 0x60008844, spi: spiNew.at(0x60002000), begin5: true, romBaud: true,
	},
	{
		id: image.ESP32C2, name: "ESP32-C2", stub: "esp32c2",
		mac: 0x60008840, spi: spiNew.at(0x60002000), begin5: true, romBaud: true,
	},
	{
		id: image.ESP32C6, name: "ESP32-C6", stub: "esp32c6",
		mac: 0x600B0844, spi: spiNew.at(0x60003000), begin5: true, romBaud: true,
	},
	{
		id: image.ESP32H2, name: "ESP32-H2", stub: "esp32h2",
		mac: 0x600B0844, spi: spiNew.at(0x60003000), begin5: true, romBaud: true,
	},
}

func chipByID(id image.ChipID) *chip {
	for i := range chips {
		if chips[i].id == id {
			return &chips[i]
		}
	}
	return nil
}

func chipByMagic(magic uint32) *chip {
	for i := range chips {
		if chips[i].magic != 0 && chips[i].magic == magic {
			return &chips[i]
		}
	}
	return nil
}

// The ESP32 has no GET_SECURITY_INFO; its eFuses are read instead.
const (
	esp32CryptReg   = 0x3FF5A000 // FLASH_CRYPT_CNT in bits 20-26
	esp32SecureReg  = 0x3FF5A018 // ABS_DONE_0 and _1 in bits 4 and 5
	esp32CryptShift = 20
	esp32CryptMask  = 0x7F
	esp32SecureMask = 0x30
)

// odd tells whether an odd number of bits is set: how the eFuse counters that
// switch flash encryption on and off are read.
func odd(counter uint32) bool { return bits.OnesCount32(counter)%2 == 1 }

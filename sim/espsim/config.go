package espsim

import (
	"log/slog"
	"time"
)

// Defaults of Config.
const (
	DefaultFlashSize   = 8 << 20
	DefaultTableOffset = 0x10000
	DefaultSelfTest    = 3 * time.Second
	DefaultAppStart    = 300 * time.Millisecond
	DefaultRestart     = 200 * time.Millisecond
)

// Config describes a chip and the board it sits on. The zero value is the
// fleet's: 8 MiB of flash that takes no time, partition table at 0x10000,
// boot loader without rollback.
type Config struct {
	// Model of the chip; the zero value is the ESP32-S3.
	Model Model
	// Flash is what the flash holds at first; shorter than FlashSize is
	// padded with FF, nil is a blank chip. See Provision. The chip works on a
	// copy.
	Flash []byte
	// Memory, where given, is the flash itself, used in place: a mapped file
	// for instance. Its length is the flash's size, and Flash is ignored.
	Memory []byte
	// FlashSize in bytes, a power of two from 1 MiB to 16 MiB.
	FlashSize int
	// TableOffset is CONFIG_PARTITION_TABLE_OFFSET of the boot loader.
	TableOffset uint32
	// Rollback is CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE, off by default in
	// ESP-IDF too.
	Rollback bool
	// SecureVersion is the eFuse's: the boot loader passes over images with a
	// lower one (CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK). 0 lets all pass.
	SecureVersion uint32
	// Security is what the eFuses say of secure boot and its kin.
	Security Security
	// NoStub makes a stub that was uploaded never report for duty.
	NoStub bool
	// MAC is the base MAC address; zero means 7c:df:a1:4f:42:01.
	MAC [6]byte
	// Wiring of the reset lines.
	Wiring Wiring
	// Timing of the flash part; the zero value takes no time.
	Timing Timing
	// Unpaced lets bytes arrive at once instead of at the baud rate. A wrong
	// baud rate garbles them all the same.
	Unpaced bool
	// AppStart is how long the application takes from reset to its first
	// word, SelfTest how long its self-test runs, Restart how long any reset
	// by software takes. Zero means the default, negative no time at all.
	AppStart, SelfTest, Restart time.Duration
	// Faults to begin with; see Chip.SetFaults.
	Faults Faults
	// Tap, where given, is told what happens as it happens.
	Tap Tap
	// Logger hears what the chip does; nil is silence.
	Logger *slog.Logger
}

// Model is a chip of the family.
type Model uint8

// The models.
const (
	ESP32S3 Model = iota
	ESP32
)

// Wiring says how DTR and RTS reach the chip.
type Wiring uint8

// The two wirings.
const (
	// AutoReset is the two-transistor circuit of the development boards:
	// asserting RTS alone pulls EN low, asserting DTR alone pulls IO0 low,
	// both or none pull nothing.
	AutoReset Wiring = iota
	// USBSerialJTAG is the chip's own USB port: DTR alone sets the download
	// flag, none clears it, RTS alone resets the chip, both do nothing.
	USBSerialJTAG
)

// Timing is how long the flash part takes.
type Timing struct {
	EraseSector time.Duration // 4 KiB
	EraseBlock  time.Duration // 64 KiB; only the stub uses it
	PageProgram time.Duration // 256 bytes
	Read        time.Duration // 1 KiB, hashing included
}

// RealTiming is a common 8 MiB part's typical values.
func RealTiming() Timing {
	return Timing{EraseSector: 45 * time.Millisecond, EraseBlock: 150 * time.Millisecond, PageProgram: 400 * time.Microsecond, Read: 80 * time.Microsecond}
}

// Security is what GET_SECURITY_INFO tells, and what follows from it.
type Security struct {
	SecureBoot bool
	// SecureDownload is the secure download mode: no memory, register and
	// flash reading, no stub.
	SecureDownload bool
	// FlashCryptCount is the eFuse SPI_BOOT_CRYPT_CNT; an odd number of set
	// bits means that the flash is encrypted.
	FlashCryptCount uint8
}

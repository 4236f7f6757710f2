package esprom

import (
	"context"
	"io/fs"
	"log/slog"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// DefaultBaud is the speed a session raises the line to, in bits per second.
const DefaultBaud = 921600

// Options says what chip is expected and how to talk to it.
type Options struct {
	// Chip is the chip that must answer; another one is refused.
	Chip image.ChipID
	// AnyChip accepts whatever known chip answers. For diagnosis.
	AnyChip bool
	// Baud is the speed to raise the line to, DefaultBaud when 0. After noise
	// the session goes on at the next lower of 921600, 460800 and 115200.
	Baud int
	// NoStub keeps to the ROM loader.
	NoStub bool
	// FlashSize in bytes; 0 asks the flash chip.
	FlashSize uint32
	// Stubs holds the stub images as <chip>.json; nil means the embedded ones.
	Stubs fs.FS
	// Log hears of retries and fallbacks; nil discards.
	Log *slog.Logger
}

// Info is what a session knows of the chip.
type Info struct {
	Chip image.ChipID
	Name string // "ESP32-S3"
	MAC  [6]byte
	// FlashSize in bytes.
	FlashSize uint32
	// SecureBoot: the ROM checks the bootloader's signature.
	SecureBoot bool
	// Stub: the stub loader runs; else the ROM answers.
	Stub bool
	// Baud is the present speed in bits per second.
	Baud int
}

// Session is a chip in its serial loader, ready for flash commands. It is not
// safe for concurrent use. It starts no goroutines.
type Session struct {
	info Info
}

// Connect resets the chip into its loader, identifies it, refuses what cannot
// or must not be written, uploads the stub and raises the speed.
//
// Errors: *ConnectError when no loader answers, *RefusedError when the chip
// must not be written, ErrDead when the port fails, ctx's error.
func Connect(ctx context.Context, p Port, r Resetter, o Options) (*Session, error) {
	return nil, ErrDead
}

// Info describes the chip and the state of the session.
func (s *Session) Info() Info { return s.info }

// Read returns n bytes of flash from off.
func (s *Session) Read(ctx context.Context, off, n uint32) ([]byte, error) {
	return nil, ErrDead
}

// MD5 asks the chip for the MD5 of n bytes of its flash from off.
func (s *Session) MD5(ctx context.Context, off, n uint32) ([16]byte, error) {
	return [16]byte{}, ErrDead
}

// Write makes the flash from off hold data, and proves it by the chip's MD5.
// off must be a multiple of 4096; a last sector that data fills in part is
// erased in full, its rest reads 0xFF. Parts that are right already are left
// alone. progress, if not nil, hears how many bytes of data are in place.
func (s *Session) Write(ctx context.Context, off uint32, data []byte, progress func(done, total int)) error {
	return ErrDead
}

// Close ends the session; with run it resets the chip into its application.
// The port stays open: it is the caller's.
func (s *Session) Close(ctx context.Context, run bool) error { return ErrDead }

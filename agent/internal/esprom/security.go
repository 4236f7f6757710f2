package esprom

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// Bits of GET_SECURITY_INFO's flags.
const (
	flagSecureBoot     = 1 << 0
	flagSecureDownload = 1 << 2
)

// Sizes of GET_SECURITY_INFO's data: flags u32, flash_crypt_cnt u8,
// key_purposes [7]u8, and, but on the ESP32-S2, chip_id u32, api_version u32.
const (
	securityInfoSize   = 20
	securityInfoSizeS2 = 12
)

// security is what a chip says of its own locks.
type security struct {
	secureBoot     bool
	secureDownload bool
	encryption     bool
	chipID         image.ChipID
	hasChipID      bool
}

func parseSecurity(b []byte) security {
	flags := binary.LittleEndian.Uint32(b)
	s := security{
		secureBoot:     flags&flagSecureBoot != 0,
		secureDownload: flags&flagSecureDownload != 0,
		encryption:     odd(uint32(b[4])),
	}
	if len(b) >= securityInfoSize {
		// The id is a word; one that does not fit an image's is no known chip.
		if id := binary.LittleEndian.Uint32(b[12:]); id <= 0xFFFF {
			s.chipID, s.hasChipID = image.ChipID(id), true
		} else {
			s.chipID, s.hasChipID = 0xFFFF, true
		}
	}
	return s
}

// identifyTries bounds how often a chip is asked for two equal answers.
const identifyTries = 5

// identify asks who answers and what it forbids, until two answers in a row
// agree: replies carry no checksum, and this one decides whether to write.
func (c *connector) identify(ctx context.Context) (*chip, security, error) {
	var last security
	var lastChip *chip
	var lastErr error
	for n := range identifyTries {
		ch, sec, err := c.identifyOnce(ctx)
		if err != nil && fatal(err) {
			return nil, sec, err
		}
		if n > 0 && sameAnswer(lastErr, err) && lastChip == ch && last == sec {
			return ch, sec, err
		}
		last, lastChip, lastErr = sec, ch, err
	}
	if lastErr == nil {
		lastErr = fmt.Errorf("the chip describes itself differently each time: %w", ErrNoise)
	}
	return nil, last, lastErr
}

// sameAnswer: both succeeded, or both refuse for the same reason. Other errors
// are no answers.
func sameAnswer(a, b error) bool {
	var ra, rb *RefusedError
	if errors.As(a, &ra) && errors.As(b, &rb) {
		return *ra == *rb
	}
	return a == nil && b == nil
}

func (c *connector) identifyOnce(ctx context.Context) (*chip, security, error) {
	sec, err := c.securityInfo(ctx)
	var refused *CommandError
	switch {
	case errors.As(err, &refused):
		return c.identifyOld(ctx, security{})
	case err != nil:
		return nil, sec, err
	case !sec.hasChipID:
		return c.identifyOld(ctx, sec)
	}
	ch := chipByID(sec.chipID)
	if ch == nil {
		return nil, sec, &RefusedError{RefusedUnknownChip, fmt.Sprintf(
			"the chip reports id %d, which this agent does not know", sec.chipID)}
	}
	return ch, sec, nil
}

func (c *connector) securityInfo(ctx context.Context) (security, error) {
	r, err := c.ask(ctx, request{op: opSecurityInfo})
	if err != nil {
		return security{}, err
	}
	b, err := r.result(securityInfoSize, c.stub)
	if errors.Is(err, errBadReply) {
		b, err = r.result(securityInfoSizeS2, c.stub)
	}
	if err != nil {
		return security{}, err
	}
	return parseSecurity(b), nil
}

// identifyOld knows the chips without a chip id by a word of their ROM.
func (c *connector) identifyOld(ctx context.Context, sec security) (*chip, security, error) {
	if sec.secureDownload {
		// In this mode the ROM reads no registers; only the S2 gets here.
		return chipByID(image.ESP32S2), sec, nil
	}
	// A ROM that did not know the command may have said so several times.
	if err := c.link.quiet(ctx); err != nil {
		return nil, sec, err
	}
	magic, err := c.readReg(ctx, romMagicReg)
	if err != nil {
		return nil, sec, err
	}
	ch := chipByMagic(magic)
	if ch == nil {
		return nil, sec, &RefusedError{RefusedUnknownChip, fmt.Sprintf(
			"the chip reports no id, and its ROM word %#08x is not one this agent knows", magic)}
	}
	if ch.id != image.ESP32 {
		return ch, sec, nil
	}
	crypt, err := c.readReg(ctx, esp32CryptReg)
	if err != nil {
		return nil, sec, err
	}
	boot, err := c.readReg(ctx, esp32SecureReg)
	if err != nil {
		return nil, sec, err
	}
	sec.encryption = odd(crypt >> esp32CryptShift & esp32CryptMask)
	sec.secureBoot = boot&esp32SecureMask != 0
	return ch, sec, nil
}

// permit refuses what must not or cannot be written.
func permit(ch *chip, sec security, o Options) error {
	switch {
	case o.Chip != image.AnyChip && ch.id != o.Chip:
		return &RefusedError{RefusedOtherChip, fmt.Sprintf(
			"this is an %s where an %s is configured; check the port, or the configured chip", ch.name, chipName(o.Chip))}
	case sec.secureDownload:
		return &RefusedError{RefusedSecureDownload, fmt.Sprintf(
			"the %s is in secure download mode (an eFuse, for good): its bootloader neither reads flash nor proves a write; update it from within its firmware", ch.name)}
	case sec.encryption:
		return &RefusedError{RefusedFlashEncryption, fmt.Sprintf(
			"flash encryption is on in this %s: what is written in plain would not boot; update it from within its firmware", ch.name)}
	}
	return nil
}

func chipName(id image.ChipID) string {
	if ch := chipByID(id); ch != nil {
		return ch.name
	}
	return fmt.Sprintf("chip with id %d", id)
}

package esprom

import (
	"context"
	"errors"
	"fmt"
)

// SPI controller bits (technical reference manual, "SPI0/1 registers").
const (
	spiCmdUser     = 1 << 18 // in CMD: run the user-defined command
	spiUserCommand = 1 << 31 // in USER: it has a command phase
	spiUserMISO    = 1 << 28 // and a read phase
	spi8BitCommand = 7 << 28 // in USER2
	spiReadID      = 0x9F    // JEDEC RDID
	spiPolls       = 10
)

// Geometry that SPI_SET_PARAMS wants. All NOR flash chips in use share it.
const (
	sectorSize = 0x1000
	blockErase = 64 << 10
	pageSize   = 0x100
	statusMask = 0xFFFF
)

// errFlashID: the flash chip's answer to RDID gives no size.
var errFlashID = errors.New("flash chip does not tell its size")

// attachFlash connects the SPI controller to the flash and tells the loader how
// big it is: the ROM takes any chip for 2 MB until told.
func (c *connector) attachFlash(ctx context.Context, ch *chip, size uint32) (uint32, error) {
	attach := words(0)
	if !c.stub {
		attach = words(0, 0)
	}
	if err := c.run(ctx, request{op: opSPIAttach, args: attach}); err != nil {
		return 0, fmt.Errorf("attach flash: %w", err)
	}
	if size == 0 {
		id, err := c.flashID(ctx, ch.spi)
		if err != nil {
			return 0, fmt.Errorf("identify flash: %w", err)
		}
		if size, err = sizeFromID(id); err != nil {
			return 0, err
		}
	}
	params := words(0, size, blockErase, sectorSize, pageSize, statusMask)
	if err := c.run(ctx, request{op: opSPISetParams, args: params}); err != nil {
		return 0, fmt.Errorf("set flash parameters: %w", err)
	}
	return size, nil
}

// sizeFromID reads the capacity from a JEDEC id (manufacturer, type, log2 of
// the size, from the low byte up). 256 KiB to 128 MiB are believed.
func sizeFromID(id uint32) (uint32, error) {
	const least, most = 18, 27
	switch exp := id >> 16 & 0xFF; {
	case exp >= least && exp <= most:
		return 1 << exp, nil
	case exp >= 0x32 && exp <= 0x3A: // some vendors count from 0x20 up
		return 1 << (exp - 0x20), nil
	}
	return 0, fmt.Errorf("%w: RDID gave %#06x; check the flash wiring, or configure its size", errFlashID, id&0xFFFFFF)
}

// flashID runs RDID through the SPI controller's registers.
func (c *connector) flashID(ctx context.Context, r spiRegs) (uint32, error) {
	usr, err := c.readReg(ctx, r.base+r.usr)
	if err != nil {
		return 0, err
	}
	usr2, err := c.readReg(ctx, r.base+r.usr2)
	if err != nil {
		return 0, err
	}
	err = c.writeRegs(ctx,
		regWrite{r.base + r.misoDlen, 24 - 1, allBits},
		regWrite{r.base + r.usr, spiUserCommand | spiUserMISO, allBits},
		regWrite{r.base + r.usr2, spi8BitCommand | spiReadID, allBits},
		regWrite{r.base + r.w0Off, 0, allBits},
		regWrite{r.base, spiCmdUser, allBits},
	)
	if err != nil {
		return 0, err
	}
	if err := c.spiDone(ctx, r.base); err != nil {
		return 0, err
	}
	id, err := c.readReg(ctx, r.base+r.w0Off)
	if err != nil {
		return 0, err
	}
	return id, c.writeRegs(ctx, regWrite{r.base + r.usr, usr, allBits}, regWrite{r.base + r.usr2, usr2, allBits})
}

func (c *connector) spiDone(ctx context.Context, cmdReg uint32) error {
	for range spiPolls {
		v, err := c.readReg(ctx, cmdReg)
		if err != nil {
			return err
		}
		if v&spiCmdUser == 0 {
			return nil
		}
	}
	return errors.New("SPI controller does not finish")
}

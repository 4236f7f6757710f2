package espsim

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
)

// Error codes of the ROM loader.
const (
	romFormat   = 0x05
	romFailed   = 0x06
	romChecksum = 0x07
	romReadback = 0x08
	romRead     = 0x0A
	romInflate  = 0x0B
)

const (
	romRing      = 256         // receive ring: what does not fit while it works is lost
	romMaxFrame  = 0x4000 + 64 // longer ones are no requests
	romFlashSize = 2 << 20     // what the ROM takes the flash for until SPI_SET_PARAMS
	romReadSlow  = 64
)

// rom is the loader in ROM, from one reset to the next.
type rom struct {
	link
	regs     *registers
	synced   bool
	attached bool
	size     uint32 // of the flash, as it was told
	lastOp   byte
	value    uint32 // of the last answer: it stays there
	stale    [2]byte
	mem      memory
	flash    romFlash
}

// errReboot ends a loader by a reset of its own making.
var errReboot = errors.New("reset by software")

// serveDownload is download mode, until power or EN end it, or the loader
// resets the chip (nil).
func (c *Chip) serveDownload(ctx context.Context, u *uart) error {
	banner := fmt.Sprintf("%s-ROM\r\nrst:0x1 (POWERON),boot:0x0 (DOWNLOAD(USB/UART0))\r\nwaiting for download\r\n", c.model.name)
	if err := u.send(ctx, []byte(banner)); err != nil {
		return err
	}
	r := &rom{
		link: link{c: c, u: u, d: deframer{max: romMaxFrame, sticky: true}},
		regs: newRegisters(c), size: romFlashSize,
	}
	defer r.flash.window.stop()
	err := r.serve(ctx)
	if errors.Is(err, errReboot) {
		return nil
	}
	return err
}

func (r *rom) serve(ctx context.Context) error {
	for {
		f, err := r.next(ctx)
		if err != nil {
			return err
		}
		r.u.busy(romRing, len(r.pending))
		err = r.handle(ctx, f)
		if lost := r.u.idle(); lost > 0 {
			r.c.log.Warn("receive ring of the ROM overran", "lost", lost)
		}
		if err != nil {
			return err
		}
	}
}

// answer sends an answer with the ROM's four status bytes, the last two of
// which are whatever lay there.
func (r *rom) answer(ctx context.Context, op byte, data []byte, code byte) error {
	status := []byte{0, code, r.stale[0], r.stale[1]}
	if code != 0 {
		status[0], data = 1, nil
		r.stale = [2]byte{1, code}
	}
	return r.respond(ctx, op, r.value, data, status)
}

// handle serves one frame.
func (r *rom) handle(ctx context.Context, f []byte) error {
	q, ok := parseRequest(f)
	h := r.handler(q.op)
	if !ok || h == nil {
		// The ROM answers in the name of the operation before.
		return r.answer(ctx, r.lastOp, nil, romFormat)
	}
	r.lastOp = q.op
	if !r.synced && q.op == opSync {
		r.synced = true
		r.u.lock()
	}
	data, code, err := h(ctx, q)
	if err != nil {
		return err
	}
	if err := r.answer(ctx, q.op, data, code); err != nil {
		return err
	}
	return r.after(ctx, q, code)
}

// handler is what serves an operation; nil where the ROM has none, or has it
// closed off.
func (r *rom) handler(op byte) func(context.Context, request) ([]byte, byte, error) {
	switch op {
	case opSync:
		return r.sync
	case opAttach:
		return r.attach
	case opSetParams:
		return r.setParams
	case opFlashBegin, opDeflBegin:
		return r.flashBegin
	case opFlashData:
		return r.flashData
	case opDeflData:
		return r.deflData
	case opFlashEnd, opDeflEnd:
		return r.flashEnd
	case opChangeBaud:
		return r.changeBaud
	case opSecurityInfo:
		if r.c.model.security {
			return r.security
		}
		return nil
	}
	if r.c.cfg.Security.SecureDownload {
		return nil
	}
	switch op {
	case opMemBegin:
		return r.memBegin
	case opMemData:
		return r.memData
	case opMemEnd:
		return r.memEnd
	case opReadReg:
		return r.readReg
	case opWriteReg:
		return r.writeReg
	case opMD5:
		return r.md5
	case opReadSlow:
		return r.readSlow
	}
	return nil
}

// after is what an operation does once it is answered.
func (r *rom) after(ctx context.Context, q request, code byte) error {
	if code != 0 {
		return nil
	}
	switch q.op {
	case opSync:
		for range 7 {
			if err := r.answer(ctx, opSync, nil, 0); err != nil {
				return err
			}
		}
	case opChangeBaud:
		r.u.setBaud(int(q.word(0)))
	case opFlashEnd, opDeflEnd:
		if q.word(0) == 0 {
			return errReboot
		}
	case opMemEnd:
		if entry := q.word(1); entry != 0 {
			return r.jump(ctx, entry)
		}
	}
	return nil
}

func (r *rom) sync(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 36 {
		return nil, romFormat, nil
	}
	r.value = syncValue
	return nil, 0, nil
}

func (r *rom) attach(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 8 {
		return nil, romFormat, nil
	}
	r.attached = true
	return nil, 0, nil
}

// setParams takes id, total size, block, sector and page size, status mask.
func (r *rom) setParams(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 24 {
		return nil, romFormat, nil
	}
	r.size = q.word(1)
	return nil, 0, nil
}

func (r *rom) changeBaud(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 8 || q.word(0) == 0 || q.word(0) > 5_000_000 {
		return nil, romFormat, nil
	}
	return nil, 0, nil
}

func (r *rom) security(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 0 {
		return nil, romFormat, nil
	}
	return r.c.securityInfo(), 0, nil
}

func (r *rom) readReg(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 4 {
		return nil, romFormat, nil
	}
	r.value = r.regs.read(q.word(0))
	return nil, 0, nil
}

// writeReg takes address, value, mask, delay.
func (r *rom) writeReg(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 16 {
		return nil, romFormat, nil
	}
	r.regs.write(q.word(0), q.word(1), q.word(2))
	return nil, 0, nil
}

func (r *rom) inside(addr, n uint32) bool {
	return r.attached && uint64(addr)+uint64(n) <= uint64(min(r.size, r.c.nor.size()))
}

// md5 takes address and size; the ROM answers in hex.
func (r *rom) md5(ctx context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 16 {
		return nil, romFormat, nil
	}
	if !r.inside(q.word(0), q.word(1)) {
		return nil, romFailed, nil
	}
	sum, err := r.c.flashMD5(ctx, q.word(0), q.word(1))
	if err != nil {
		return nil, 0, err
	}
	return []byte(hex.EncodeToString(sum[:])), 0, nil
}

// flashMD5 hashes a part of the flash; the caller has checked the bounds.
func (c *Chip) flashMD5(ctx context.Context, addr, n uint32) (sum [md5.Size]byte, err error) {
	h := md5.New()
	buf := make([]byte, sectorSize)
	for n > 0 {
		p := buf[:min(n, sectorSize)]
		if err := c.nor.read(ctx, addr, p); err != nil {
			return sum, err
		}
		h.Write(p)
		addr += uint32(len(p))
		n -= uint32(len(p))
	}
	h.Sum(sum[:0])
	return sum, nil
}

// readSlow takes address and size and always answers 64 bytes.
func (r *rom) readSlow(ctx context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 8 {
		return nil, romFormat, nil
	}
	addr, n := q.word(0), q.word(1)
	if n > romReadSlow || !r.inside(addr, n) {
		return nil, romRead, nil
	}
	buf := make([]byte, romReadSlow)
	if err := r.c.nor.read(ctx, addr, buf[:n]); err != nil {
		return nil, 0, err
	}
	return buf, 0, nil
}

package espsim

import (
	"context"
	"errors"
	"time"
)

// Status codes of the stub.
const (
	stubOK            = 0x0000
	stubLength        = 0xC000
	stubChecksum      = 0xC100
	stubUnknown       = 0xC300
	stubSPI           = 0xC400
	stubNotInFlash    = 0xC600
	stubInflate       = 0xC700
	stubTooLittle     = 0xC800
	stubTooMuch       = 0xC900
	stubUnimplemented = 0xFF00
)

const (
	stubMaxFrame = headerLen + 0x4000 + 0xFF
	// While it writes, the stub's interrupt fills a second buffer. Escapes
	// may double a frame.
	stubRing = 2 * stubMaxFrame
	// stubStart is what the stub waits before it says OHAI.
	stubStart = 10 * time.Millisecond
)

// stub is the flasher stub (esp-flasher-stub 1.1): it acknowledges a packet
// first and writes it then, so that a write that fails is told with the next
// request, which is skipped for it.
type stub struct {
	link
	rom   *rom // for registers and memory
	late  uint16
	flash stubFlash
	// post is what is to be done once the request is answered.
	post func(context.Context) (uint16, error)
}

// serveStub is the stub's life; it ends as serveDownload's does.
func (c *Chip) serveStub(ctx context.Context, r *rom) error {
	if c.cfg.Timing != (Timing{}) {
		if err := sleep(ctx, stubStart); err != nil {
			return err
		}
	}
	r.u.idle() // the ROM's ring is gone, the stub's buffers are there
	r.u.lock()
	s := &stub{link: link{c: c, u: r.u, d: deframer{max: stubMaxFrame}}, rom: r}
	defer s.flash.window.stop()
	if err := s.send(ctx, []byte("OHAI")); err != nil {
		return err
	}
	c.log.Debug("stub runs")
	for {
		f, err := s.next(ctx)
		if err != nil {
			return err
		}
		if err := s.handle(ctx, f); err != nil {
			return err
		}
	}
}

// handle serves one frame.
func (s *stub) handle(ctx context.Context, f []byte) error {
	q, ok := parseRequest(f)
	if !ok {
		code := uint16(stubLength)
		if len(f) > 0 && f[0] != 0 {
			code = stubUnknown
		}
		return s.status(ctx, q.op, code, 0, nil)
	}
	if s.late != stubOK {
		code := s.late
		s.late = stubOK
		return s.status(ctx, q.op, code, 0, nil)
	}
	s.post = nil
	s.u.busy(stubRing, 0)
	defer s.u.idle()
	data, value, code, err := s.dispatch(ctx, q)
	if errors.Is(err, errNoAnswer) {
		return nil
	}
	if err != nil {
		return err
	}
	if code != stubOK {
		return s.status(ctx, q.op, code, 0, nil)
	}
	if err := s.status(ctx, q.op, stubOK, value, data); err != nil {
		return err
	}
	if s.post == nil {
		return nil
	}
	s.late, err = s.post(ctx)
	return err
}

// status sends an answer with the stub's two status bytes.
func (s *stub) status(ctx context.Context, op byte, code uint16, value uint32, data []byte) error {
	return s.respond(ctx, op, value, data, []byte{byte(code >> 8), byte(code)})
}

// errNoAnswer is an operation that is not answered at all.
var errNoAnswer = errors.New("no answer")

// size is the length an operation's data must have, -1 where it varies.
func (s *stub) size(op byte) int {
	switch op {
	case opSync:
		return 36
	case opFlashEnd, opDeflEnd, opReadReg, opAttach:
		return 4
	case opMemBegin, opMD5, opReadFlash:
		return 16
	case opMemEnd, opChangeBaud, opEraseRegion:
		return 8
	case opSetParams:
		return 24
	case opSecurityInfo:
		return 0
	}
	return -1
}

func (s *stub) dispatch(ctx context.Context, q request) (data []byte, value uint32, code uint16, err error) {
	if n := s.size(q.op); n >= 0 && len(q.data) != n {
		return nil, 0, stubLength, nil
	}
	switch q.op {
	case opSync:
		for range 7 { // the eighth is the answer proper
			if err := s.status(ctx, opSync, stubOK, 0, nil); err != nil {
				return nil, 0, 0, err
			}
		}
	case opAttach, opSetParams:
	case opReadReg:
		value = s.rom.regs.read(q.word(0))
	case opWriteReg:
		code = s.writeReg(q)
	case opMemBegin, opMemData, opMemEnd:
		code = s.memory(q)
	case opChangeBaud:
		baud := int(q.word(0))
		s.post = func(context.Context) (uint16, error) { s.u.setBaud(baud); return stubOK, nil }
	case opSecurityInfo:
		if !s.c.model.security {
			return nil, 0, stubUnimplemented, nil
		}
		data = s.c.securityInfo()
	case opMD5:
		data, code, err = s.md5(ctx, q)
	case opRunUserCode:
		err = errNoAnswer
	default:
		code, err = s.flashOp(ctx, q)
	}
	return data, value, code, err
}

func (s *stub) md5(ctx context.Context, q request) ([]byte, uint16, error) {
	if !s.c.nor.inside(q.word(0), q.word(1)) {
		return nil, stubSPI, nil
	}
	sum, err := s.c.flashMD5(ctx, q.word(0), q.word(1))
	return sum[:], stubOK, err
}

// writeReg takes any number of address, value, mask, delay.
func (s *stub) writeReg(q request) uint16 {
	if len(q.data) == 0 || len(q.data)%16 != 0 {
		return stubTooLittle
	}
	for i := 0; i < len(q.data)/4; i += 4 {
		s.rom.regs.write(q.word(i), q.word(i+1), q.word(i+2))
	}
	return stubOK
}

// memory uploads to RAM. The stub looks neither at checksum nor sequence, and
// at the address as little as a C program does; a chip that is told to write
// outside of RAM would crash, this one refuses.
func (s *stub) memory(q request) uint16 {
	m := &s.rom.mem
	switch q.op {
	case opMemBegin:
		if !m.begin(s.c.model, q) {
			return stubLength
		}
		return stubOK
	case opMemData:
		if len(q.data) < dataHeaderLen {
			return stubTooLittle
		}
	}
	if !m.active {
		return stubNotInFlash
	}
	if q.op == opMemEnd {
		m.active = false
		if stay, entry := q.word(0), q.word(1); stay == 0 {
			s.post = func(ctx context.Context) (uint16, error) { return stubOK, s.rom.jump(ctx, entry) }
		}
		return stubOK
	}
	p := q.data[dataHeaderLen:]
	if q.word(0) > m.left || uint64(q.word(0)) != uint64(len(p)) {
		return stubTooMuch
	}
	m.put(p)
	return stubOK
}

package espsim

import (
	"context"
	"encoding/binary"
)

// Operations of the serial protocol.
const (
	opFlashBegin   = 0x02
	opFlashData    = 0x03
	opFlashEnd     = 0x04
	opMemBegin     = 0x05
	opMemEnd       = 0x06
	opMemData      = 0x07
	opSync         = 0x08
	opWriteReg     = 0x09
	opReadReg      = 0x0A
	opSetParams    = 0x0B
	opAttach       = 0x0D
	opReadSlow     = 0x0E
	opChangeBaud   = 0x0F
	opDeflBegin    = 0x10
	opDeflData     = 0x11
	opDeflEnd      = 0x12
	opMD5          = 0x13
	opSecurityInfo = 0x14
	opEraseFlash   = 0xD0
	opEraseRegion  = 0xD1
	opReadFlash    = 0xD2
	opRunUserCode  = 0xD3
)

const (
	headerLen     = 8
	dataHeaderLen = 16 // of MEM_DATA, FLASH_DATA and DEFL_DATA
	syncValue     = 0x20120707
)

// request is a frame from the host.
type request struct {
	op   byte
	sum  uint32
	data []byte
}

// parseRequest reads a frame; ok is false where its header contradicts it.
func parseRequest(f []byte) (r request, ok bool) {
	if len(f) < headerLen {
		return request{}, false
	}
	r = request{op: f[1], sum: binary.LittleEndian.Uint32(f[4:]), data: f[headerLen:]}
	return r, f[0] == 0 && int(binary.LittleEndian.Uint16(f[2:])) == len(r.data)
}

// word is the i-th 32-bit word of the request's data, which the caller knows
// to be long enough.
func (r request) word(i int) uint32 { return binary.LittleEndian.Uint32(r.data[4*i:]) }

// checksum is EF XOR every byte.
func checksum(p []byte) uint32 {
	sum := byte(0xEF)
	for _, b := range p {
		sum ^= b
	}
	return uint32(sum)
}

// link is a loader's side of the line: frames in, frames out, faults between.
type link struct {
	c       *Chip
	u       *uart
	d       deframer
	pending []byte // arrived, not looked at
	repeat  []byte // a frame that the plan of faults lets come twice
}

// next waits for a frame.
func (k *link) next(ctx context.Context) ([]byte, error) {
	if f := k.repeat; f != nil {
		k.repeat = nil
		return f, nil
	}
	for {
		for i, b := range k.pending {
			f, ok := k.d.byte(b)
			if !ok {
				continue
			}
			times, hit := k.c.faults.frame(toChip, f)
			k.c.suffer(hit)
			if times == 0 {
				continue
			}
			if times > 1 {
				k.repeat = append([]byte(nil), f...)
			}
			k.pending = k.pending[i+1:]
			return f, context.Cause(ctx)
		}
		var err error
		if k.pending, err = k.u.receive(ctx, nil); err != nil {
			return nil, err
		}
	}
}

// send sends a frame.
func (k *link) send(ctx context.Context, p []byte) error {
	p = append([]byte(nil), p...)
	times, hit := k.c.faults.frame(toHost, p)
	k.c.suffer(hit)
	f := encodeFrame(p)
	for range times {
		if err := k.u.send(ctx, f); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// respond sends an answer: value, data, and the status behind it.
func (k *link) respond(ctx context.Context, op byte, value uint32, data, status []byte) error {
	f := make([]byte, headerLen, headerLen+len(data)+len(status))
	f[0], f[1] = 1, op
	binary.LittleEndian.PutUint16(f[2:], uint16(len(data)+len(status)))
	binary.LittleEndian.PutUint32(f[4:], value)
	f = append(append(f, data...), status...)
	return k.send(ctx, f)
}

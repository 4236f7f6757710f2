package esprom

import (
	"encoding/binary"
	"fmt"
)

// Opcodes of the serial protocol. Those from 0xD0 up exist in the stub only.
const (
	opFlashBegin    = 0x02
	opFlashData     = 0x03
	opFlashEnd      = 0x04
	opMemBegin      = 0x05
	opMemEnd        = 0x06
	opMemData       = 0x07
	opSync          = 0x08
	opWriteReg      = 0x09
	opReadReg       = 0x0A
	opSPISetParams  = 0x0B
	opSPIAttach     = 0x0D
	opReadFlashSlow = 0x0E // ROM only
	opChangeBaud    = 0x0F
	opDeflBegin     = 0x10
	opDeflData      = 0x11
	opDeflEnd       = 0x12
	opFlashMD5      = 0x13
	opSecurityInfo  = 0x14
	opReadFlash     = 0xD2
)

var opNames = map[byte]string{
	opFlashBegin: "FLASH_BEGIN", opFlashData: "FLASH_DATA", opFlashEnd: "FLASH_END",
	opMemBegin: "MEM_BEGIN", opMemEnd: "MEM_END", opMemData: "MEM_DATA",
	opSync: "SYNC", opWriteReg: "WRITE_REG", opReadReg: "READ_REG",
	opSPISetParams: "SPI_SET_PARAMS", opSPIAttach: "SPI_ATTACH",
	opReadFlashSlow: "READ_FLASH_SLOW", opChangeBaud: "CHANGE_BAUDRATE",
	opDeflBegin: "FLASH_DEFL_BEGIN", opDeflData: "FLASH_DEFL_DATA", opDeflEnd: "FLASH_DEFL_END",
	opFlashMD5: "SPI_FLASH_MD5", opSecurityInfo: "GET_SECURITY_INFO", opReadFlash: "READ_FLASH",
}

func opName(op byte) string {
	if n, ok := opNames[op]; ok {
		return n
	}
	return fmt.Sprintf("opcode %#02x", op)
}

// Directions, the first byte of a packet.
const (
	dirRequest = 0x00
	dirReply   = 0x01
)

const headerSize = 8 // direction, opcode, length u16, checksum or value u32

// request is a command to the loader.
type request struct {
	op   byte
	args []byte // the fixed part
	data []byte // the block of MEM_DATA, FLASH_DATA and FLASH_DEFL_DATA
}

// appendTo appends the request as one frame.
func (r request) appendTo(dst []byte) []byte {
	var h [headerSize]byte
	h[0], h[1] = dirRequest, r.op
	binary.LittleEndian.PutUint16(h[2:], uint16(len(r.args)+len(r.data)))
	if r.data != nil {
		binary.LittleEndian.PutUint32(h[4:], uint32(checksum(r.data)))
	}
	return appendFrame(dst, h[:], r.args, r.data)
}

// block makes the request that carries block number seq of a transfer.
func block(op byte, seq uint32, data []byte) request {
	return request{op: op, args: words(uint32(len(data)), seq, 0, 0), data: data}
}

// words packs little-endian 32-bit words.
func words(w ...uint32) []byte {
	b := make([]byte, 0, 4*len(w))
	for _, v := range w {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// checksum is 0xEF XOR every byte of the block.
func checksum(data []byte) byte {
	sum := byte(0xEF)
	for _, b := range data {
		sum ^= b
	}
	return sum
}

// reply is a loader's answer. value has meaning for SYNC and READ_REG only.
type reply struct {
	op    byte
	value uint32
	body  []byte // response data, then the status
}

// parseReply reads a frame as a reply. A frame shorter than its length field
// says has lost bytes and is none; bytes beyond it are cut off.
func parseReply(frame []byte) (reply, bool) {
	if len(frame) < headerSize+statusSize || frame[0] != dirReply {
		return reply{}, false
	}
	n := int(binary.LittleEndian.Uint16(frame[2:]))
	if n < statusSize || n > len(frame)-headerSize {
		return reply{}, false
	}
	return reply{
		op:    frame[1],
		value: binary.LittleEndian.Uint32(frame[4:]),
		body:  frame[headerSize : headerSize+n],
	}, true
}

// statusSize is what of the status counts. The ROM appends two more bytes,
// which may be stale.
const statusSize = 2

// result splits the response data of want bytes from the status after it. A
// failed command may answer with the status alone.
func (r reply) result(want int, stub bool) ([]byte, error) {
	status := r.body
	if len(r.body) >= want+statusSize {
		status = r.body[want:]
	}
	if status[0] != 0 {
		return nil, r.failure(status, stub)
	}
	if len(r.body) < want+statusSize {
		return nil, fmt.Errorf("%s: reply of %d bytes where %d were due: %w",
			opName(r.op), len(r.body), want+statusSize, errBadReply)
	}
	return r.body[:want], nil
}

// failure makes the error of a status. The ROM puts 1 and then the reason, the
// stub the reason first.
func (r reply) failure(status []byte, stub bool) *CommandError {
	e := &CommandError{Op: r.op, Code: status[1], Stub: stub}
	if stub && status[1] == 0 {
		e.Code = status[0]
	}
	return e
}

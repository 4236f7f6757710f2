package espsim

import "encoding/binary"

// model is what differs between the chips of the family as far as a loader
// shows it. Sources: the chips' technical reference manuals.
type model struct {
	name       string
	chipID     uint16
	detect     uint32 // what 0x40001000 holds
	beginWords int    // words of FLASH_BEGIN in ROM
	security   bool   // knows GET_SECURITY_INFO
	spi        spiRegs
	ram        []extent // where uploaded code and data may go
	code       extent   // where an entry point may be
}

// spiRegs is the SPI controller at the flash: base and offsets.
type spiRegs struct{ base, usr, usr2, w0 uint32 }

func modelOf(m Model) *model {
	if m == ESP32 {
		return &model{
			name: "ESP32", chipID: 0, detect: 0x00F01D83, beginWords: 4,
			spi:  spiRegs{base: 0x3FF42000, usr: 0x1C, usr2: 0x24, w0: 0x80},
			ram:  []extent{{0x3FFAE000, 0x52000}, {0x40080000, 0x40000}},
			code: extent{0x40080000, 0x40000},
		}
	}
	return &model{
		name: "ESP32-S3", chipID: 9, detect: 0x9, beginWords: 5, security: true,
		spi:  spiRegs{base: 0x60002000, usr: 0x18, usr2: 0x20, w0: 0x58},
		ram:  []extent{{0x3FC88000, 0x78000}, {0x40370000, 0x70000}},
		code: extent{0x40370000, 0x70000},
	}
}

func (e extent) holds(addr, n uint32) bool {
	return addr >= e.addr && uint64(addr)+uint64(n) <= uint64(e.addr)+uint64(e.n)
}

const (
	detectReg   = 0x40001000
	spiCmdUser  = 1 << 18
	maxRegs     = 1 << 12 // registers remembered; a host may write anywhere
	flashVendor = 0x20    // XMC
	flashType   = 0x40
)

// registers is the memory-mapped world that a loader can read and write.
type registers struct {
	c   *Chip
	mem map[uint32]uint32
}

func newRegisters(c *Chip) *registers {
	r := &registers{c: c, mem: map[uint32]uint32{detectReg: c.model.detect}}
	mac := c.cfg.MAC
	lo := binary.BigEndian.Uint32(mac[2:])
	hi := uint32(binary.BigEndian.Uint16(mac[:2]))
	if c.cfg.Model == ESP32 {
		const efuse = 0x3FF5A000
		r.mem[efuse+0x04], r.mem[efuse+0x08] = lo, hi|crc8(mac)<<16
		r.mem[efuse+0x0C] = 1 << 15                 // chip revision 1
		r.mem[0x3FF40014] = 40_000_000 / 115200     // UART_CLKDIV
		r.mem[0x3FF66000+0x7C] = 1<<15 | 1<<13 | 16 // APB_CTRL_DATE: revision 3
		return r
	}
	const efuse = 0x60007000
	r.mem[efuse+0x44], r.mem[efuse+0x48] = lo, hi
	r.mem[efuse+0x50] = 1<<27 | 2<<18 | 1<<24 // embedded 8 MB, revision v0.2, block version 1
	r.mem[efuse+0x54] = 1                     // flash by XMC
	r.mem[efuse+0x6C] = 1
	r.mem[efuse+0x34] = uint32(c.cfg.Security.FlashCryptCount&7) << 18
	if c.cfg.Security.SecureBoot {
		r.mem[efuse+0x38] = 1 << 20
	}
	r.mem[0x60004038] = 0 // GPIO_STRAP: download
	return r
}

// crc8 is the check byte that ESP32 keeps beside its MAC.
func crc8(p [6]byte) uint32 {
	var crc byte
	for _, b := range p {
		crc ^= b
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x8C
			} else {
				crc >>= 1
			}
		}
	}
	return uint32(crc)
}

func (r *registers) read(addr uint32) uint32 { return r.mem[addr] }

func (r *registers) write(addr, value, mask uint32) {
	if _, known := r.mem[addr]; !known && len(r.mem) >= maxRegs {
		return
	}
	r.mem[addr] = r.mem[addr]&^mask | value&mask
	if s := r.c.model.spi; addr == s.base && r.mem[addr]&spiCmdUser != 0 {
		r.mem[addr] &^= spiCmdUser
		r.mem[s.base+s.w0] = r.flashCommand(byte(r.mem[s.base+s.usr2]))
	}
}

// flashCommand is the flash part's answer to a command over the SPI
// controller's user mode.
func (r *registers) flashCommand(cmd byte) uint32 {
	switch cmd {
	case 0x9F: // RDID
		capacity := uint32(0)
		for n := r.c.nor.size(); n > 1; n >>= 1 {
			capacity++
		}
		return flashVendor | flashType<<8 | capacity<<16
	case 0x05: // RDSR
		return 0
	case 0x35: // RDSR2: quad enabled
		return 0x02
	case 0x5A: // RDSFDP
		return 0x50444653
	}
	return 0
}

// securityInfo is the answer to GET_SECURITY_INFO: flags, crypt count, seven
// key purposes, chip id, API version.
func (c *Chip) securityInfo() []byte {
	s := c.cfg.Security
	var flags uint32
	if s.SecureBoot {
		flags |= 1 << 0
	}
	if s.SecureDownload {
		flags |= 1 << 2
	}
	b := make([]byte, 20)
	binary.LittleEndian.PutUint32(b, flags)
	b[4] = s.FlashCryptCount
	binary.LittleEndian.PutUint32(b[12:], uint32(c.model.chipID))
	return b
}

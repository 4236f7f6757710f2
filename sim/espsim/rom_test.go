package espsim

import (
	"bytes"
	"compress/zlib"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// somewhere is an address nothing else uses: the start of ota_0.
const somewhere = 0x220000

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*31 + i>>8)
	}
	return p
}

func deflated(t *testing.T, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func begin(size, blockSize int, addr uint32, extra ...uint32) []byte {
	blocks := (size + blockSize - 1) / blockSize
	return words(append([]uint32{uint32(size), uint32(blocks), uint32(blockSize), addr}, extra...)...)
}

func TestROMAnswers(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		c.ResetToBootloader()
		h := connectHost(t, c)
		if v := h.sync(); v != syncValue {
			t.Errorf("SYNC value %#x, want %#x", v, syncValue)
		}
		f := h.ask(opReadReg, words(detectReg))
		if v := binary.LittleEndian.Uint32(f[4:]); v != 9 {
			t.Errorf("detection register %#x", v)
		}
		f = h.ask(opSecurityInfo, nil)
		if id := binary.LittleEndian.Uint32(f[8+12:]); len(f) != 8+20+4 || id != 9 {
			t.Errorf("security info % x", f)
		}
		// An unknown operation is answered in the name of the one before.
		f = h.ask(opEraseFlash, nil)
		if h.want(f, romFormat, false, "unknown operation"); f[1] != opSecurityInfo {
			t.Errorf("answered as %#x, want the operation before", f[1])
		}
		h.want(h.ask(opSync, []byte{1, 2, 3}), romFormat, false, "short SYNC")
		h.want(h.ask(opFlashBegin, begin(4096, 1024, 0, 0)), romFailed, false, "BEGIN before SPI_ATTACH")
		h.ask(opAttach, words(0, 0))
		h.want(h.ask(opFlashBegin, begin(4096, 1024, 2<<20, 0)), romFailed, false, "past 2 MB before SPI_SET_PARAMS")
		h.ask(opSetParams, words(0, 8<<20, 65536, 4096, 256, 0xFFFF))
		h.want(h.ask(opFlashBegin, begin(4096, 1024, 2<<20, 0)), 0, false, "past 2 MB after it")
		h.want(h.ask(opFlashBegin, begin(4096, 1024, 8<<20-4096, 0)), 0, false, "the last sector")
		h.want(h.ask(opFlashBegin, begin(4097, 1024, 8<<20-4096, 0)), romFailed, false, "past the end")
		h.want(h.ask(opFlashBegin, begin(4096, 1024, 0x1100, 0)), romFailed, false, "not at a sector")
		h.want(h.ask(opFlashBegin, begin(4096, 1024, 0)), romFormat, false, "four words")
		h.want(h.ask(opReadSlow, words(0, 65)), romRead, false, "READ_FLASH_SLOW of 65")
		if f := h.ask(opReadSlow, words(0, 4)); len(f) != 8+64+4 || f[8] != 0xFF {
			t.Errorf("READ_FLASH_SLOW: % x", f)
		}
	})
}

func TestESP32AnswersAsItsROM(t *testing.T) {
	bubble(t, Config{Model: ESP32}, func(t *testing.T, c *Chip) {
		h := loader(t, c)
		h.want(h.ask(opSecurityInfo, nil), romFormat, false, "GET_SECURITY_INFO")
		if v := binary.LittleEndian.Uint32(h.ask(opReadReg, words(detectReg))[4:]); v != 0x00F01D83 {
			t.Errorf("detection register %#x", v)
		}
		h.want(h.ask(opFlashBegin, begin(4096, 1024, 0, 0)), romFormat, false, "BEGIN of five words")
		h.want(h.ask(opFlashBegin, begin(4096, 1024, 0)), 0, false, "BEGIN of four")
	})
}

func TestROMWrite(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		h := loader(t, c)
		data := pattern(3 * 1024)
		h.want(h.ask(opFlashBegin, begin(len(data), 1024, somewhere, 0)), 0, false, "BEGIN")
		h.want(h.block(opFlashData, 0, data[:1024]), 0, false, "block 0")
		h.want(h.block(opFlashData, 0, data[:1024]), romFormat, false, "block 0 again")
		// A wrong checksum uses the number up: the right retry is the next.
		bad := encodeFrame(packet(opFlashData, 0x12, append(words(1024, 1, 0, 0), data[1024:2048]...)))
		h.write(bad)
		h.want(h.frame(), romChecksum, false, "wrong checksum")
		h.want(h.block(opFlashData, 1, data[1024:2048]), romFormat, false, "same number again")
		h.want(h.block(opFlashData, 2, data[1024:2048]), 0, false, "next number")
		h.want(h.block(opFlashData, 3, data[2048:2051]), romFormat, false, "length no multiple of 4")
		h.want(h.block(opFlashData, 3, data[2048:]), 0, false, "last block")
		if got := c.Flash()[somewhere : somewhere+len(data)]; !bytes.Equal(got, data) {
			t.Error("flash holds something else")
		}
		f := h.ask(opMD5, words(somewhere, uint32(len(data)), 0, 0))
		sum := md5.Sum(data)
		if got := string(f[8 : 8+32]); len(f) != 8+32+4 || got != hex.EncodeToString(sum[:]) {
			t.Errorf("MD5 % x", f)
		}
		// Writing over data that is not erased shows in the readback.
		h.want(h.ask(opFlashBegin, begin(0, 1024, somewhere, 0)), 0, false, "BEGIN of nothing")
		h.want(h.block(opFlashData, 0, bytes.Repeat([]byte{0xA5}, 1024)), romReadback, false, "over old data")
	})
}

// The ROM's inflater writes whole windows: what lies behind the image is lost.
func TestROMDeflateWritesPastTheEnd(t *testing.T) {
	flash := make([]byte, 8<<20)
	clearTo(flash, 0xFF)
	clearTo(flash[somewhere+4096:somewhere+40000], 0xAA)
	bubble(t, Config{Flash: flash}, func(t *testing.T, c *Chip) {
		h := loader(t, c)
		data := pattern(4096)
		z := deflated(t, data)
		h.want(h.ask(opDeflBegin, begin(4096, 1024, somewhere, 0)), 0, false, "BEGIN")
		for seq := uint32(0); len(z) > 0; seq++ {
			n := min(1024, len(z))
			h.want(h.block(opDeflData, seq, z[:n]), 0, false, "block")
			z = z[n:]
		}
		got := c.Flash()
		if !bytes.Equal(got[somewhere:somewhere+4096], data) {
			t.Error("the image is not there")
		}
		if got[somewhere+5000] != 0 || got[somewhere+windowSize] != 0xAA {
			t.Errorf("behind it: %#x, behind the window: %#x", got[somewhere+5000], got[somewhere+windowSize])
		}
	})
}

// While the ROM erases, its ring keeps 256 bytes of what comes.
func TestROMRingOverruns(t *testing.T) {
	bubble(t, Config{Timing: RealTiming()}, func(t *testing.T, c *Chip) {
		h := loader(t, c)
		h.write(encodeFrame(packet(opFlashBegin, 0, begin(65536, 1024, somewhere, 0))))
		block := packet(opFlashData, checksum(pattern(1024)), append(words(1024, 0, 0, 0), pattern(1024)...))
		h.write(encodeFrame(block)) // pipelined: most of it is lost
		h.want(h.frame(), 0, false, "BEGIN")
		if f := h.frame(); f != nil {
			t.Errorf("the block that was cut off is answered: % x", f)
		}
		// A spare end closes what is left of it, then all is well.
		h.write([]byte{slipEnd})
		h.frame()
		h.want(h.block(opFlashData, 0, pattern(1024)), 0, false, "the block again")
	})
}

func TestROMFlashEndLandsInTheLoaderAgain(t *testing.T) {
	flash := allSlots(t)
	bubble(t, Config{Flash: flash}, func(t *testing.T, c *Chip) {
		h := loader(t, c)
		h.want(h.ask(opFlashBegin, begin(0, 1024, 0, 0)), 0, false, "BEGIN")
		h.want(h.ask(opFlashEnd, words(0)), 0, false, "END")
		time.Sleep(time.Second)
		if m := c.App().Mode; m != ModeDownload {
			t.Errorf("mode %s", m)
		}
		h.sync()
	})
}

func TestSecureDownloadMode(t *testing.T) {
	bubble(t, Config{Security: Security{SecureDownload: true, SecureBoot: true, FlashCryptCount: 1}}, func(t *testing.T, c *Chip) {
		h := loader(t, c)
		f := h.ask(opSecurityInfo, nil)
		if flags := binary.LittleEndian.Uint32(f[8:]); flags != 5 || f[12] != 1 {
			t.Errorf("flags %#x, crypt count %d", flags, f[12])
		}
		for op, data := range map[byte][]byte{
			opReadReg: words(detectReg), opWriteReg: words(0, 0, 0, 0), opMemBegin: words(16, 1, 16, 0x40378000),
			opMD5: words(0, 16, 0, 0), opReadSlow: words(0, 16),
		} {
			h.want(h.ask(op, data), romFormat, false, "closed operation")
		}
		h.want(h.ask(opFlashBegin, begin(4096, 1024, somewhere, 0)), 0, false, "writing")
	})
}

func TestUploadsThatAreNoStub(t *testing.T) {
	code := pattern(4096)
	for name, tt := range map[string]struct {
		data  []byte
		addr  uint32
		entry uint32
	}{
		"too short":         {code[:512], 0x40378000, 0x40378000},
		"entry elsewhere":   {code, 0x40378000, 0x40380000},
		"entry in data":     {code, 0x3FCB0000, 0x3FCB0000},
		"all the same byte": {make([]byte, 4096), 0x40378000, 0x40378000},
	} {
		bubble(t, Config{}, func(t *testing.T, c *Chip) {
			h := loader(t, c)
			h.want(h.ask(opMemBegin, words(uint32(len(tt.data)), 1, 0x1800, tt.addr)), 0, false, "MEM_BEGIN")
			h.want(h.block(opMemData, 0, tt.data), 0, false, "MEM_DATA")
			h.want(h.ask(opMemEnd, words(0, tt.entry)), 0, false, "MEM_END")
			if f := h.frame(); f != nil {
				t.Errorf("%s: it says %q", name, f)
			}
			h.sync() // the watchdog brought the ROM back
		})
	}
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		h := loader(t, c)
		h.want(h.ask(opMemBegin, words(4096, 1, 0x1800, 0x40000000)), romFailed, false, "outside of RAM")
	})
}

func TestBaudRates(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		h := withStub(t, c)
		h.want(h.ask(opChangeBaud, words(921600, 115200)), 0, true, "CHANGE_BAUDRATE")
		if f := h.ask(opSync, syncData()); f != nil {
			t.Errorf("the wrong baud rate is understood: % x", f)
		}
		if err := h.p.SetBaud(921600); err != nil {
			t.Fatal(err)
		}
		h.write([]byte{slipEnd})
		h.frame()
		start := time.Now()
		h.want(h.ask(opFlashBegin, begin(0x4000, 0x4000, somewhere)), 0, true, "BEGIN")
		h.want(h.block(opFlashData, 0, make([]byte, 0x4000)), 0, true, "block")
		// 16 KiB and its frame: 16,410 bytes, 10 bits each, at 921,600 a second.
		if d := time.Since(start); d < 178*time.Millisecond || d > 185*time.Millisecond {
			t.Errorf("a block takes %v", d)
		}
	})
}

// The ROM finds the host's baud rate by itself until it is synced.
func TestAutobaud(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		c.ResetToBootloader()
		h := connectHost(t, c)
		_ = h.p.SetBaud(460800)
		h.sync()
		_ = h.p.SetBaud(115200)
		if f := h.ask(opSync, syncData()); f != nil {
			t.Errorf("a second rate is understood: % x", f)
		}
	})
}

func TestBootTextOnTheLine(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		p := c.Open()
		c.ResetToBootloader()
		time.Sleep(time.Second)
		buf := make([]byte, 4096)
		n, err := p.Read(buf)
		if err != nil || !strings.Contains(string(buf[:n]), "waiting for download") {
			t.Errorf("%q, %v", buf[:n], err)
		}
	})
}

func TestHostAtTheWrongRateHearsNoise(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		p := c.Open()
		_ = p.SetBaud(9600)
		c.ResetToBootloader()
		time.Sleep(time.Second)
		buf := make([]byte, 4096)
		n, err := p.Read(buf)
		if err != nil || n == 0 || strings.Contains(string(buf[:n]), "download") {
			t.Errorf("%q, %v", buf[:n], err)
		}
	})
}

package espsim

import (
	"bytes"
	"crypto/md5"
	"testing"
	"testing/synctest"
	"time"
)

func TestStubAnswers(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		h := withStub(t, c)
		if v := h.sync(); v != 0 {
			t.Errorf("SYNC value %#x, want 0", v)
		}
		for _, tt := range []struct {
			what string
			op   byte
			data []byte
			code int
		}{
			{"SPI_ATTACH as the ROM takes it", opAttach, words(0, 0), stubLength},
			{"SPI_ATTACH", opAttach, words(0), 0},
			{"BEGIN of three words", opFlashBegin, words(1, 2, 3), stubLength},
			{"unknown", 0x55, nil, stubUnknown},
			{"DATA before BEGIN", opFlashData, words(0, 0, 0, 0), stubNotInFlash},
			{"END before BEGIN", opFlashEnd, words(1), stubNotInFlash},
			{"BEGIN of four", opFlashBegin, begin(1024, 1024, somewhere), 0},
			{"END before all has come", opFlashEnd, words(1), stubLength},
			{"BEGIN of five", opFlashBegin, begin(1024, 1024, somewhere, 0), 0},
			{"DATA of another length", opFlashData, append(words(8, 0, 0, 0), 1, 2, 3, 4), stubTooMuch},
			{"DATA with a wrong checksum", opFlashData, append(words(4, 0, 0, 0), 1, 2, 3, 4), stubChecksum},
			{"ERASE_REGION not at a sector", opEraseRegion, words(1, 4096), stubLength},
			{"READ_FLASH of three words", opReadFlash, words(1, 2, 3), stubLength},
		} {
			h.want(h.ask(tt.op, tt.data), tt.code, true, tt.what)
		}
		sum := md5.Sum(bytes.Repeat([]byte{0xFF}, 100))
		if f := h.ask(opMD5, words(0x700000, 100, 0, 0)); len(f) != 8+16+2 || !bytes.Equal(f[8:24], sum[:]) {
			t.Errorf("MD5 % x", f)
		}
		h.write(encodeFrame(packet(opRunUserCode, 0, nil)))
		if f := h.frame(); f != nil {
			t.Errorf("RUN_USER_CODE is answered: % x", f)
		}
	})
}

func TestStubWrite(t *testing.T) {
	for name, compressed := range map[string]bool{"plain": false, "deflate": true} {
		t.Run(name, func(t *testing.T) {
			flash := make([]byte, 8<<20) // all zero: nothing is blank
			bubble(t, Config{Flash: flash, Timing: RealTiming()}, func(t *testing.T, c *Chip) {
				h := withStub(t, c)
				data := pattern(150_000)
				wire, op := data, byte(opFlashData)
				if compressed {
					wire, op = deflated(t, data), opDeflData
				}
				h.want(h.ask(op-1, begin(len(data), 0x4000, somewhere)), 0, true, "BEGIN")
				for seq := uint32(0); len(wire) > 0; seq++ {
					n := min(0x4000, len(wire))
					h.want(h.block(op, seq, wire[:n]), 0, true, "block")
					wire = wire[n:]
				}
				h.want(h.ask(op+1, words(1)), 0, true, "END")
				got := c.Flash()
				if !bytes.Equal(got[somewhere:somewhere+len(data)], data) {
					t.Error("flash holds something else")
				}
				end := (somewhere + len(data) + sectorSize) &^ (sectorSize - 1)
				if got[end-1] != 0xFF || got[end] != 0 {
					t.Errorf("erased up to the wrong place: % x", got[end-1:end+1])
				}
				h.sync() // FLASH_END does not reset
			})
		})
	}
}

// A write error comes with the next request, which is skipped.
func TestStubReportsLate(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		h := withStub(t, c)
		h.want(h.ask(opFlashBegin, begin(8192, 4096, somewhere)), 0, true, "BEGIN")
		c.SetFaults(Faults{FailFlashOp: 3})
		h.want(h.block(opFlashData, 0, pattern(4096)), 0, true, "the block that fails")
		h.want(h.block(opFlashData, 1, pattern(4096)), stubSPI, true, "the block after it")
		h.want(h.ask(opFlashEnd, words(1)), stubLength, true, "END: a block is missing")
	})
}

func TestStubInflateErrors(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		h := withStub(t, c)
		h.want(h.ask(opDeflBegin, begin(8192, 0x4000, somewhere)), 0, true, "BEGIN")
		h.want(h.block(opDeflData, 0, []byte("no zlib stream")), 0, true, "the block")
		h.want(h.ask(opDeflEnd, words(1)), stubInflate, true, "the request after it")

		z := deflated(t, pattern(8192))
		h.want(h.ask(opDeflBegin, begin(8192, 0x4000, somewhere)), 0, true, "BEGIN")
		h.want(h.block(opDeflData, 0, z[:len(z)/2]), 0, true, "half a stream")
		h.want(h.ask(opDeflEnd, words(1)), stubLength, true, "END")

		// More than was announced: the stub waits for an erase for ever.
		h.want(h.ask(opDeflBegin, begin(4096, 0x4000, somewhere)), 0, true, "BEGIN")
		h.want(h.block(opDeflData, 0, z), 0, true, "twice too much")
		if f := h.ask(opSync, syncData()); f != nil {
			t.Errorf("a hung stub answers % x", f)
		}
		c.ResetToBootloader()
		h.sync()
	})
}

func TestStubReadFlash(t *testing.T) {
	bubble(t, Config{Flash: pattern(100_000)}, func(t *testing.T, c *Chip) {
		h := withStub(t, c)
		h.want(h.ask(opReadFlash, words(100, 10_000, 4096, 64)), 0, true, "READ_FLASH")
		var got []byte
		for len(got) < 10_000 {
			f := h.frame()
			if len(f) == 0 {
				t.Fatalf("silence after %d bytes", len(got))
			}
			if got = append(got, f...); len(got) < 10_000 {
				if f := h.peek(); f {
					t.Fatal("the next packet comes before the acknowledgement")
				}
			}
			h.write(encodeFrame(words(uint32(len(got)))))
		}
		sum := md5.Sum(got)
		if f := h.frame(); !bytes.Equal(f, sum[:]) || !bytes.Equal(got, pattern(100_000)[100:10_100]) {
			t.Errorf("MD5 frame % x", f)
		}
		h.want(h.ask(opReadFlash, words(0, 100, 8192, 1)), 0, true, "packet too long")
		h.want(h.ask(opAttach, words(0)), stubLength, true, "the request after it")
	})
}

// peek says whether bytes come within a second.
func (h *host) peek() bool {
	time.Sleep(time.Second)
	synctest.Wait()
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	return len(h.p.rx) > 0 || len(h.b) > 0
}

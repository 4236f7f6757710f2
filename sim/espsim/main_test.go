package espsim

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs f with a chip on fake time.
func bubble(t *testing.T, cfg Config, f func(t *testing.T, c *Chip)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f(t, c)
	})
}

// host is a bare host: it sends what it is told to and hands on what comes.
type host struct {
	t *testing.T
	p *Port
	d deframer
	b []byte
}

func connectHost(t *testing.T, c *Chip) *host {
	t.Helper()
	h := &host{t: t, p: c.Open(), d: deframer{max: 1 << 20, sticky: true}}
	if err := h.p.SetReadTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) write(p []byte) {
	h.t.Helper()
	if _, err := h.p.Write(p); err != nil {
		h.t.Fatal(err)
	}
}

// frame waits for a frame; nil is silence.
func (h *host) frame() []byte {
	h.t.Helper()
	for {
		for i, b := range h.b {
			if f, ok := h.d.byte(b); ok {
				h.b = h.b[i+1:]
				return append([]byte(nil), f...)
			}
		}
		buf := make([]byte, 4096)
		n, err := h.p.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			h.b = nil
			return nil
		}
		if err != nil {
			h.t.Fatal(err)
		}
		h.b = buf[:n]
	}
}

func packet(op byte, sum uint32, data []byte) []byte {
	p := []byte{0, op}
	p = binary.LittleEndian.AppendUint16(p, uint16(len(data)))
	p = binary.LittleEndian.AppendUint32(p, sum)
	return append(p, data...)
}

func words(v ...uint32) []byte {
	var p []byte
	for _, w := range v {
		p = binary.LittleEndian.AppendUint32(p, w)
	}
	return p
}

// ask sends a request and waits for the answer.
func (h *host) ask(op byte, data []byte) []byte {
	h.t.Helper()
	h.write(encodeFrame(packet(op, 0, data)))
	return h.frame()
}

// block sends a data packet with a right checksum.
func (h *host) block(op byte, seq uint32, data []byte) []byte {
	h.t.Helper()
	h.write(encodeFrame(packet(op, checksum(data), append(words(uint32(len(data)), seq, 0, 0), data...))))
	return h.frame()
}

// status is the code of an answer: 0 for success, -1 for none. stub says how
// many status bytes there are.
func status(t *testing.T, f []byte, stub bool) int {
	t.Helper()
	if f == nil {
		return -1
	}
	n := 4
	if stub {
		n = 2
	}
	if len(f) < 8+n || int(binary.LittleEndian.Uint16(f[2:])) != len(f)-8 {
		t.Fatalf("answer % x", f)
	}
	s := f[len(f)-n:]
	if stub {
		return int(s[0])<<8 | int(s[1])
	}
	if s[0] == 0 {
		return 0
	}
	return int(s[1])
}

func (h *host) want(f []byte, code int, stub bool, what string) {
	h.t.Helper()
	if got := status(h.t, f, stub); got != code {
		h.t.Errorf("%s: status %#x, want %#x (% x)", what, got, code, f)
	}
}

func syncData() []byte {
	p := []byte{0x07, 0x07, 0x12, 0x20}
	for range 32 {
		p = append(p, 0x55)
	}
	return p
}

// sync syncs and drains the eight answers.
func (h *host) sync() uint32 {
	h.t.Helper()
	f := h.ask(opSync, syncData())
	for i := range 7 {
		if g := h.frame(); status(h.t, g, len(f) == 10) != 0 {
			h.t.Fatalf("answer %d to SYNC: % x", i+2, g)
		}
	}
	return binary.LittleEndian.Uint32(f[4:])
}

// loader is a chip in its ROM loader, synced, flash attached, 8 MB known.
func loader(t *testing.T, c *Chip) *host {
	t.Helper()
	c.ResetToBootloader()
	h := connectHost(t, c)
	h.sync()
	h.want(h.ask(opAttach, words(0, 0)), 0, false, "SPI_ATTACH")
	h.want(h.ask(opSetParams, words(0, 8<<20, 64<<10, 4<<10, 256, 0xFFFF)), 0, false, "SPI_SET_PARAMS")
	return h
}

// withStub is a chip under the stub: any code will do.
func withStub(t *testing.T, c *Chip) *host {
	t.Helper()
	h := loader(t, c)
	code := make([]byte, 0x1800)
	for i := range code {
		code[i] = byte(i * 7)
	}
	const at = 0x40378000
	h.want(h.ask(opMemBegin, words(uint32(len(code)), 1, 0x1800, at)), 0, false, "MEM_BEGIN")
	h.want(h.block(opMemData, 0, code), 0, false, "MEM_DATA")
	h.want(h.ask(opMemEnd, words(0, at+4)), 0, false, "MEM_END")
	if f := h.frame(); string(f) != "OHAI" {
		t.Fatalf("the stub says %q", f)
	}
	return h
}

// run runs a chip until its state satisfies ok, or fails after a minute.
func waitFor(t *testing.T, c *Chip, what string, ok func(AppStatus) bool) AppStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := c.WaitApp(ctx, ok)
	if err != nil {
		t.Fatalf("waiting for %s: %v; state %+v", what, err, s)
	}
	return s
}

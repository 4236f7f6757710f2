package lies

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/agent/internal/slots"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// Operations of the loader (esptool's protocol).
const (
	opReadReg  = 0x0A
	opMD5      = 0x13
	opSecurity = 0x14
)

// liar stands between the loader and the agent. What the chip says in frames is
// handed on as change has it, and not at all where it gives nothing.
type liar struct {
	*espsim.Port
	change func(frame []byte) [][]byte
	babble []byte // is said whenever nothing else is, for ever

	raw  []byte // of the frame that has begun
	in   bool
	next []byte
	wait time.Duration
}

func (l *liar) SetReadTimeout(d time.Duration) error { l.wait = d; return l.Port.SetReadTimeout(d) }

func (l *liar) ResetInput() error {
	l.raw, l.in, l.next = nil, false, nil
	return l.Port.ResetInput()
}

func (l *liar) Read(p []byte) (int, error) {
	began := time.Now()
	for len(l.next) == 0 {
		buf := make([]byte, 4096)
		n, err := l.Port.Read(buf)
		for _, b := range buf[:n] {
			l.octet(b)
		}
		if err == nil && time.Since(began) < l.wait {
			continue
		}
		if len(l.next) == 0 && l.babble != nil {
			l.next = l.babble
			break
		}
		if len(l.next) == 0 && err != nil {
			return 0, err
		}
	}
	n := copy(p, l.next)
	l.next = l.next[n:]
	baud := 921600
	if l.babble != nil {
		baud = 115200
	}
	time.Sleep(time.Duration(n) * 10 * time.Second / time.Duration(baud)) // what it takes on the line
	return n, nil
}

// octet takes the chip's bytes apart by SLIP (RFC 1055).
func (l *liar) octet(b byte) {
	switch {
	case b != 0xC0 && !l.in:
		l.next = append(l.next, b) // text of the boot ROM
	case b != 0xC0:
		l.raw = append(l.raw, b)
	case len(l.raw) == 0:
		l.in = true
	default:
		frame := bytes.ReplaceAll(bytes.ReplaceAll(l.raw, []byte{0xDB, 0xDC}, []byte{0xC0}), []byte{0xDB, 0xDD}, []byte{0xDB})
		l.raw, l.in = nil, false
		for _, f := range l.change(frame) {
			l.next = append(l.next, 0xC0)
			l.next = append(l.next, bytes.ReplaceAll(bytes.ReplaceAll(f, []byte{0xDB}, []byte{0xDB, 0xDD}), []byte{0xC0}, []byte{0xDB, 0xDC})...)
			l.next = append(l.next, 0xC0)
		}
	}
}

// buttons resets a chip as its buttons would.
type buttons struct{ chip *espsim.Chip }

func (b buttons) Bootloader(context.Context, int) error { b.chip.ResetToBootloader(); return nil }
func (b buttons) Run(context.Context) error             { b.chip.ResetToApp(); return nil }

// as is a reply to an operation, changed; all others stay.
func as(op byte, f func(frame []byte) [][]byte) func([]byte) [][]byte {
	return func(frame []byte) [][]byte {
		if len(frame) > 8 && frame[0] == 1 && frame[1] == op {
			return f(bytes.Clone(frame))
		}
		return [][]byte{frame}
	}
}

// ofWrites is as for MD5s, but not for one that is asked for after a read, of the same range.
func ofWrites(f func(frame []byte) [][]byte) func([]byte) [][]byte {
	read := false
	lie := as(opMD5, func(frame []byte) [][]byte {
		if read {
			read = false
			return [][]byte{frame}
		}
		return f(frame)
	})
	return func(frame []byte) [][]byte {
		if len(frame) == md5.Size { // how a read ends
			read = true
		}
		return lie(frame)
	}
}

func one(f func(frame []byte)) func([]byte) [][]byte {
	return func(frame []byte) [][]byte { f(frame); return [][]byte{frame} }
}

func after(n int, f func([]byte) [][]byte) func([]byte) [][]byte {
	return func(frame []byte) [][]byte {
		if n--; n >= 0 {
			return [][]byte{frame}
		}
		return f(frame)
	}
}

// TestHostileChips: a chip that lies gets no slot switched. Its running slot and
// its OTA data are what they were, and the agent stops within minutes of fake time,
// saying why.
func TestHostileChips(t *testing.T) {
	w := newWorld(t)
	table := w.flash[0x10000 : 0x10000+0xC00]
	tests := map[string]struct {
		change func([]byte) [][]byte
		babble []byte
		want   string // part of the error; "": the chip's word does no harm, and the update goes on
	}{
		"another MD5, each time": {ofWrites(one(func(f []byte) { f[8] ^= 1 })), nil, "flash content differs from what was written"},
		"another MD5 of reads":   {as(opMD5, one(func(f []byte) { f[8] ^= 1 })), nil, "do not match the chip's MD5"},
		"no MD5":                 {ofWrites(one(func(f []byte) { clear(f[8:24]) })), nil, "flash content differs from what was written"},
		"half an MD5":            {as(opMD5, func(f []byte) [][]byte { f[2] = 10; return [][]byte{append(f[:16], 0, 0)} }), nil, ""},
		"an MD5 in letters":      {ofWrites(one(func(f []byte) { copy(f[8:24], "zzzzzzzzzzzzzzzz") })), nil, "flash content differs from what was written"},
		"that all failed":        {as(opMD5, func(f []byte) [][]byte { return [][]byte{{1, opMD5, 2, 0, 0, 0, 0, 0, 0xC4, 0}} }), nil, ""},
		"nothing after a while":  {after(20, func([]byte) [][]byte { return nil }), nil, "?"},
		"answers to questions of others": {func(f []byte) [][]byte {
			return [][]byte{{1, 0x55, 2, 0, 0, 0, 0, 0, 0, 0}, f, {1, 0x66, 2, 0, 0, 0, 0, 0, 0, 0}}
		}, nil, ""},
		"each answer twice":                          {func(f []byte) [][]byte { return [][]byte{f, f} }, nil, ""},
		"requests for answers":                       {func(f []byte) [][]byte { f = bytes.Clone(f); f[0] = 0; return [][]byte{f} }, nil, "?"},
		"lengths of 65,535 bytes":                    {func(f []byte) [][]byte { f = bytes.Clone(f); f[2], f[3] = 0xFF, 0xFF; return [][]byte{f} }, nil, "?"},
		"frames of a megabyte":                       {func(f []byte) [][]byte { return [][]byte{append(bytes.Clone(f), make([]byte, 1<<20)...)} }, nil, "?"},
		"frames without an end":                      {func([]byte) [][]byte { return nil }, append([]byte{0xC0}, make([]byte, 5000)...), "?"},
		"borders for ever":                           {func([]byte) [][]byte { return nil }, bytes.Repeat([]byte{0xC0}, 5000), "?"},
		"escapes for ever":                           {func([]byte) [][]byte { return nil }, bytes.Repeat([]byte{0xDB}, 5000), "?"},
		"answers to nobody, for ever":                {func([]byte) [][]byte { return nil }, bytes.Repeat([]byte{0xC0, 1, 0x08, 4, 0, 7, 7, 0x12, 0x20, 0, 0, 0, 1, 0xC0}, 300), "?"},
		"text for ever":                              {func([]byte) [][]byte { return nil }, bytes.Repeat([]byte("rst:0x1 (POWERON)\r\n"), 300), "?"},
		"good answers, and noise for ever":           {func(f []byte) [][]byte { return [][]byte{f} }, bytes.Repeat([]byte{0x80, 0x1f, 0xf8, 0x06}, 500), ""},
		"another chip, by its security":              {as(opSecurity, one(func(f []byte) { binary.LittleEndian.PutUint32(f[8+12:], 5) })), nil, "ESP32-C3"},
		"a small flash":                              {as(opReadReg, one(func(f []byte) { f[6] = 0x13 })), nil, "?"},
		"a flash of 4 GiB":                           {as(opReadReg, one(func(f []byte) { f[6] = 0x20 })), nil, "?"},
		"a table in which ota_0 is the running slot": {contents(table, func(b []byte) { moveSlot(b, 0, 0x20000) }), nil, "?"},
		"a table in which ota_0 is all of the flash": {contents(table, func(b []byte) { growSlot(b, 0, 0x7E0000) }), nil, "?"},
		"a table in which ota_0 wraps around":        {contents(table, func(b []byte) { growSlot(b, 0, 0xFFFFF000) }), nil, "?"},
		"a table without OTA data":                   {contents(table, func(b []byte) { b[2*32+3] = 0x99 }), nil, "?"},
		"a table of nothing":                         {contents(table, func(b []byte) { clear(b) }), nil, "?"},
	}
	told, taken := 0, 0
	for name, tt := range tests {
		told++
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				flash := bytes.Clone(w.flash)
				chip, err := espsim.New(espsim.Config{Memory: flash, Unpaced: true, Rollback: true})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				err = update2(t, chip, &liar{Port: chip.Open(), change: tt.change, babble: tt.babble}, w)
				took := time.Since(began)
				chip.Close()
				t.Logf("after %v: %v", took, err)
				if took > 5*time.Minute {
					t.Errorf("it took %v", took)
				}
				if tt.want != "" && (err == nil || !strings.Contains(err.Error(), strings.Trim(tt.want, "?"))) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				switched := !bytes.Equal(flash[0x18000:0x20000], w.flash[0x18000:0x20000])
				if err != nil && switched {
					t.Error("the OTA data were written")
				}
				if !bytes.Equal(flash[0x20000:0x220000], w.flash[0x20000:0x220000]) || !bytes.Equal(flash[:0x11000], w.flash[:0x11000]) {
					t.Error("the running slot, the boot loader or the partition table was written")
				}
				if sum := md5.Sum(flash[0x220000 : 0x220000+64<<10]); switched && sum != md5.Sum(w.app(testimage.Spec{Version: "0.2.1"})) {
					t.Error("it was switched to what is not the image")
					taken++
				}
			})
		})
	}
	report(t, figures{Part: "lies: hostile chips", Points: told, Accepted: taken, Failures: failures(t)})
}

// update2 is the whole way of an image into a slot that boots next.
func update2(t *testing.T, chip *espsim.Chip, port *liar, w *world) error {
	ctx := t.Context()
	s, err := esprom.Connect(ctx, port, buttons{chip}, esprom.Options{Chip: image.ESP32S3, Baud: 921600})
	if err != nil {
		return err
	}
	v, err := image.Verify(w.good(), image.NewKeyring(w.keys[1].Public), image.Policy{Chip: image.ESP32S3})
	if err != nil {
		t.Fatal(err)
	}
	d := slots.New(s, s.Info().FlashSize, s.Info().Chip)
	err = func() error {
		view, err := d.Inspect(ctx)
		if err != nil {
			return err
		}
		if view.Boots != flashmap.Factory {
			return errors.New("it would boot something else than what runs")
		}
		if err := d.Write(ctx, view.Inactive, v, nil); err != nil {
			return err
		}
		if err := d.Attest(ctx, view.Inactive, v); err != nil {
			return err
		}
		return d.Switch(ctx, view.Boots, view.Inactive)
	}()
	return errors.Join(err, s.Close(ctx, true))
}

// contents has the chip say other contents of its flash than there are, with
// MD5s that fit: that at the end of the read, and that which is asked for then.
func contents(of []byte, change func([]byte)) func([]byte) [][]byte {
	lie := bytes.Clone(of)
	change(lie)
	var said []byte // since the reading began
	var sum [md5.Size]byte
	again := false
	return func(frame []byte) [][]byte {
		switch {
		case len(frame) >= 256 && len(frame) <= len(of) && bytes.Contains(of, frame[:64]):
			at := bytes.Index(of, frame[:64])
			f := bytes.Clone(lie[at:min(at+len(frame), len(lie))])
			f = append(f, frame[len(f):]...)
			said = append(said, f...)
			return [][]byte{f}
		case len(frame) == md5.Size && len(said) > 0:
			sum, said, again = md5.Sum(said), nil, true
			return [][]byte{sum[:]}
		case again && len(frame) >= 8+md5.Size && frame[1] == opMD5:
			again = false
			f := bytes.Clone(frame)
			copy(f[8:], sum[:])
			return [][]byte{f}
		}
		return [][]byte{frame}
	}
}

// slotRow is a row of the table that is ota_n (ESP-IDF: type 0, subtype 0x10+n).
func slotRow(b []byte, n byte) []byte {
	for at := 0; at+32 <= len(b); at += 32 {
		if b[at] == 0xAA && b[at+2] == 0 && b[at+3] == 0x10+n {
			return b[at : at+32]
		}
	}
	panic("no such row")
}

func moveSlot(b []byte, n byte, offset uint32) {
	binary.LittleEndian.PutUint32(slotRow(b, n)[4:], offset)
	resum(b)
}

func growSlot(b []byte, n byte, size uint32) {
	binary.LittleEndian.PutUint32(slotRow(b, n)[8:], size)
	resum(b)
}

// resum makes the table's own MD5 fit.
func resum(b []byte) {
	for at := 0; at+32 <= len(b); at += 32 {
		if b[at] == 0xEB && b[at+1] == 0xEB {
			sum := md5.Sum(b[:at])
			copy(b[at+16:], sum[:])
		}
	}
}

package esprom

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// unhex reads hex with blanks.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequestGolden(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    request
		want string
	}{
		{"sync", syncRequest(), "c0 00 08 2400 00000000 07071220" + strings.Repeat("55", 32) + "c0"},
		{"read register", request{op: opReadReg, args: words(0x40001000)}, "c0 00 0a 0400 00000000 00100040 c0"},
		{"block", block(opFlashData, 2, []byte{1, 2, 0xC0}), "c0 00 03 1300 2c000000 03000000 02000000 00000000 00000000 0102dbdc c0"},
		{"empty block", block(opMemData, 0, []byte{}), "c0 00 07 1000 ef000000 00000000 00000000 00000000 00000000 c0"},
		{"no data", request{op: opSecurityInfo}, "c0 00 14 0000 00000000 c0"},
	} {
		if got := tc.r.appendTo(nil); !bytes.Equal(got, unhex(t, tc.want)) {
			t.Errorf("%s: %x", tc.name, got)
		}
	}
}

func TestReply(t *testing.T) {
	for _, tc := range []struct {
		name  string
		frame string
		want  int // bytes of response data
		stub  bool
		data  string
		value uint32
		code  byte
		bad   bool // no reply at all
		short bool // a reply, but not to this
	}{
		{name: "rom ok", frame: "01 08 0400 07122055 00000000", value: 0x55201207},
		{name: "rom, stale bytes behind the status", frame: "01 0a 0400 831df000 00000105", value: 0x00F01D83},
		{name: "rom fails", frame: "01 03 0400 00000000 01070000", code: 0x07},
		{name: "stub ok", frame: "01 08 0200 00000000 0000", stub: true},
		{name: "stub fails, reason first", frame: "01 11 0200 00000000 c100", stub: true, code: 0xC1},
		{name: "stub with a reason behind a 1", frame: "01 11 0200 00000000 01c4", stub: true, code: 0xC4},
		{name: "data", frame: "01 13 0600 00000000 01020304 0000", stub: true, want: 4, data: "01020304"},
		{name: "failure in place of data", frame: "01 13 0200 00000000 c400", stub: true, want: 16, code: 0xC4},
		{name: "data, failed", frame: "01 13 0600 00000000 01020304 c400", stub: true, want: 4, code: 0xC4},
		{name: "too little data", frame: "01 13 0400 00000000 00000000", want: 16, short: true},
		{name: "more than its length says", frame: "01 08 0200 00000000 0000 ffff", stub: true},
		{name: "less than its length says", frame: "01 08 0400 00000000 0000", bad: true},
		{name: "no status", frame: "01 08 0000 00000000", bad: true},
		{name: "one status byte", frame: "01 08 0100 00000000 00", bad: true},
		{name: "a request", frame: "00 08 0200 00000000 0000", bad: true},
		{name: "short", frame: "01 08 02", bad: true},
		{name: "empty", bad: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, ok := parseReply(unhex(t, tc.frame))
			if ok == tc.bad {
				t.Fatalf("parsed: %v", ok)
			}
			if tc.bad {
				return
			}
			data, err := r.result(tc.want, tc.stub)
			var ce *CommandError
			switch {
			case tc.code != 0:
				if !errors.As(err, &ce) || ce.Code != tc.code || ce.Op != r.op || ce.Stub != tc.stub {
					t.Errorf("got %v, want code %#x", err, tc.code)
				}
			case tc.short:
				if !errors.Is(err, errBadReply) {
					t.Errorf("got %v", err)
				}
			case err != nil || !bytes.Equal(data, unhex(t, tc.data)) || r.value != tc.value:
				t.Errorf("got %x, value %#x, %v", data, r.value, err)
			}
		})
	}
}

func TestErrorTexts(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&CommandError{Op: opDeflData, Code: stubSPI, Stub: true}, "FLASH_DEFL_DATA: the stub loader answered that the flash chip failed to read, erase or write (code 0xc4)"},
		{&CommandError{Op: opFlashData, Code: romChecksum}, "FLASH_DATA: the ROM loader answered that the checksum is wrong (code 0x07)"},
		{&CommandError{Op: 0x77, Code: 0x66}, "opcode 0x77: the ROM loader answered with an unknown failure (code 0x66)"},
		{&timeoutError{op: opSync, after: syncTimeout}, "SYNC: no reply within 100ms: chip does not answer"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add([]byte("\x01\x08\x04\x00\x07\x12\x20\x55\x00\x00\x00\x00"), 0)
	f.Add([]byte("\x01\x14\x18\x00\x00\x00\x00\x00"+strings.Repeat("\x00", 24)), 20)
	f.Add([]byte("\x01\x13\x02\x00\x00\x00\x00\x00\xC4\x00"), 16)
	f.Fuzz(func(t *testing.T, frame []byte, want int) {
		r, ok := parseReply(frame)
		if !ok || want < 0 || want > 4096 {
			return
		}
		for _, stub := range []bool{false, true} {
			data, err := r.result(want, stub)
			if err == nil && len(data) != want {
				t.Fatalf("%d bytes of data, want %d", len(data), want)
			}
			r.garbled(stub)
			if _, err := parseMD5(r, stub); err == nil && len(r.body) < md5Size {
				t.Fatal("MD5 out of nothing")
			}
			if b, err := r.result(securityInfoSize, stub); err == nil {
				parseSecurity(b)
			}
		}
	})
}

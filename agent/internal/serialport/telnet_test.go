package serialport

import (
	"bytes"
	"reflect"
	"testing"
)

func TestTelnetFeed(t *testing.T) {
	long := bytes.Repeat([]byte{'x'}, maxSubnegotiation+1)
	for _, c := range []struct {
		name   string
		in     []byte
		data   string
		events []tnEvent
	}{
		{"plain", []byte("abc"), "abc", nil},
		{"doubled IAC is a byte", []byte{1, 255, 255, 2}, "\x01\xff\x02", nil},
		{"commands are dropped", []byte{'a', 255, 241, 'b', 255, 249, 'c'}, "abc", nil},
		{"negotiation", []byte{'a', 255, 253, 44, 'b', 255, 252, 0}, "ab", []tnEvent{{tnDo, optComPort, nil}, {tnWont, optBinary, nil}}},
		{"baud answer with an escaped byte", []byte{255, 250, 44, 101, 0, 255, 255, 0, 1, 255, 240, 'z'}, "z",
			[]tnEvent{{tnSB, optComPort, []byte{101, 0, 255, 0, 1}}}},
		{"empty subnegotiation", []byte{255, 250, 255, 240, 'a'}, "a", nil},
		{"option without payload", []byte{255, 250, 44, 255, 240}, "", []tnEvent{{tnSB, optComPort, nil}}},
		{"too long is skipped", append(append([]byte{255, 250, 44}, long...), 255, 240, 'a'), "a", nil},
		{"longest", append(append([]byte{255, 250, 44}, long[1:]...), 255, 240, 'a'), "a", []tnEvent{{tnSB, optComPort, long[1:]}}},
		{"not closed, then a command", []byte{255, 250, 44, 1, 255, 253, 3, 'a'}, "a", []tnEvent{{tnDo, optSGA, nil}}},
		{"not closed, then another", []byte{255, 250, 44, 1, 255, 250, 44, 2, 255, 240}, "", []tnEvent{{tnSB, optComPort, []byte{2}}}},
		{"stray end", []byte{255, 240, 'a'}, "a", nil},
	} {
		var whole telnet
		data, events := whole.feed(c.in, nil)
		if string(data) != c.data || !sameEvents(events, c.events) {
			t.Errorf("%s: data %q, events %v", c.name, data, events)
		}
		if data, events := feedBytes(c.in); string(data) != c.data || !sameEvents(events, c.events) {
			t.Errorf("%s, byte by byte: data %q, events %v", c.name, data, events)
		}
	}
}

func feedBytes(in []byte) (data []byte, events []tnEvent) {
	var t telnet
	for _, b := range in {
		var more []tnEvent
		data, more = t.feed([]byte{b}, data)
		events = append(events, more...)
	}
	return data, events
}

func sameEvents(a, b []tnEvent) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].verb != b[i].verb || a[i].option != b[i].option || !bytes.Equal(a[i].payload, b[i].payload) {
			return false
		}
	}
	return true
}

// The vectors are RFC 2217's own examples of form, with values of ours.
func TestComPort(t *testing.T) {
	for _, c := range []struct{ got, want []byte }{
		{comPort(cpSetBaud, 0, 1, 194, 0), []byte{255, 250, 44, 1, 0, 1, 194, 0, 255, 240}},
		{comPort(cpSetBaud, 0, 255, 0, 255), []byte{255, 250, 44, 1, 0, 255, 255, 0, 255, 255, 255, 240}},
		{comPort(cpControl, controlDTROn), []byte{255, 250, 44, 5, 8, 255, 240}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

// FuzzTelnet: no input may crash the parser, make it grow, or mean something
// else when it is cut differently; and what is escaped comes out as it was.
func FuzzTelnet(f *testing.F) {
	f.Add([]byte("boot: ESP-ROM"), uint8(3))
	f.Add([]byte{255, 251, 44, 255, 253, 0, 'a', 255, 255, 'b'}, uint8(1))
	f.Add([]byte{255, 250, 44, 101, 0, 1, 194, 0, 255, 240, 0xC0}, uint8(5))
	f.Add([]byte{255, 250, 44, 255, 250, 255, 240, 255}, uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, cut uint8) {
		var whole, parts telnet
		data, events := whole.feed(in, nil)
		at := int(cut) % (len(in) + 1)
		data2, events2 := parts.feed(in[:at], nil)
		data2, more := parts.feed(in[at:], data2)
		if !bytes.Equal(data, data2) || !sameEvents(events, append(events2, more...)) {
			t.Fatalf("cut at %d: %q %v, whole: %q %v", at, data2, append(events2, more...), data, events)
		}
		if len(data) > len(in) || cap(whole.sub) > 4*maxSubnegotiation {
			t.Fatalf("%d bytes became %d; %d kept", len(in), len(data), cap(whole.sub))
		}
		for _, e := range events {
			if len(e.payload) > maxSubnegotiation {
				t.Fatalf("a payload of %d bytes", len(e.payload))
			}
		}
		var again telnet
		if back, ev := again.feed(escapeTelnet(nil, in), nil); !bytes.Equal(back, in) || len(ev) != 0 {
			t.Fatalf("escaped % x came back as % x, %v", in, back, ev)
		}
	})
}

package link

import (
	"bytes"
	"fmt"
	"testing"
)

// record writes down what a stream consists of.
type record struct{ bytes.Buffer }

func (r *record) data(p []byte)         { fmt.Fprintf(r, "%q ", p) }
func (r *record) option(verb, opt byte) { fmt.Fprintf(r, "<%d %d> ", verb, opt) }
func (r *record) sub(p []byte)          { fmt.Fprintf(r, "[% x] ", p) }

func TestTelnet(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"data":             {"abc", `"abc" `},
		"doubled IAC":      {"a\xFF\xFFb", `"a\xffb" `},
		"option":           {"a\xFF\xFD\x2Cb", `"a" <253 44> "b" `},
		"subnegotiation":   {"a\xFF\xFA\x2C\x01\x00\x0E\x10\x00\xFF\xF0b", `"a" [2c 01 00 0e 10 00] "b" `},
		"IAC inside":       {"\xFF\xFA\x2C\xFF\xFF\xFF\xF0", `[2c ff] `},
		"other command":    {"a\xFF\xF1b", `"ab" `},
		"broken off":       {"\xFF\xFA\x2C\xFF\x01b", `"b" `},
		"unfinished":       {"\xFF\xFA\x2C\x01", ``},
		"too long is none": {"\xFF\xFA" + string(bytes.Repeat([]byte{1}, 300)) + "\xFF\xF0b", `"b" `},
	} {
		for _, step := range []int{1, 3, 1000} {
			var (
				r  record
				tl telnet
			)
			// Cut into pieces, data comes in pieces too: only whole for 1000.
			for p := []byte(tt.in); len(p) > 0; {
				n := min(step, len(p))
				tl.feed(p[:n], &r)
				p = p[n:]
			}
			if step == 1000 && r.String() != tt.want {
				t.Errorf("%s: %s, want %s", name, r.String(), tt.want)
			}
		}
	}
}

type sink struct {
	p    []byte
	subs int
}

func (s *sink) data(p []byte)     { s.p = append(s.p, p...) }
func (s *sink) option(byte, byte) {}
func (s *sink) sub(p []byte) {
	if len(p) > maxSub {
		panic("too long")
	}
	s.subs++
}

func FuzzTelnet(f *testing.F) {
	f.Add([]byte("a\xFF\xFFb"), 1)
	f.Add([]byte("a\xFF\xFD\x2Cb\xFF\xFA\x2C\x01\x00\x0E\x10\x00\xFF\xF0b"), 3)
	f.Fuzz(func(t *testing.T, p []byte, cut int) {
		if cut < 0 || cut > len(p) {
			cut = len(p) / 2
		}
		// Where the stream is cut makes no difference.
		var whole, parts sink
		var a, b telnet
		a.feed(p, &whole)
		b.feed(p[:cut], &parts)
		b.feed(p[cut:], &parts)
		if !bytes.Equal(whole.p, parts.p) || whole.subs != parts.subs {
			t.Fatalf("% x cut at %d differs", p, cut)
		}
		// What is escaped comes through as it was.
		var back sink
		var c telnet
		c.feed(escape(nil, p), &back)
		if !bytes.Equal(back.p, p) {
			t.Fatalf("% x comes back as % x", p, back.p)
		}
	})
}

// FuzzClient lets a client say anything to the server's own part.
func FuzzClient(f *testing.F) {
	f.Add([]byte{iac, sb, optComPort, comBaud, 0, 0, 0, 0, iac, se})
	f.Add([]byte{iac, do, optComPort, iac, sb, optComPort, comPurge, iac, se})
	f.Fuzz(func(t *testing.T, p []byte) {
		c := discarding(t)
		var tl telnet
		tl.feed(p, c)
	})
}

package serialport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// telnetServer is a small RFC 2217 server for one client: it echoes data and
// notes what it is told. It works on whole messages, found by searching for
// their ends, so that it shares nothing with the client's parser.
type telnetServer struct {
	silent    bool   // answers nothing
	refuse    bool   // DONT COM-PORT-OPTION
	baud      uint32 // answered instead of what was asked
	noControl bool   // no answer to SET-CONTROL
	noise     []byte // sent in front of each answer

	mu       sync.Mutex
	baudNow  uint32
	controls []byte
	purges   int
	data     []byte
}

func (s *telnetServer) start(t *testing.T) (url string, drop func()) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conn net.Conn
	done := make(chan struct{})
	accepted := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		conn = c
		close(accepted)
		s.serve(c)
	}()
	drop = sync.OnceFunc(func() {
		_ = l.Close()
		select {
		case <-accepted:
			_ = conn.Close()
		default:
		}
		<-done
	})
	t.Cleanup(drop)
	return "rfc2217://" + l.Addr().String(), drop
}

func (s *telnetServer) serve(c net.Conn) {
	var in []byte
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		in = append(in, buf[:n]...)
		var out []byte
		in, out = s.take(in)
		if len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}
}

// take handles the whole messages in in and gives the rest.
func (s *telnetServer) take(in []byte) (rest, out []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(in) > 0 {
		switch {
		case in[0] != 255:
			s.data = append(s.data, in[0])
			out = append(out, in[0])
			in = in[1:]
		case len(in) >= 2 && in[1] == 255:
			s.data = append(s.data, 255)
			out = append(out, 255, 255)
			in = in[2:]
		case len(in) >= 2 && in[1] == 250:
			end := bytes.Index(in, []byte{255, 240})
			if end < 0 {
				return in, out
			}
			out = append(out, s.command(bytes.ReplaceAll(in[2:end], []byte{255, 255}, []byte{255}))...)
			in = in[end+2:]
		case len(in) >= 3:
			out = append(out, s.option(in[1], in[2])...)
			in = in[3:]
		default:
			return in, out
		}
	}
	return nil, out
}

func (s *telnetServer) option(verb, opt byte) []byte {
	if s.silent || verb != 251 { // WILL → DO
		return nil
	}
	if s.refuse && opt == 44 {
		return []byte{255, 254, 44}
	}
	return []byte{255, 253, opt, 255, 251, opt, 255, 253, 1, 255, 251, 1} // and something about ECHO
}

func (s *telnetServer) command(b []byte) []byte {
	if b[0] != 44 {
		return nil
	}
	value := b[2:]
	switch b[1] {
	case 1:
		s.baudNow = binary.BigEndian.Uint32(value)
		if s.baud != 0 {
			value = binary.BigEndian.AppendUint32(nil, s.baud)
		}
	case 5:
		s.controls = append(s.controls, value[0])
		if s.noControl {
			return nil
		}
	case 12:
		s.purges++
	}
	out := append([]byte{}, s.noise...)
	out = append(out, 255, 250, 44, b[1]+100)
	out = append(out, bytes.ReplaceAll(value, []byte{255}, []byte{255, 255})...)
	return append(out, 255, 240)
}

func (s *telnetServer) seen(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func TestRemoteCarriesEveryByteBothWays(t *testing.T) {
	// In front of each answer many a modem state (107), with the value 255.
	s := &telnetServer{noise: bytes.Repeat([]byte{255, 250, 44, 107, 255, 255, 255, 240}, 2*maxReplies)}
	url, _ := s.start(t)
	p := mustOpen(t, Config{Port: url, Baud: 921600})
	s.seen(func() {
		if s.baudNow != 921600 {
			t.Errorf("the server was set to %d baud", s.baudNow)
		}
	})
	if n, err := p.Write(allBytes()); n != 512 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if got := readFull(t, p, 512); !bytes.Equal(got, allBytes()) {
		t.Errorf("came back as % x", got)
	}
	s.seen(func() {
		if !bytes.Equal(s.data, allBytes()) {
			t.Errorf("the server got % x", s.data)
		}
	})
	if err := p.SetBaud(0x00FF00FF % MaxBaud); err != nil { // bytes that need an escape
		t.Error(err)
	}
	if err := p.SetReadTimeout(20 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(make([]byte, 1)); n != 0 || err != os.ErrDeadlineExceeded { //nolint:errorlint // the contract is the sentinel itself
		t.Errorf("Read = %d, %v", n, err)
	}
}

func TestRemoteResetInput(t *testing.T) {
	s := &telnetServer{}
	url, _ := s.start(t)
	p := mustOpen(t, Config{Port: url})
	if _, err := p.Write([]byte("stale")); err != nil {
		t.Fatal(err)
	}
	if err := p.ResetInput(); err != nil {
		t.Fatal(err)
	}
	if err := p.SetReadTimeout(0); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v after ResetInput", n, err)
	}
	s.seen(func() {
		if s.purges != 1 {
			t.Errorf("%d PURGE-DATA", s.purges)
		}
	})
}

func TestRemoteLines(t *testing.T) {
	for _, noControl := range []bool{false, true} {
		s := &telnetServer{noControl: noControl}
		url, _ := s.start(t)
		p := mustOpen(t, Config{Port: url})
		r, err := NewResetter(Reset{}, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Bootloader(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		// An answer to a last setting says that all before it has arrived.
		if err := p.SetBaud(115200); err != nil {
			t.Fatal(err)
		}
		want := []byte{1 /* no flow control */, 9, 11, 8, 12, 9 /* classic */, 9, 11, 12 /* run */}
		s.seen(func() {
			if !bytes.Equal(s.controls, want) {
				t.Errorf("without answers %v: SET-CONTROL %v, want %v", noControl, s.controls, want)
			}
		})
		if got := p.link.(*rfc2217).ignoreControl; got != noControl {
			t.Errorf("ignoreControl = %v, want %v", got, noControl)
		}
	}
}

func TestRemoteRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		server *telnetServer
		want   error
		text   string
	}{
		"raw TCP": {&telnetServer{silent: true}, ErrNotTTY, "a raw TCP port?"},
		"refuses": {&telnetServer{refuse: true}, ErrNotTTY, "refuses RFC 2217"},
		"baud":    {&telnetServer{baud: 9600}, ErrBaud, "set a lower rate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := c.server.start(t)
			p, err := Open(t.Context(), Config{Port: url})
			if err == nil {
				_ = p.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("Open = %v", err)
			}
		})
	}
}

func TestRemoteOpenEndsWithItsContext(t *testing.T) {
	s := &telnetServer{silent: true}
	url, _ := s.start(t)
	ctx, cancel := contextFor(t, 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Config{Port: url}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open = %v", err)
	}
}

func TestRemoteGoneAndBack(t *testing.T) {
	s := &telnetServer{}
	url, drop := s.start(t)
	p := mustOpen(t, Config{Port: url})
	drop()
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, ErrGone) {
		t.Errorf("Read from a server that left = %v", err)
	}
	// The same address again, after a while.
	addr := strings.TrimPrefix(url, "rfc2217://")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	again := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			again <- c
			(&telnetServer{}).serve(c)
		}
		close(again)
	}()
	if err := p.Reopen(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := p.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if got := readFull(t, p, 1); got[0] != 'x' {
		t.Errorf("got %q", got)
	}
	_ = (<-again).Close()
	_ = l.Close()
	<-again
}

func TestRemoteOverrunKeepsTheNewest(t *testing.T) {
	s := &telnetServer{noise: bytes.Repeat([]byte("log "), maxUnread/2)}
	url, _ := s.start(t)
	p := mustOpen(t, Config{Port: url})
	if got := len(p.link.(*rfc2217).unread); got > maxUnread {
		t.Errorf("%d bytes are kept", got)
	}
	if err := p.ResetInput(); err != nil {
		t.Error(err)
	}
}

// A subnegotiation that is never closed does not swallow the answer after it.
func TestRemoteBearsBrokenAnswers(t *testing.T) {
	s := &telnetServer{noise: append([]byte{255, 250, 44, 101}, bytes.Repeat([]byte{1}, 500)...)}
	url, _ := s.start(t)
	mustOpen(t, Config{Port: url})
}

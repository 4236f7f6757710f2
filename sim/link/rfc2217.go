package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/sim/espsim"
)

// Commands of RFC 2217; the server answers with the command plus 100.
const (
	comSignature  = 0
	comBaud       = 1
	comDataSize   = 2
	comParity     = 3
	comStopSize   = 4
	comControl    = 5
	comLineState  = 6
	comModemState = 7
	comSuspend    = 8
	comResume     = 9
	comLineMask   = 10
	comModemMask  = 11
	comPurge      = 12
	comAnswer     = 100
)

// Values of SET-CONTROL.
const (
	flowRequest = 0
	flowNone    = 1
	breakOff    = 6
	dtrRequest  = 7
	dtrOn       = 8
	dtrOff      = 9
	rtsRequest  = 10
	rtsOn       = 11
	rtsOff      = 12
	flowInNone  = 14
)

// modemState is CTS, DSR and carrier, which the line always has.
const modemState = 0x10 | 0x20 | 0x80

// RFC2217 serves the line over TCP, to one client at a time: the next waits
// until the one before has gone.
type RFC2217 struct {
	chip *espsim.Chip
	log  *slog.Logger
	l    net.Listener
}

// ListenRFC2217 listens on a TCP address such as "127.0.0.1:0".
func ListenRFC2217(ctx context.Context, chip *espsim.Chip, addr string, log *slog.Logger) (*RFC2217, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("RFC 2217 server: %w", err)
	}
	return &RFC2217{chip: chip, log: log, l: l}, nil
}

// Addr is where it listens.
func (s *RFC2217) Addr() string { return s.l.Addr().String() }

// Serve serves clients until ctx ends.
func (s *RFC2217) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.l.Close() })
	defer stop()
	for {
		conn, err := s.l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("RFC 2217 server: %w", err)
		}
		s.log.Debug("RFC 2217 client", "from", conn.RemoteAddr())
		if err := s.serve(ctx, conn); err != nil {
			s.log.Debug("RFC 2217 client gone", "why", err)
		}
	}
}

// client is one connection.
type client struct {
	conn     net.Conn
	port     *espsim.Port
	baud     uint32
	dtr, rts bool
	enabled  map[[2]byte]bool // options in force: {side, option}

	mu  sync.Mutex // guards writing to conn, and err
	err error
}

func (s *RFC2217) serve(ctx context.Context, conn net.Conn) error {
	c := &client{conn: conn, port: s.chip.Open(), baud: 115200, enabled: map[[2]byte]bool{}}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var out sync.WaitGroup
	out.Go(func() {
		defer cancel()
		c.fail(c.output())
	})
	c.fail(c.input())
	cancel()
	stop()
	_ = conn.Close()
	// A serial server that lets go of the device drops its lines.
	if c.dtr || c.rts {
		_ = c.port.SetLines(false, false)
	}
	_ = c.port.Close()
	out.Wait()
	return c.err
}

func (c *client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

// input takes the client's bytes until it goes.
func (c *client) input() error {
	var t telnet
	buf := make([]byte, 4096)
	for {
		n, err := c.conn.Read(buf)
		t.feed(buf[:n], c)
		if err != nil {
			return err
		}
		if c.broken() {
			return nil
		}
	}
}

func (c *client) broken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// output brings the client what the chip says.
func (c *client) output() error {
	buf := make([]byte, 4096)
	for {
		n, err := c.port.Read(buf)
		if err != nil {
			return err
		}
		c.write(escape(make([]byte, 0, n+16), buf[:n]))
	}
}

// writeTimeout is how long a client may take no data.
const writeTimeout = 5 * time.Second

func (c *client) write(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = c.conn.Write(p)
	}
	c.err = err
}

// data implements handler.
func (c *client) data(p []byte) {
	if _, err := c.port.Write(p); err != nil && !errors.Is(err, context.Canceled) {
		c.fail(err)
	}
}

// option implements handler: what the line needs is agreed to, the rest not,
// and nothing is said twice (RFC 1143).
func (c *client) option(verb, opt byte) {
	ask := verb == do || verb == will
	side := byte(0) // ours: the client says do or don't
	yes, no := byte(will), byte(wont)
	if verb == will || verb == wont {
		side, yes, no = 1, do, dont
	}
	key := [2]byte{side, opt}
	known := opt == optBinary || opt == optSGA || opt == optComPort || opt == optEcho && side == 0
	switch {
	case ask && !known:
		c.write([]byte{iac, no, opt})
	case ask != c.enabled[key]:
		c.enabled[key] = ask
		answer := no
		if ask {
			answer = yes
		}
		c.write([]byte{iac, answer, opt})
		if ask && opt == optComPort {
			c.answer(comModemState, modemState)
		}
	}
}

// sub implements handler.
func (c *client) sub(p []byte) {
	if len(p) < 2 || p[0] != optComPort {
		return
	}
	cmd, arg := p[1], p[2:]
	switch {
	case cmd == comSignature && len(arg) == 0:
		c.answer(comSignature, []byte("ota-sim")...)
	case cmd == comBaud && len(arg) == 4:
		if baud := binary.BigEndian.Uint32(arg); baud > 0 && baud <= 5_000_000 {
			c.baud = baud
			_ = c.port.SetBaud(int(baud))
		}
		c.answer(comBaud, binary.BigEndian.AppendUint32(nil, c.baud)...)
	case len(arg) != 1:
	case cmd == comDataSize:
		c.answer(cmd, orElse(arg[0], 8))
	case cmd == comParity, cmd == comStopSize:
		c.answer(cmd, orElse(arg[0], 1))
	case cmd == comControl:
		c.control(arg[0])
	case cmd == comModemState:
		c.answer(cmd, modemState)
	case cmd == comLineState:
		c.answer(cmd, 0)
	case cmd == comPurge:
		if arg[0] == 1 || arg[0] == 3 {
			_ = c.port.ResetInput()
		}
		c.answer(cmd, arg[0])
	case cmd == comLineMask, cmd == comModemMask:
		c.answer(cmd, arg[0])
	case cmd == comSuspend, cmd == comResume:
	}
}

// orElse is the value asked for, or the one in force where 0 asks for that.
func orElse(v, now byte) byte {
	if v == 0 {
		return now
	}
	return v
}

// control serves SET-CONTROL.
func (c *client) control(v byte) {
	switch v {
	case dtrOn, dtrOff:
		c.dtr = v == dtrOn
		c.setLines()
	case rtsOn, rtsOff:
		c.rts = v == rtsOn
		c.setLines()
	case dtrRequest:
		v = onOff(c.dtr, dtrOn, dtrOff)
	case rtsRequest:
		v = onOff(c.rts, rtsOn, rtsOff)
	case flowRequest, flowNone, 2, 3:
		v = flowNone
	case 4, 5, breakOff:
		v = breakOff
	case 13, flowInNone, 15, 16:
		v = flowInNone
	default:
		return
	}
	c.answer(comControl, v)
}

func onOff(is bool, on, off byte) byte {
	if is {
		return on
	}
	return off
}

func (c *client) setLines() {
	if err := c.port.SetLines(c.dtr, c.rts); err != nil {
		c.fail(err)
	}
}

// answer sends a subnegotiation.
func (c *client) answer(cmd byte, value ...byte) {
	p := []byte{iac, sb, optComPort, cmd + comAnswer}
	p = escape(p, value)
	c.write(append(p, iac, se))
}

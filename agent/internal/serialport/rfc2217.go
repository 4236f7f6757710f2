package serialport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"
)

// RFC 2217, section 3: commands from the client; the server answers each with
// the command plus 100 and the value that holds now.
const (
	cpSetBaud   = 1
	cpSetData   = 2
	cpSetParity = 3
	cpSetStop   = 4
	cpControl   = 5
	cpPurge     = 12
	cpServer    = 100

	data8, parityNone, stop1 = 8, 1, 1

	controlNoFlow = 1
	controlDTROn  = 8
	controlDTROff = 9
	controlRTSOn  = 11
	controlRTSOff = 12

	purgeReceive = 1
)

// How long the server may take.
const (
	dialTimeout    = 5 * time.Second
	settingTimeout = 3 * time.Second
	// controlTimeout is short: some servers never acknowledge DTR and RTS, and
	// the reset sequence waits meanwhile. After one miss they are not waited for.
	controlTimeout = 300 * time.Millisecond
	// netWriteTimeout bounds one write, which is at most a flash block.
	netWriteTimeout = 10 * time.Second
)

// maxUnread bounds what is kept of data that arrives while an answer is
// awaited; the oldest goes first, as in a UART that overruns.
const maxUnread = 64 << 10

// maxReplies bounds the answers kept; no command waits for more than two.
const maxReplies = 32

// rfc2217 is a serial port behind a telnet server. One goroutine uses it, but
// for Close.
type rfc2217 struct {
	conn    net.Conn
	log     *slog.Logger
	timeout time.Duration

	parser  telnet
	unread  []byte
	replies []tnEvent // COM-PORT answers not yet looked at
	agreed  bool      // the server does RFC 2217
	refused bool

	ignoreControl bool
}

// dialRFC2217 connects, negotiates and sets 8N1 without flow control. The
// lines DTR and RTS stay as the server has them.
func dialRFC2217(ctx context.Context, r remote, baud int, log *slog.Logger) (*rfc2217, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3,
	}}
	conn, err := d.DialContext(ctx, "tcp", r.addr)
	if err != nil {
		return nil, fmt.Errorf("%w: rfc2217://%s does not answer (%w): check address and network, and that the serial server runs",
			ErrNoDevice, r.addr, err)
	}
	l := &rfc2217{conn: conn, log: log, ignoreControl: r.ignoreControl}
	// A cancelled ctx ends every wait on the connection.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = l.negotiate()
	if err == nil {
		err = l.setup(baud)
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("rfc2217://%s: %w", r.addr, err)
	}
	return l, nil
}

// negotiate asks for binary both ways and for COM-PORT-OPTION, and waits
// until the server agrees to the latter.
func (l *rfc2217) negotiate() error {
	ask := []byte{
		tnIAC, tnWill, optComPort, tnIAC, tnDo, optComPort,
		tnIAC, tnWill, optBinary, tnIAC, tnDo, optBinary,
		tnIAC, tnWill, optSGA, tnIAC, tnDo, optSGA,
	}
	if err := l.send(ask); err != nil {
		return err
	}
	for deadline := time.Now().Add(settingTimeout); !l.agreed && !l.refused; {
		err := l.pump(deadline)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%w: no telnet negotiation within %v: a raw TCP port? start the server for RFC 2217 (telnet) mode",
				ErrNotTTY, settingTimeout)
		}
		if err != nil {
			return err
		}
	}
	if !l.agreed {
		return fmt.Errorf("%w: the server speaks telnet but refuses RFC 2217 (COM-PORT-OPTION): enable it there", ErrNotTTY)
	}
	return nil
}

func (l *rfc2217) setup(baud int) error {
	if err := l.setBaud(baud); err != nil {
		return err
	}
	for _, s := range [][2]byte{{cpSetData, data8}, {cpSetParity, parityNone}, {cpSetStop, stop1}} {
		got, err := l.set(s[0], s[1])
		if err != nil {
			return err
		}
		if len(got) != 1 || got[0] != s[1] {
			return fmt.Errorf("%w: the server does not set 8N1 (answer % x to command %d)", ErrNotTTY, got, s[0])
		}
	}
	// Hardware flow control would let a floating CTS stop the flash. A server
	// that has no such switch does not answer, which is as good.
	if err := l.send(comPort(cpControl, controlNoFlow)); err != nil {
		return err
	}
	ignore := l.ignoreControl
	err := l.awaitControl(controlNoFlow)
	l.ignoreControl = ignore
	return err
}

// set sends a setting and gives the value that the server answers with.
func (l *rfc2217) set(command byte, value ...byte) ([]byte, error) {
	l.replies = l.replies[:0]
	if err := l.send(comPort(command, value...)); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(settingTimeout)
	for {
		for _, r := range l.replies {
			if r.payload[0] == command+cpServer {
				return r.payload[1:], nil
			}
		}
		if err := l.pump(deadline); err != nil {
			return nil, fmt.Errorf("the serial server did not answer RFC 2217 command %d: %w", command, err)
		}
	}
}

func (l *rfc2217) setBaud(baud int) error {
	got, err := l.set(cpSetBaud, binary.BigEndian.AppendUint32(nil, uint32(baud))...)
	if err != nil {
		return err
	}
	if len(got) != 4 || binary.BigEndian.Uint32(got) != uint32(baud) {
		return fmt.Errorf("%w: the serial server answers % x to %d baud: set a lower rate", ErrBaud, got, baud)
	}
	return nil
}

// setLines changes one line or both. Both go out in one write, DTR first.
func (l *rfc2217) setLines(s lines) error {
	var out, want []byte
	pick := func(v level, on, off byte) {
		if v == keep {
			return
		}
		value := off
		if v == asserted {
			value = on
		}
		want = append(want, value)
		out = append(out, comPort(cpControl, value)...)
	}
	pick(s.dtr, controlDTROn, controlDTROff)
	pick(s.rts, controlRTSOn, controlRTSOff)
	l.replies = l.replies[:0]
	if err := l.send(out); err != nil {
		return err
	}
	return l.awaitControl(want...)
}

// awaitControl waits until the server has confirmed each value, or gives up
// on such answers for good.
func (l *rfc2217) awaitControl(want ...byte) error {
	deadline := time.Now().Add(controlTimeout)
	for !l.ignoreControl && !l.confirmed(want) {
		err := l.pump(deadline)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.log.Debug("the serial server does not acknowledge SET-CONTROL, not waiting for it any more")
			l.ignoreControl = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *rfc2217) confirmed(want []byte) bool {
	for _, w := range want {
		found := false
		for _, r := range l.replies {
			found = found || (r.payload[0] == cpControl+cpServer && len(r.payload) == 2 && r.payload[1] == w)
		}
		if !found {
			return false
		}
	}
	return true
}

// resetInput drops what has arrived, here and in the server's buffer.
func (l *rfc2217) resetInput() error {
	_, err := l.set(cpPurge, purgeReceive)
	l.unread = l.unread[:0]
	return err
}

func (l *rfc2217) setReadTimeout(d time.Duration) error {
	l.timeout = d
	return nil
}

// Read gives data, or os.ErrDeadlineExceeded after the read timeout.
func (l *rfc2217) Read(p []byte) (int, error) {
	deadline := time.Now().Add(l.timeout)
	for len(l.unread) == 0 {
		if err := l.pump(deadline); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.unread)
	l.unread = append(l.unread[:0], l.unread[n:]...)
	return n, nil
}

func (l *rfc2217) Write(p []byte) (int, error) {
	if err := l.send(escapeTelnet(make([]byte, 0, len(p)+len(p)/64+8), p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (l *rfc2217) send(b []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(netWriteTimeout)); err != nil {
		return err
	}
	_, err := l.conn.Write(b)
	return err
}

// pump reads once from the connection and sorts what came.
func (l *rfc2217) pump(deadline time.Time) error {
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	var buf [4096]byte
	n, err := l.conn.Read(buf[:])
	if n > 0 {
		var events []tnEvent
		l.unread, events = l.parser.feed(buf[:n], l.unread)
		if over := len(l.unread) - maxUnread; over > 0 {
			l.unread = append(l.unread[:0], l.unread[over:]...)
		}
		if err := l.handle(events); err != nil {
			return err
		}
	}
	return err
}

// handle answers negotiations and keeps COM-PORT answers. What we asked for
// ourselves needs no second word, all else is refused (RFC 1143).
func (l *rfc2217) handle(events []tnEvent) error {
	var answer []byte
	for _, e := range events {
		ours := e.option == optComPort || e.option == optBinary || e.option == optSGA
		switch e.verb {
		case tnSB:
			l.keepReply(e)
		case tnDo, tnWill:
			l.agreed = l.agreed || (e.option == optComPort && e.verb == tnDo)
			if !ours && e.verb == tnDo {
				answer = append(answer, tnIAC, tnWont, e.option)
			} else if !ours {
				answer = append(answer, tnIAC, tnDont, e.option)
			}
		case tnDont:
			l.refused = l.refused || e.option == optComPort
			fallthrough
		case tnWont:
			if e.option == optBinary {
				l.log.Warn("the serial server refuses binary mode; data that holds CR may be altered")
			}
		}
	}
	if len(answer) == 0 {
		return nil
	}
	return l.send(answer)
}

// keepReply keeps an answer to one of our commands. Notifications of line and
// modem state (106, 107) would only crowd them out.
func (l *rfc2217) keepReply(e tnEvent) {
	if e.option != optComPort || len(e.payload) == 0 || len(l.replies) == maxReplies {
		return
	}
	switch e.payload[0] - cpServer {
	case cpSetBaud, cpSetData, cpSetParity, cpSetStop, cpControl, cpPurge:
		l.replies = append(l.replies, e)
	}
}

// probe asks nothing: a lost connection shows at the next read or write.
func (l *rfc2217) probe() error { return nil }

func (l *rfc2217) Close() error { return l.conn.Close() }

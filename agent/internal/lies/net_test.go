package lies

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// network is all that lies between the robot and the update server, in the hands
// of an attacker who has no certificate.
type network struct {
	l     net.Listener
	to    string
	wg    sync.WaitGroup
	ended chan struct{}

	mu       sync.Mutex
	carry    func(robot, server net.Conn) // one connection; nil: honestly
	instead  func(robot net.Conn)         // no server at all; nil: there is one
	conns    map[net.Conn]struct{}
	up, down bytes.Buffer // what was carried
	lines    atomic.Int32 // connections so far
}

func newNetwork(t *testing.T, to string) *network {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{l: l, to: to, conns: map[net.Conn]struct{}{}, ended: make(chan struct{})}
	n.wg.Go(n.accept)
	t.Cleanup(func() { close(n.ended); l.Close(); n.cut(); n.wg.Wait() })
	return n
}

func (n *network) address() string { return "https://" + n.l.Addr().String() }

func (n *network) accept() {
	for {
		c, err := n.l.Accept()
		if err != nil {
			return
		}
		n.lines.Add(1)
		n.keep(c)
		n.wg.Go(func() { n.take(c) })
	}
}

func (n *network) keep(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = struct{}{}
	select {
	case <-n.ended:
		_ = c.Close()
	default:
	}
}

func (n *network) take(robot net.Conn) {
	defer robot.Close()
	n.mu.Lock()
	carry, instead := n.carry, n.instead
	n.mu.Unlock()
	if instead != nil {
		instead(robot)
		return
	}
	server, err := net.Dial("tcp", n.to)
	if err != nil {
		return
	}
	defer server.Close()
	n.keep(server)
	if carry == nil {
		carry = n.honestly
	}
	carry(robot, server)
}

// set changes what the network does with the next connections.
func (n *network) set(instead func(robot net.Conn), carry func(robot, server net.Conn)) {
	n.mu.Lock()
	n.instead, n.carry = instead, carry
	n.mu.Unlock()
	n.cut()
}

// cut ends the connections that there are.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close()
	}
	clear(n.conns)
}

// both copies both ways until one of them ends.
func both(robot, server net.Conn, up, down func(io.Writer, io.Reader) error) {
	var wg sync.WaitGroup
	wg.Go(func() { _ = up(server, robot); _ = server.Close(); _ = robot.Close() })
	_ = down(robot, server)
	_ = server.Close()
	_ = robot.Close()
	wg.Wait()
}

func copyAll(to io.Writer, from io.Reader) error {
	_, err := io.Copy(to, from)
	return err
}

// honestly carries all, and keeps a copy.
func (n *network) honestly(robot, server net.Conn) {
	tee := func(into *bytes.Buffer) func(io.Writer, io.Reader) error {
		return func(to io.Writer, from io.Reader) error {
			return copyAll(to, io.TeeReader(from, writer(func(p []byte) {
				n.mu.Lock()
				defer n.mu.Unlock()
				into.Write(p)
			})))
		}
	}
	both(robot, server, tee(&n.up), tee(&n.down))
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// changed has what comes from the server pass through f, from a byte on.
func changed(after int64, f func([]byte) []byte) func(robot, server net.Conn) {
	return func(robot, server net.Conn) {
		both(robot, server, copyAll, func(to io.Writer, from io.Reader) error {
			if _, err := io.CopyN(to, from, after); err != nil {
				return err
			}
			buf := make([]byte, 4096)
			for {
				k, err := from.Read(buf)
				if _, werr := to.Write(f(buf[:k])); werr != nil || err != nil {
					return err
				}
			}
		})
	}
}

// cutAfter ends connections after so many bytes of the server.
func cutAfter(limit int64) func(robot, server net.Conn) {
	return func(robot, server net.Conn) {
		both(robot, server, copyAll, func(to io.Writer, from io.Reader) error {
			_, err := io.CopyN(to, from, limit)
			return err
		})
	}
}

// throttle carries the server's bytes few at a time, after the first ones.
func throttle(after int64) func(robot, server net.Conn) {
	return func(robot, server net.Conn) {
		both(robot, server, copyAll, func(to io.Writer, from io.Reader) error {
			if _, err := io.CopyN(to, from, after); err != nil {
				return err
			}
			for {
				if _, err := io.CopyN(to, from, 20); err != nil {
					return err
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

// pretend sends all robots to somebody else.
func pretend(address string) func(robot net.Conn) {
	return func(robot net.Conn) {
		other, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		both(robot, other, copyAll, copyAll)
	}
}

// carried is a copy of what passed, both ways.
func (n *network) carried() (up, down []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return bytes.Clone(n.up.Bytes()), bytes.Clone(n.down.Bytes())
}

// babble says the same for ever, whatever the robot says.
func babble(what []byte) func(robot net.Conn) {
	return func(robot net.Conn) {
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(io.Discard, robot) })
		for {
			if _, err := robot.Write(what); err != nil {
				break
			}
		}
		_ = robot.Close()
		wg.Wait()
	}
}

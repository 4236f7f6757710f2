package mqttlink

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/sim/broker/brokertest"
)

// site is a real broker and what it takes to get in.
type site struct{ *brokertest.Site }

const (
	operator = brokertest.Operator
	password = brokertest.Password
)

// brokers runs f against the embedded broker and, where it is installed,
// against Mosquitto.
func brokers(t *testing.T, f func(t *testing.T, s *site)) {
	brokertest.Each(t, func(t *testing.T, s *brokertest.Site) { f(t, &site{s}) })
}

// config of a robot that comes with its password.
func (s *site) config(t *testing.T, robot string) Config {
	return Config{
		URL: "mqtts://" + s.ByPassword, RobotID: robot, SKU: "standard", StateDir: t.TempDir(),
		CAFile: s.File("ca.pem"), PasswordFile: s.File("password"), KeepAlive: 2 * time.Second, Version: "test",
	}
}

// cable is the network between a robot and the broker.
type cable struct {
	to   string
	addr string
	plug chan state // the state to go to
	done chan struct{}
}

type state int

const (
	whole state = iota
	cut         // connections end, none is taken
	dark        // nothing gets through, and nobody is told
)

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{to: to, addr: l.Addr().String(), plug: make(chan state), done: make(chan struct{})}
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	go c.run(ctx, accepted)
	t.Cleanup(func() { l.Close(); cancel(); <-c.done })
	return c
}

func (c *cable) run(ctx context.Context, accepted <-chan net.Conn) {
	defer close(c.done)
	var pairs []*pair
	now := whole
	set := func(s state) {
		now = s
		for _, p := range pairs {
			p.dark.Store(s == dark)
		}
		if s == cut {
			for _, p := range pairs {
				p.end()
			}
			pairs = nil
		}
	}
	for {
		select {
		case <-ctx.Done():
			set(cut)
			if accepted != nil {
				for conn := range accepted {
					conn.Close()
				}
			}
			return
		case s := <-c.plug:
			if now == dark && s == whole { // what was lost is lost: TCP gives up on it
				set(cut)
			}
			set(s)
		case conn, ok := <-accepted:
			if !ok {
				accepted = nil
				continue
			}
			if now == cut {
				conn.Close()
				continue
			}
			if p := join(conn, c.to); p != nil {
				p.dark.Store(now == dark)
				pairs = append(pairs, p)
			}
		}
	}
}

// pair is one connection through the cable.
type pair struct {
	a, b net.Conn
	dark atomic.Bool
}

func join(a net.Conn, to string) *pair {
	b, err := net.Dial("tcp", to)
	if err != nil {
		a.Close()
		return nil
	}
	p := &pair{a: a, b: b}
	go p.pump(a, b)
	go p.pump(b, a)
	return p
}

func (p *pair) end() { p.a.Close(); p.b.Close() }

func (p *pair) pump(from, to net.Conn) {
	defer p.end()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if p.dark.Load() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

package cuttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// open lets everybody in: who may is not the matter here.
type open struct{ broker.HookBase }

func (*open) ID() string { return "open" }

func (*open) Provides(b byte) bool {
	return b == broker.OnConnectAuthenticate || b == broker.OnACLCheck
}

func (*open) OnConnectAuthenticate(*broker.Client, packets.Packet) bool { return true }

func (*open) OnACLCheck(*broker.Client, string, bool) bool { return true }

func newBroker() (*broker.Server, error) {
	b := broker.New(&broker.Options{InlineClient: true, Logger: quiet, SysTopicResendInterval: 24 * 3600})
	return b, b.AddHook(new(open), nil)
}

// command is the operator's, by MQTT.
func (w *world) command() error {
	r := w.fresh
	return w.broker.Publish("fleet/r1/commands/ota", fmt.Appendf(nil, `{"id":"order","url":%q,"sha256":%q,"version":%q}`, r.url(), r.sum, r.version), false, 1)
}

// dial is the robot's way to the broker: two pipes, and between them somebody
// who counts packets.
func (l *life) dial(context.Context) (net.Conn, error) {
	w := l.world
	if l.dead() {
		return nil, errDead
	}
	near, a := net.Pipe()
	b, far := net.Pipe()
	end := func() { _ = a.Close(); _ = b.Close() }
	w.wg.Go(func() { // it ends as connections do
		_ = w.broker.EstablishConnection("pipe", far)
		_ = far.Close()
		end()
	})
	w.wg.Go(func() { w.pump(l, mqttUp, a, b); end() })
	w.wg.Go(func() { w.pump(l, mqttDown, b, a); end() })
	w.wg.Go(func() {
		select {
		case <-l.ended:
		case <-w.over:
		}
		end()
	})
	return near, nil
}

// arrival is how long after a packet's event it has arrived, and who is to die
// after that dies.
const arrival = 10 * time.Millisecond

// pump brings packets from one pipe to the other, each of them an event.
func (w *world) pump(l *life, kind string, from io.Reader, to io.Writer) {
	r := bufio.NewReader(from)
	for {
		p, err := packet(r)
		if err != nil || l.dead() {
			return
		}
		hit := w.event(kind)
		times := 1
		switch {
		case hit == gone, hit == before, l.dead():
			return
		case hit == drop:
			times = 0
		case hit == double && p[0]>>4 == 3: // PUBLISH; to say anything else twice is against the protocol
			times = 2
		}
		for range times {
			if _, err := to.Write(p); err != nil {
				return
			}
		}
		if hit == after {
			time.Sleep(arrival)
			w.perish(w.killer())
			return
		}
	}
}

// packet reads one MQTT packet: a type, a length in groups of seven bits, and
// as many bytes (MQTT 3.1.1, section 2.2).
func packet(r *bufio.Reader) ([]byte, error) {
	kind, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	p := []byte{kind}
	n := 0
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil || shift > 21 {
			return nil, errors.Join(err, io.ErrUnexpectedEOF)
		}
		p = append(p, b)
		n |= int(b&0x7F) << shift
		if b < 0x80 {
			break
		}
	}
	head := len(p)
	p = append(p, make([]byte, n)...)
	_, err = io.ReadFull(r, p[head:])
	return p, err
}

// Package mqttframe stands between a broker, which is trusted with nothing, and
// the Eclipse Paho client, which allocates what a packet's length says.
package mqttframe

import (
	"errors"
	"fmt"
	"io"
	"net"
)

// Max is what a broker may send as one packet, in bytes after the fixed header.
// Of a longer PUBLISH the rest is left out. As a topic takes 64 KiB at most, more
// is left than any message has that means something: who gets it sees that, and
// acknowledges it, where breaking the connection would have it come again for
// ever.
const Max = 128 << 10

// Types of packets (MQTT 3.1.1, section 2.2.1).
const (
	packetPublish = 3
	packetSuback  = 9
)

// reservedQoS are both bits of a message's quality of service, which must not be
// set (section 3.3.1.2). Paho takes it for a message all the same.
const reservedQoS = 0x06

// subackBytes answer a subscription to one topic, and there are no others. To
// more answers than questions paho panics.
const subackBytes = 3

// ErrFrame breaks the connection to a broker that does not keep to MQTT.
var ErrFrame = errors.New("the broker sent a packet that is too long or none of MQTT")

// Bound is the connection with what comes from it bounded. It is for a client
// that subscribes to one topic at a time.
func Bound(c net.Conn) net.Conn { return &frames{Conn: c} }

// frames keeps a broker from what paho would not withstand: it allocates what a
// packet's length says, up to 256 MiB, before a byte of it has come.
type frames struct {
	net.Conn
	raw  []byte // read, not yet looked at
	buf  [4096]byte
	head []byte // of the packet, to be handed on
	body int    // bytes of the packet to be handed on
	skip int    // and those after them to be left out
}

// Read hands on whole packets' bytes, shortened where too long.
func (f *frames) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if n := copy(p, f.head); n > 0 {
			f.head = f.head[n:]
			return n, nil
		}
		if f.body > 0 {
			return f.pass(p)
		}
		if err := f.next(); err != nil {
			return 0, err
		}
	}
}

// pass hands on a part of the packet's body.
func (f *frames) pass(p []byte) (int, error) {
	if len(f.raw) == 0 {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p[:min(len(p), f.body)], f.raw)
	f.raw, f.body = f.raw[n:], f.body-n
	return n, nil
}

// next leaves out what is left of the packet before and reads a fixed header
// (MQTT 3.1.1, section 2.2).
func (f *frames) next() error {
	for f.skip > 0 {
		if len(f.raw) == 0 {
			if err := f.fill(); err != nil {
				return err
			}
		}
		n := min(f.skip, len(f.raw))
		f.raw, f.skip = f.raw[n:], f.skip-n
	}
	first, err := f.octet()
	if err != nil {
		return err
	}
	length := 0
	for shift := 0; ; shift += 7 {
		b, err := f.octet()
		if err != nil {
			return err
		}
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
		if shift == 21 {
			return fmt.Errorf("%w: a length of more than four bytes", ErrFrame)
		}
	}
	if first>>4 == packetPublish && first&reservedQoS == reservedQoS {
		return fmt.Errorf("%w: a message of quality of service 3", ErrFrame)
	}
	if first>>4 == packetSuback && length != subackBytes {
		return fmt.Errorf("%w: a SUBACK of %d bytes", ErrFrame, length)
	}
	if length > Max {
		if first>>4 != packetPublish {
			return fmt.Errorf("%w: type %d with %d bytes", ErrFrame, first>>4, length)
		}
		f.skip, length = length-Max, Max
	}
	f.head, f.body = append(f.head[:0:0], first), length
	for {
		b := byte(length & 0x7f)
		if length >>= 7; length == 0 {
			f.head = append(f.head, b)
			return nil
		}
		f.head = append(f.head, b|0x80)
	}
}

func (f *frames) octet() (byte, error) {
	if len(f.raw) == 0 {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	b := f.raw[0]
	f.raw = f.raw[1:]
	return b, nil
}

// maxEmpty reads of nothing in a row end a connection: a reader may give nothing
// and no error, and is to be asked again.
const maxEmpty = 100

func (f *frames) fill() error {
	for range maxEmpty {
		n, err := f.Conn.Read(f.buf[:])
		f.raw = f.buf[:n]
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

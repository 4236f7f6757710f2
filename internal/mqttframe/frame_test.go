package mqttframe

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// wire is a connection that only reads.
type wire struct {
	net.Conn
	io.Reader
}

func (w wire) Read(p []byte) (int, error) { return w.Reader.Read(p) }

func publish(t *testing.T, size int) []byte {
	t.Helper()
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Qos, p.MessageID, p.Payload = "fleet/r1/commands/ota", 1, 7, bytes.Repeat([]byte("x"), size)
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFrames(t *testing.T) {
	var stream []byte
	for _, size := range []int{0, 1, 100, 200, 20_000, Max, 3 << 20, 5} {
		stream = append(stream, publish(t, size)...)
	}
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(stream), "byte by byte": iotest.OneByteReader(bytes.NewReader(stream))} {
		t.Run(name, func(t *testing.T) {
			f := &frames{Conn: wire{Reader: r}}
			overhead := len(publish(t, 0)) - 2
			for _, want := range []int{0, 1, 100, 200, 20_000, Max - overhead, Max - overhead, 5} {
				got, err := packets.ReadPacket(f)
				if err != nil {
					t.Fatal(err)
				}
				p := got.(*packets.PublishPacket)
				if len(p.Payload) != want || p.MessageID != 7 || p.TopicName != "fleet/r1/commands/ota" {
					t.Fatalf("%d bytes, want %d; %s", len(p.Payload), want, p)
				}
			}
			if _, err := packets.ReadPacket(f); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func TestFramesRefuse(t *testing.T) {
	for name, raw := range map[string][]byte{
		"length of five bytes":   {0x30, 0xff, 0xff, 0xff, 0xff, 0x01},
		"long PUBACK":            {0x40, 0xff, 0xff, 0x7f},
		"two answers in SUBACK":  {0x90, 4, 0, 1, 1, 1},
		"SUBACK without answers": {0x90, 2, 0, 1},
		"a quality of none":      {0x36, 5, 0, 1, 'x', 0, 7},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := packets.ReadPacket(&frames{Conn: wire{Reader: bytes.NewReader(raw)}}); !errors.Is(err, ErrFrame) {
				t.Errorf("%v", err)
			}
		})
	}
}

// sparse gives nothing and no error before each byte.
type sparse struct {
	r     io.Reader
	empty int // times before each
	given int
}

func (s *sparse) Read(p []byte) (int, error) {
	if s.given++; s.given%(s.empty+1) != 0 {
		return 0, nil
	}
	return s.r.Read(p[:1])
}

// TestNothingRead: a read of nothing is no packet, and no end.
func TestNothingRead(t *testing.T) {
	for empty, want := range map[int]error{1: nil, maxEmpty - 1: nil, maxEmpty: io.ErrNoProgress} {
		f := &frames{Conn: wire{Reader: &sparse{r: bytes.NewReader(publish(t, 10)), empty: empty}}}
		if _, err := packets.ReadPacket(f); !errors.Is(err, want) {
			t.Errorf("%d times nothing: %v, want %v", empty, err, want)
		}
	}
}

// FuzzFrames: what comes out never holds a long packet, whatever comes in.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x30, 2, 'a', 'b', 0xd0, 0})
	f.Add([]byte{0x30, 0xff, 0xff, 0x7f, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		fr := &frames{Conn: wire{Reader: iotest.HalfReader(bytes.NewReader(data))}}
		for {
			p, err := packets.ReadPacket(fr)
			if err != nil {
				return
			}
			if pub, ok := p.(*packets.PublishPacket); ok && len(pub.Payload) > Max {
				t.Fatal(len(pub.Payload))
			}
		}
	})
}

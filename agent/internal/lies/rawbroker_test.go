package lies

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// packet is a packet of MQTT 3.1.1: first byte, length, and what follows.
func packet(first byte, body ...byte) []byte {
	b := []byte{first}
	n := len(body)
	for {
		d := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			return append(append(b, d), body...)
		}
		b = append(b, d|0x80)
	}
}

// message is a PUBLISH with a quality of service, and an id where it has one.
func message(flags byte, topic, payload string) []byte {
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(topic))), topic...)
	if flags&6 != 0 {
		body = append(body, 0, 7)
	}
	return packet(0x30|flags, append(body, payload...)...)
}

var (
	connack  = packet(0x20, 0, 0)
	commands = "fleet/" + robotID + "/commands/"
)

// script is a broker that takes a robot in, answers what it should, and says
// something besides.
func script(more ...[]byte) func(net.Conn) {
	all := bytes.Join(more, nil)
	return func(c net.Conn) { serveMQTT(c, func(w io.Writer) { _, _ = w.Write(all) }) }
}

// serveMQTT is a broker that is well, but for what extra says after the
// subscription.
func serveMQTT(c net.Conn, extra func(io.Writer)) {
	turn := make(chan struct{}, 1) // one writes at a time; who waits for a mutex would hold fake time up
	say := func(b []byte) error {
		turn <- struct{}{}
		defer func() { <-turn }()
		_, err := c.Write(b)
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer c.Close()
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		var answer []byte
		switch p := p.(type) {
		case *packets.ConnectPacket:
			answer = connack
		case *packets.SubscribePacket:
			answer = packet(0x90, byte(p.MessageID>>8), byte(p.MessageID), 1)
			if extra != nil {
				wg.Go(func() { extra(writerFunc(say)) })
			}
		case *packets.PublishPacket:
			answer = packet(0x40, byte(p.MessageID>>8), byte(p.MessageID))
		case *packets.PingreqPacket:
			answer = packet(0xd0)
		case *packets.DisconnectPacket:
			return
		}
		if say(answer) != nil {
			return
		}
	}
}

type writerFunc func([]byte) error

func (f writerFunc) Write(b []byte) (int, error) { return len(b), f(b) }

// says is a broker that says something and then listens.
func says(b ...[]byte) func(net.Conn) {
	return func(c net.Conn) {
		go func() { _, _ = c.Write(bytes.Join(b, nil)) }()
		_, _ = io.Copy(io.Discard, c)
	}
}

// orders is an engine that only writes down.
type orders struct {
	mu    sync.Mutex
	asked []string
	news  chan struct{}
}

func (o *orders) ask(s string) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, s)
	return "job", nil
}

func (o *orders) Trigger(_ context.Context, r update.Request) (string, error) {
	return o.ask(r.Command)
}
func (o *orders) Rollback(_ context.Context, why string, _ update.Origin) (string, error) {
	return o.ask(why)
}
func (o *orders) Cancel(context.Context) error    { return errors.New("nothing") }
func (o *orders) News() (<-chan struct{}, func()) { return o.news, func() {} }
func (o *orders) Status() update.Status {
	return update.Status{State: update.Idle, Running: update.Installed{Version: compat.Version{Minor: 2}}}
}

// TestHostileBrokers: an hour with each of them, in fake time. The link lives on,
// asks again no more often than it should, follows nothing of it, and does what the
// next good broker says.
func TestHostileBrokers(t *testing.T) {
	text := `{"id":"x","url":"https://u/i","sha256":"` + digestA + `","version":"0.2.1"}`
	brokers := map[string]func(net.Conn){
		"it hangs up":                         func(c net.Conn) { _ = c.Close() },
		"it says nothing":                     func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"it reads nothing":                    func(c net.Conn) { time.Sleep(10 * time.Minute) },
		"it refuses":                          says(packet(0x20, 0, 5)),
		"it refuses by a code of nobody's":    says(packet(0x20, 0, 0xEE)),
		"an answer of three bytes":            says(packet(0x20, 0, 0, 0)),
		"an answer of no bytes":               says(packet(0x20)),
		"two answers":                         says(connack, connack),
		"a command before the answer":         says(message(2, commands+"ota", text), connack),
		"no answer to the subscription":       says(connack),
		"the subscription is refused":         subscribed(0x80),
		"it is granted a quality of nobody's": subscribed(0x7F),
		"another one's subscription":          func(c net.Conn) { script(packet(0x90, 0xFF, 0xFF, 1))(c) },
		"an answer to many":                   script(packet(0x90, 0, 1, 1, 1, 1, 1)),
		"acknowledgements of nothing":         script(bytes.Repeat(packet(0x40, 0x12, 0x34), 1000)),
		"receipts of nothing":                 script(bytes.Repeat(packet(0x50, 0x12, 0x34), 1000), bytes.Repeat(packet(0x62, 0x12, 0x34), 1000), bytes.Repeat(packet(0x70, 0x12, 0x34), 1000)),
		"answers to pings of nobody":          script(bytes.Repeat(packet(0xd0), 5000)),
		"a client's packets":                  script(packet(0x10, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'x'), packet(0x82, 0, 1, 0, 1, 'x', 0), packet(0xa2, 0, 1, 0, 1, 'x'), packet(0xc0), packet(0xe0)),
		"a packet of no type":                 script(packet(0x00, 1, 2, 3)),
		"a packet of a later type":            script(packet(0xf0, 1, 2, 3)),
		"a length of five bytes":              script([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x01}),
		"256 MiB announced":                   script([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}),
		"256 MiB of an acknowledgement":       script([]byte{0x40, 0xff, 0xff, 0xff, 0x7f}),
		"half a packet":                       script([]byte{0x32, 100, 0, 5, 'f'}),
		"a topic longer than its packet":      script(packet(0x30, 0xff, 0xff, 'x')),
		"a topic of 65,535 bytes":             script(message(0, strings.Repeat("x", 65_535), "y")),
		"a topic without a byte":              script(message(2, "", text)),
		"a topic with wildcards":              script(message(2, "fleet/+/commands/#", text)),
		"a topic that is no text":             script(message(2, commands+"ota\xff\x00", text)),
		"another robot's topics":              script(message(2, "fleet/another/commands/ota", text), message(2, commands+"ota/x", text), message(2, commands, text), message(2, "/"+commands+"ota", text), message(2, strings.ToUpper(commands)+"ota", text)),
		"a message without an id":             script(packet(0x32, 0, 1, 'x')),
		"a message of quality 3":              script(message(6, commands+"ota", text)),
		"left behind, a thousand times":       script(bytes.Repeat(message(3, commands+"ota", text), 1000)),
		"a message of 3 MiB":                  script(message(2, commands+"ota", `{"id":"`+strings.Repeat("x", 3<<20)+`"}`)),
		"deep JSON":                           script(message(2, commands+"ota", strings.Repeat(`{"id":`, 600)), message(2, commands+"ota", strings.Repeat("[", 4000)+strings.Repeat("]", 4000))),
		"numbers that are none":               script(message(2, commands+"ota", `{"id":NaN}`), message(2, commands+"ota", `{"id":"n","issued":1e999}`), message(2, commands+"cancel", `{"id":"n","issued":-Infinity}`), message(2, commands+"cancel", `{"id":"n","issued":1e308}`)),
		"text that is none":                   script(message(2, commands+"ota", "\xff\xfe\x00"), message(2, commands+"cancel", `{"id":"\ud800"}`), message(2, commands+"cancel", "{\"id\":\"\x1b[31m\"}"), message(2, commands+"cancel", `{"id":"`+"\u202e"+`"}`)),
		"2,000 commands that mean nothing":    script(bytes.Repeat(message(2, commands+"ota", `{}`), 2000)),
		"MQTT without an end":                 func(c net.Conn) { serveMQTT(c, func(w io.Writer) { endlessly(w, packet(0xd0)) }) },
		"bytes of chance":                     func(c net.Conn) { serveMQTT(c, func(w io.Writer) { chance(w) }) },
	}
	told := 0
	for name, serve := range brokers {
		told++
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { anHourWith(t, serve) })
		})
	}
	report(t, figures{Part: "lies: hostile brokers", Points: told, Failures: failures(t)})
}

// subscribed is a broker that answers a subscription so.
func subscribed(code byte) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			answer := connack
			if s, ok := p.(*packets.SubscribePacket); ok {
				answer = packet(0x90, byte(s.MessageID>>8), byte(s.MessageID), code)
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

// endlessly says the same, with a breath after every 100 KB for the clock to move.
func endlessly(w io.Writer, what []byte) {
	for {
		if _, err := w.Write(bytes.Repeat(what, 100_000/len(what))); err != nil {
			return
		}
		time.Sleep(time.Minute)
	}
}

// chance says what comes out of a seeded generator.
func chance(w io.Writer) {
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().Unix()))) //nolint:gosec // the same ones again
	for range 200 {
		b := make([]byte, 1+rng.IntN(200))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		if rng.IntN(2) == 0 { // in the form of a packet
			b = packet(b[0], b[1:]...)
		}
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// most is how often a link may dial in an hour: at first after a second, two,
// four, and then every minute or two.
const most = 75

func anHourWith(t *testing.T, serve func(net.Conn)) {
	var mu sync.Mutex
	hostile, dials := true, 0
	var open []net.Conn
	var lines sync.WaitGroup
	dial := func(context.Context) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		dials++
		near, far := net.Pipe()
		open = append(open, far)
		f := serve
		if !hostile {
			f = func(c net.Conn) {
				serveMQTT(c, func(w io.Writer) {
					_, _ = w.Write(message(2, commands+"rollback", `{"id":"good","reason":"a good reason"}`))
				})
			}
		}
		lines.Go(func() { f(far); _ = far.Close() })
		return near, nil
	}
	link, err := mqttlink.New(mqttlink.Config{URL: "mqtts://broker", RobotID: robotID, SKU: "standard", StateDir: t.TempDir(), KeepAlive: 30 * time.Second, Dial: dial}, update.New(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	o := &orders{news: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- link.Run(ctx, o) }()
	time.Sleep(time.Hour)
	mu.Lock()
	n := dials
	hostile = false
	for _, c := range open { // some would only hold the line
		_ = c.Close()
	}
	mu.Unlock()
	if n > most {
		t.Errorf("%d connections in an hour", n)
	}
	o.mu.Lock()
	if len(o.asked) != 0 {
		t.Errorf("followed: %v", o.asked)
	}
	o.mu.Unlock()
	time.Sleep(10 * time.Minute)
	o.mu.Lock()
	if len(o.asked) == 0 || o.asked[0] != "a good reason" {
		t.Errorf("a good broker is not followed: %v", o.asked)
	}
	o.mu.Unlock()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	lines.Wait()
}

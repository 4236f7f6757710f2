package lies

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
)

// broker is a real one, and whoever sits at it.
type broker struct {
	server *mochi.Server
	l      net.Listener
	lines  sync.WaitGroup
	open   sync.Map // net.Conn of each line

	mu     sync.Mutex
	heard  []packets.Packet // of the robot
	events []mqttlink.Event
	sent   int // commands
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{server: mochi.New(&mochi.Options{InlineClient: true, Logger: quiet})}
	if err := b.server.AddHook(new(anybody), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.server.Subscribe("#", 1, b.hear); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	b.lines.Go(b.accept)
	return b
}

// anybody is let in: the broker is the attacker here.
type anybody struct{ mochi.HookBase }

func (*anybody) ID() string { return "anybody" }
func (*anybody) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}
func (*anybody) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (*anybody) OnACLCheck(*mochi.Client, string, bool) bool              { return true }

func (b *broker) hear(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.Contains(p.TopicName, "/commands/") {
		return
	}
	b.heard = append(b.heard, p)
	if p.TopicName == "fleet/"+robotID+"/ota/event" {
		var e mqttlink.Event
		if err := json.Unmarshal(p.Payload, &e); err != nil {
			e.Text = err.Error()
		}
		b.events = append(b.events, e)
	}
}

// dial is the robot's way to it, past the TLS that is tried elsewhere.
func (b *broker) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", b.l.Addr().String())
}

func (b *broker) accept() {
	for {
		c, err := b.l.Accept()
		if err != nil {
			return
		}
		b.open.Store(c, nil)
		b.lines.Go(func() {
			_ = b.server.EstablishConnection("tcp", c) // it ends as connections do
			_ = c.Close()
			b.open.Delete(c)
		})
	}
}

// cut ends the connections that there are.
func (b *broker) cut() {
	b.open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
}

func (b *broker) close() {
	_ = b.l.Close()
	b.cut()
	b.lines.Wait()
	_ = b.server.Close()
}

// wait for the robot to listen.
func (b *broker) wait(t *testing.T) {
	t.Helper()
	for range 6000 {
		if len(b.server.Topics.Subscribers("fleet/"+robotID+"/commands/ota").Subscriptions) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the robot does not listen to its broker")
}

// told are the events since there were n.
func (b *broker) told(n int) []mqttlink.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]mqttlink.Event(nil), b.events[n:]...)
}

func (b *broker) publish(t *testing.T, topic string, retain bool, payload []byte) {
	t.Helper()
	if err := b.server.Publish(topic, payload, retain, 1); err != nil {
		t.Error(err)
	}
}

// command has the broker say something to the robot, and gives the answer: that
// to the command, and where it is followed, that of the job.
func (r *subject) command(verb, format string, args ...any) string {
	r.t.Helper()
	return r.say("fleet/"+robotID+"/commands/"+verb, false, fmt.Appendf(nil, format, args...))
}

func (r *subject) say(topic string, retain bool, payload []byte) (said string) {
	r.t.Helper()
	before := len(r.broker.told(0))
	r.broker.publish(r.t, topic, retain, payload)
	job := ""
	var id struct{ ID string }
	_ = json.Unmarshal(payload, &id) // lies may be anything
	r.eventually("an answer to a command", func() bool {
		for _, e := range r.broker.told(before) {
			if e.Command != "" && e.Command != id.ID {
				continue // to another one
			}
			switch e.Verdict {
			case mqttlink.VerdictRefused, mqttlink.VerdictIgnored:
				said = e.Code + ": " + e.Text
				return true
			case mqttlink.VerdictFollowed:
				job = e.JobID
				return true
			}
		}
		return false
	})
	if job != "" {
		return r.answer(job)
	}
	return said
}

// order is a command to install what lies at a URL.
func (r *subject) order(url, sha, version string) string {
	r.t.Helper()
	r.broker.sent++
	return r.command("ota", `{"id":"order-%d","url":%q,"sha256":%q,"version":%q}`, r.broker.sent, url, sha, version)
}

// orderFile has a file that a server holds installed.
func (r *subject) orderFile(s *server, version string, file []byte) string {
	r.t.Helper()
	sum := sumOf(file)
	s.set(func() { s.files[sum] = file })
	return r.order(s.URL+"/v1/artifacts/"+sum, sum, version)
}

// retained is a message that was left on the broker.
func retained(topic, payload string) packets.Packet {
	return packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Retain: true, Qos: 1}, TopicName: topic, Payload: []byte(payload), Created: time.Now().Unix()}
}

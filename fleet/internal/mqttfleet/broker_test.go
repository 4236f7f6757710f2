package mqttfleet

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/sim/broker/brokertest"
)

func config(t *testing.T, s *brokertest.Site) Config {
	t.Helper()
	return Config{URL: "mqtts://" + s.ByPassword, ClientID: "fleet-" + strings.ReplaceAll(t.Name(), "/", "-"), CAFile: s.File("ca.pem"),
		Username: brokertest.Operator, PasswordFile: s.File("password"), KeepAlive: 2 * time.Second, Now: time.Now}
}

// robot is the client of r1, which hears its commands.
type robot struct {
	mqtt.Client
	mu    sync.Mutex
	heard []string
}

func dialRobot(t *testing.T, s *brokertest.Site, id string) *robot {
	t.Helper()
	pem, err := os.ReadFile(s.File("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	r := &robot{}
	listens := make(chan struct{}, 1)
	r.Client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + s.ByPassword).SetTLSConfig(&tls.Config{RootCAs: pool}).
		SetClientID("robot-" + id).SetUsername(id).SetPassword(brokertest.Password).SetCleanSession(false).
		SetConnectRetry(true).SetConnectRetryInterval(50 * time.Millisecond).SetMaxReconnectInterval(200 * time.Millisecond).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.heard = append(r.heard, m.Topic()+" "+string(m.Payload()))
		}).SetOnConnectHandler(func(c mqtt.Client) {
		go func() { // not in the handler: it must not wait
			if k := c.Subscribe("fleet/"+id+"/commands/rollback", 1, nil); k.Wait() && k.Error() == nil {
				select {
				case listens <- struct{}{}:
				default:
				}
			}
		}()
	}))
	token(t, r.Connect())
	select { // what is said before is said to nobody
	case <-listens:
	case <-time.After(20 * time.Second):
		t.Fatal("the broker does not let the test's robot listen")
	}
	t.Cleanup(func() { r.Disconnect(100) })
	return r
}

func token(t *testing.T, k mqtt.Token) {
	t.Helper()
	if !k.WaitTimeout(20*time.Second) || k.Error() != nil {
		t.Fatalf("the broker does not answer the test: %v", k.Error())
	}
}

func (r *robot) say(t *testing.T, topic string, qos byte, payload string) {
	t.Helper()
	token(t, r.Publish(topic, qos, false, payload))
}

// greet says hello until the server, which has to subscribe first, hears it.
func (r *robot) greet(t *testing.T, m *memory) {
	t.Helper()
	eventually(t, "the server hears the robot", func() bool {
		r.say(t, "fleet/r1/ota/event", 1, "hello")
		return m.count("") > 0
	})
}

// await waits until the messages 0 to n-1 are there.
func (m *memory) await(t *testing.T, n int) {
	t.Helper()
	missing := func() (out []string) {
		seen := map[string]bool{}
		m.set(func() {
			for _, x := range m.taken {
				seen[string(x.Payload)] = true
			}
		})
		for i := range n {
			if !seen[fmt.Sprint(i)] {
				out = append(out, fmt.Sprint(i))
			}
		}
		return out
	}
	defer func() {
		if t.Failed() {
			t.Log("missing:", missing())
		}
	}()
	eventually(t, "all of them are stored", func() bool { return len(missing()) == 0 })
}

func (r *robot) commands() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.heard)
}

func link(t *testing.T, c Config, m *memory) *Link {
	t.Helper()
	l, err := New(c, m, m, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What robots say comes in, commands reach the robot, and nobody else's topics.
func TestBothWays(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, s *brokertest.Site) {
		m := &memory{pending: []store.Command{command(1)}}
		r := dialRobot(t, s, "r1")
		start(t, link(t, config(t, s), m))
		eventually(t, "the command reaches r1", func() bool { return r.commands() == 1 })
		for _, topic := range []string{"ota/status", "ota/event", "ota/online", "ota/health", "diagnostics"} {
			r.say(t, "fleet/r1/"+topic, 1, topic)
		}
		r.say(t, "fleet/r2/ota/event", 1, "another's")
		r.say(t, "fleet/r1/ota/event", 1, "last")
		eventually(t, "all of it is stored", func() bool { return m.count("") >= 6 })
		m.set(func() {
			for _, x := range m.taken {
				if !strings.HasPrefix(x.Topic, "fleet/r1/") || string(x.Payload) != strings.TrimPrefix(x.Topic, "fleet/r1/") && string(x.Payload) != "last" {
					t.Errorf("%+v", x)
				}
			}
			if len(m.taken) != 6 {
				t.Errorf("%d messages, want 6", len(m.taken))
			}
		})
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.heard[0] != `fleet/r1/commands/rollback {"id":"c-1","reason":"because"}` {
			t.Error(r.heard)
		}
	})
}

// A server that is away, or dies, misses no event: the broker keeps them, and
// those that were not stored.
func TestServerAway(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, s *brokertest.Site) {
		m := &memory{}
		r := dialRobot(t, s, "r1")
		stop := start(t, link(t, config(t, s), m))
		r.greet(t, m)
		m.set(func() { m.refuse = func(Message) bool { return true } }) // as one that is about to die
		for n := range 20 {
			r.say(t, "fleet/r1/ota/event", 1, fmt.Sprint(n))
		}
		stop()
		for n := range 20 {
			r.say(t, "fleet/r1/ota/event", 1, fmt.Sprint(20+n))
		}
		next := &memory{}
		start(t, link(t, config(t, s), next))
		next.await(t, 40)
	})
}

// A broker that dies and comes back: the link is there again, and a command that
// was decided meanwhile goes out.
func TestBrokerGone(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, s *brokertest.Site) {
		m := &memory{pending: []store.Command{command(1)}}
		r := dialRobot(t, s, "r1")
		start(t, link(t, config(t, s), m))
		eventually(t, "the first command", func() bool { return r.commands() == 1 })
		s.Stop(t)
		m.set(func() { m.pending = append(m.pending, command(2)) })
		s.Start(t)
		eventually(t, "the second command", func() bool {
			// The embedded broker forgot who listens: until r1 listens again, what is said is lost, and due again.
			m.set(func() { delete(m.sends, "c-2") })
			time.Sleep(100 * time.Millisecond)
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.ContainsFunc(r.heard, func(h string) bool { return strings.Contains(h, `"c-2"`) })
		})
		eventually(t, "r1 speaks", func() bool {
			return r.IsConnectionOpen() && r.Publish("fleet/r1/ota/event", 1, false, "again").WaitTimeout(time.Second) && m.count("fleet/r1/ota/event") > 0
		})
	})
}

// Two servers over one session take turns, and one that is thrown out comes
// back; nothing is lost on the way.
func TestTwoLeaders(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, s *brokertest.Site) {
		m := &memory{}
		r := dialRobot(t, s, "r1")
		stop := start(t, link(t, config(t, s), m))
		start(t, link(t, config(t, s), m))
		r.greet(t, m)
		for n := range 30 {
			r.say(t, "fleet/r1/ota/event", 1, fmt.Sprint(n))
			time.Sleep(10 * time.Millisecond)
		}
		stop()
		m.await(t, 30)
	})
}

// More events than a broker has in flight, against a slow store.
func TestManyEvents(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, s *brokertest.Site) {
		m := &memory{slow: 2 * time.Millisecond}
		r := dialRobot(t, s, "r1")
		start(t, link(t, config(t, s), m))
		r.greet(t, m)
		const many = 900 // Mosquitto keeps 1000 unless told otherwise
		tokens := make([]mqtt.Token, many)
		for n := range many {
			tokens[n] = r.Publish("fleet/r1/ota/event", 1, false, fmt.Sprint(n))
		}
		for _, k := range tokens {
			token(t, k)
		}
		eventually(t, "all of them are stored", func() bool { return m.count("") > many })
		m.set(func() {
			if m.largest > maxBatch {
				t.Errorf("%d in one transaction", m.largest)
			}
		})
	})
}

// Who may not read what robots say is told so.
func TestRefused(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, s *brokertest.Site) {
		c := config(t, s)
		if err := os.WriteFile(s.File("wrong"), []byte("wrong\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.PasswordFile = s.File("wrong")
		if _, err := link(t, c, &memory{}).dial(t.Context(), func(delivery) {}); err == nil {
			t.Error("a wrong password is taken")
		}
		c = config(t, s)
		c.CAFile = s.File("other.pem")
		if _, err := link(t, c, &memory{}).dial(t.Context(), func(delivery) {}); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("a broker that nobody vouches for: %v", err)
		}
	})
}

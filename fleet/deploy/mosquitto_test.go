package deploy_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/robot-platform/robot-ota/sim/broker"
)

// mosquittoSite is the real broker with the example's rules.
type mosquittoSite struct {
	f                          *fleet
	byPassword, byCert, inside string // addresses
}

const word = "correct horse"

func newSite(t *testing.T) *mosquittoSite {
	t.Helper()
	path := program(t, "mosquitto", "mosquitto")
	f := newFleet(t)
	s := &mosquittoSite{f: f, byPassword: freePort(t), byCert: freePort(t), inside: freePort(t)}
	users := map[string]string{"ota-fleet": word, "r1": word, "r2": word}
	if _, err := broker.Mosquitto(broker.Config{ByPassword: s.byPassword, CertFile: f.file("tls/broker.pem"), KeyFile: f.file("tls/broker-key.pem"), Users: users}, f.file("users")); err != nil {
		t.Fatal(err)
	}
	acl := adapted(t, "mosquitto/ota-fleet.acl", f.file("acl"), nil)
	_, passwordPort, _ := strings.Cut(s.byPassword, ":")
	_, certPort, _ := strings.Cut(s.byCert, ":")
	_, insidePort, _ := strings.Cut(s.inside, ":")
	conf := adapted(t, "mosquitto/ota-fleet.conf", f.file("mosquitto.conf"), map[string]string{
		`^listener 8883$`: "listener " + passwordPort + " 127.0.0.1", `^listener 8884$`: "listener " + certPort + " 127.0.0.1",
		`^listener 8885 `: "listener " + insidePort + " ", `/etc/ota-fleet/tls`: f.file("tls"), `/var/lib/mosquitto/`: f.dir + "/",
		`/etc/mosquitto/ota-fleet\.users`: f.file("users/users"), `/etc/mosquitto/ota-fleet\.acl`: acl,
	})
	if me, err := user.Current(); err == nil && me.Uid == "0" { // it would become another user, who may not read the keys
		b, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(conf, append([]byte("user root\n"), b...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	process(t, []string{s.byPassword, s.byCert, s.inside}, path, "-c", conf)
	return s
}

// member is a client, and what it heard.
type member struct {
	mqtt.Client
	mu    sync.Mutex
	heard []string
}

// join connects a user; by a certificate where the password is empty. Refused
// it is nil.
func (s *mosquittoSite) join(t *testing.T, address, name, id, password string) *member {
	t.Helper()
	ca, err := os.ReadFile(s.f.file("tls/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	cfg := &tls.Config{RootCAs: pool}
	m := &member{}
	o := mqtt.NewClientOptions().AddBroker("ssl://" + address).SetClientID(id).SetAutoReconnect(false).SetConnectRetry(false).SetOrderMatters(true)
	if password != "" {
		o.SetUsername(name).SetPassword(password)
	} else if name != "" {
		pair, err := tls.LoadX509KeyPair(s.f.file("tls/robots/"+name+".pem"), s.f.file("tls/robots/"+name+"-key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	m.Client = mqtt.NewClient(o.SetTLSConfig(cfg).SetDefaultPublishHandler(func(_ mqtt.Client, msg mqtt.Message) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.heard = append(m.heard, msg.Topic()+" "+string(msg.Payload()))
	}))
	if token := m.Connect(); !token.WaitTimeout(30*time.Second) || token.Error() != nil {
		return nil
	}
	t.Cleanup(func() { m.Disconnect(100) })
	return m
}

func (m *member) publish(t *testing.T, topic, payload string) {
	t.Helper()
	if token := m.Publish(topic, 1, false, payload); !token.WaitTimeout(30 * time.Second) {
		t.Fatal("the broker does not answer")
	}
}

func (m *member) subscribe(t *testing.T, filters ...string) {
	t.Helper()
	for _, f := range filters { // what is refused is refused: what is heard counts
		if token := m.Subscribe(f, 1, nil); !token.WaitTimeout(30 * time.Second) {
			t.Fatal("the broker does not answer")
		}
	}
}

// until waits until the last word is heard, and gives all, sorted.
func (m *member) until(t *testing.T, last string) []string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		m.mu.Lock()
		heard := slices.Clone(m.heard)
		m.mu.Unlock()
		if slices.Contains(heard, last) {
			slices.Sort(heard)
			return slices.Compact(heard)
		}
		if time.Now().After(end) {
			t.Fatalf("never heard %q, but %q", last, heard)
		}
	}
}

// A robot reaches its own subtree, and of that it does not write the commands.
func TestMosquittoRules(t *testing.T) {
	s := newSite(t)
	server := s.join(t, s.inside, "ota-fleet", "server-1", word)
	r1 := s.join(t, s.byPassword, "r1", "r1", word)
	r2 := s.join(t, s.byCert, "r2", "r2", "")
	if server == nil || r1 == nil || r2 == nil {
		t.Fatalf("refused: %v, %v, %v", server, r1, r2)
	}
	server.subscribe(t, "fleet/+/ota/+", "fleet/+/diagnostics", "fleet/+/commands/+", "#", "$SYS/#")
	r1.subscribe(t, "fleet/r1/commands/+", "fleet/r1/ota/doctor", "fleet/r2/commands/+", "fleet/+/commands/+", "fleet/#", "#", "$SYS/#", "fleet/r2/ota/status")
	r2.subscribe(t, "fleet/r2/commands/+", "fleet/r1/commands/+", "#", "$share/x/fleet/r1/commands/+")

	// What r1 says as itself is heard, and nothing else of it.
	for _, topic := range []string{"fleet/r1/ota/status", "fleet/r1/ota/health", "fleet/r1/diagnostics",
		"fleet/r2/ota/status", "fleet/r2/diagnostics", "fleet/r1/commands/ota", "fleet/r2/commands/rollback", "fleet/r1/else", "fleet/r1", "other", "fleet/ota-fleet/ota/status"} {
		r1.publish(t, topic, "by r1")
	}
	r1.publish(t, "fleet/r1/ota/event", "the end")
	want := []string{"fleet/r1/diagnostics by r1", "fleet/r1/ota/event the end", "fleet/r1/ota/health by r1", "fleet/r1/ota/status by r1"}
	if got := server.until(t, "fleet/r1/ota/event the end"); !slices.Equal(got, want) {
		t.Errorf("the servers heard %q", got)
	}

	// The servers command whom they want, and do not speak as robots.
	server.publish(t, "fleet/r1/ota/status", "forged")
	server.publish(t, "fleet/r1/commands/ota", "for r1")
	server.publish(t, "fleet/r2/commands/rollback", "for r2")
	r1.publish(t, "fleet/r1/ota/doctor", "echo")
	r2.publish(t, "fleet/r2/commands/ota", "by r2, to itself")
	server.publish(t, "fleet/r1/commands/cancel", "the end")
	server.publish(t, "fleet/r2/commands/cancel", "the end")
	if got := r1.until(t, "fleet/r1/commands/cancel the end"); !slices.Equal(got, []string{"fleet/r1/commands/cancel the end", "fleet/r1/commands/ota for r1", "fleet/r1/ota/doctor echo"}) {
		t.Errorf("r1 heard %q", got)
	}
	if got := r2.until(t, "fleet/r2/commands/cancel the end"); !slices.Equal(got, []string{"fleet/r2/commands/cancel the end", "fleet/r2/commands/rollback for r2"}) {
		t.Errorf("r2 heard %q", got)
	}
}

// Who is nobody stays outside, and nobody ends another's session.
func TestMosquittoDoors(t *testing.T) {
	s := newSite(t)
	for name, join := range map[string]func() *member{
		"a wrong password":        func() *member { return s.join(t, s.byPassword, "r1", "r1", "wrong") },
		"no name":                 func() *member { return s.join(t, s.byPassword, "", "r1", "") },
		"no certificate":          func() *member { return s.join(t, s.byCert, "", "r1", "") },
		"a password alone":        func() *member { return s.join(t, s.byCert, "r1", "r1", word) },
		"a certificate elsewhere": func() *member { return s.join(t, s.byPassword, "r1", "r1", "") },
	} {
		if join() != nil {
			t.Errorf("%s: it is let in", name)
		}
	}
	r1 := s.join(t, s.byPassword, "r1", "r1", word)
	thief := s.join(t, s.byPassword, "r2", "r1", word) // with r1's client id
	if r1 == nil || thief == nil {
		t.Fatal("refused")
	}
	thief.subscribe(t, "fleet/r2/commands/+", "fleet/r1/commands/+")
	r1.subscribe(t, "fleet/r1/commands/+")
	server := s.join(t, s.inside, "ota-fleet", "server-1", word)
	server.publish(t, "fleet/r1/commands/ota", "for r1")
	r1.until(t, "fleet/r1/commands/ota for r1")
	server.publish(t, "fleet/r2/commands/ota", "for r2")
	if got := thief.until(t, "fleet/r2/commands/ota for r2"); len(got) != 1 {
		t.Errorf("the thief heard %q", got)
	}
	if !r1.IsConnectionOpen() {
		t.Error("r1's session was ended")
	}
	// Two servers are two clients of one user.
	second := s.join(t, s.inside, "ota-fleet", "server-2", word)
	if second == nil || !server.IsConnectionOpen() {
		t.Error("one server ends the session of the other")
	}
}

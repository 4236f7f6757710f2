package deploy_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
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
	m.send(t, topic, payload, false)
}

func (m *member) send(t *testing.T, topic, payload string, retained bool) {
	t.Helper()
	if token := m.Publish(topic, 1, retained, payload); !token.WaitTimeout(30 * time.Second) {
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
}

// status is what a robot says of itself.
func status(robot string, seq int, version, state string) string {
	return fmt.Sprintf(`{"robot_id":%q,"epoch":"one","seq":%d,"at":%q,"state":%q,"running":{"version":%q}}`, robot, seq, time.Now().UTC().Format(time.RFC3339Nano), state, version)
}

// A release is called back through the real broker with the example's rules:
// the robot that runs it gets the command, within seconds, and is seen to have
// complied; another hears nothing.
func TestCallBackThroughMosquitto(t *testing.T) {
	s := newSite(t)
	s.f.publish(t, "0.2.1", 4000)
	password := s.f.file("password")
	if err := os.WriteFile(password, []byte(word+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.f.serve(t, "--mqtt-url", "mqtts://"+s.inside, "--mqtt-ca", s.f.file("tls/ca.pem"), "--mqtt-user", "ota-fleet", "--mqtt-password-file", password)
	r1 := s.join(t, s.byPassword, "r1", "r1", word)
	r2 := s.join(t, s.byCert, "r2", "r2", "")
	r1.subscribe(t, "fleet/r1/commands/+")
	r2.subscribe(t, "fleet/r2/commands/+")
	r1.send(t, "fleet/r1/ota/status", status("r1", 1, "0.2.1", "observing"), true)
	r2.send(t, "fleet/r2/ota/status", status("r2", 1, "0.2.0", "idle"), true)
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		known := run(t, s.f.program, "robot", "list", "--data", s.f.file("data"), "--json")
		if strings.Contains(known, `"version": "0.2.1"`) && strings.Contains(known, `"version": "0.2.0"`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the robots are not heard: %s", known)
		}
	}

	done := make(chan string, 1)
	go func() {
		cmd := exec.CommandContext(t.Context(), s.f.program, "rollback", "--data", s.f.file("data"), "--release", "standard-0.2.1",
			"--reason", "it bites", "--yes", "--wait", "--timeout", "2m", "--json")
		out, err := cmd.Output()
		done <- fmt.Sprintf("%v %s", err, out)
	}()
	const command = `fleet/r1/commands/rollback {"id":"rollback-standard-0.2.1/1/r1","reason":"it bites","version":"0.2.1"}`
	r1.until(t, command)
	r1.send(t, "fleet/r1/ota/status", status("r1", 2, "0.2.1", "rolling_back"), true)
	r1.send(t, "fleet/r1/ota/status", status("r1", 3, "0.2.0", "rolled_back"), true)
	if said := <-done; !strings.HasPrefix(said, "<nil> ") || !strings.Contains(said, `"complied": 1`) || !strings.Contains(said, `"done": true`) {
		t.Errorf("rollback: %s", said)
	}
	if r2.mu.Lock(); len(r2.heard) > 0 {
		t.Errorf("r2 heard %q", r2.heard)
	}
	r2.mu.Unlock()
}

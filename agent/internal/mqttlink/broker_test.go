package mqttlink

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// A server is a real broker with two ways in, both by TLS: by certificate,
// whose common name is the user, and by password. A user may do everything
// below fleet/{user}/, the user operator everything.
type server interface {
	start(t *testing.T)
	stop(t *testing.T)
}

// site is a broker and what it takes to get in.
type site struct {
	server
	dir      string
	byCert   string // host:port
	byPasswd string
}

const (
	operator = "operator"
	password = "correct horse"
)

// brokers runs f against the embedded broker and, where it is installed,
// against Mosquitto.
func brokers(t *testing.T, f func(t *testing.T, s *site)) {
	t.Run("mochi", func(t *testing.T) {
		f(t, newSite(t, func(s *site) server { return &mochi{site: s} }))
	})
	t.Run("mosquitto", func(t *testing.T) {
		path, err := exec.LookPath("mosquitto")
		if err != nil {
			if path = "/usr/sbin/mosquitto"; !exists(path) {
				t.Skip("mosquitto is not installed: apt-get install mosquitto")
			}
		}
		f(t, newSite(t, func(s *site) server { return &mosquitto{site: s, path: path} }))
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func newSite(t *testing.T, with func(*site) server) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), byCert: freePort(t), byPasswd: freePort(t)}
	s.authority(t)
	s.server = with(s)
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }

// config of a robot that comes with its password.
func (s *site) config(t *testing.T, robot string) Config {
	return Config{
		URL: "mqtts://" + s.byPasswd, RobotID: robot, SKU: "standard", StateDir: t.TempDir(),
		CAFile: s.file("ca.pem"), PasswordFile: s.file("password"), KeepAlive: 2 * time.Second, Version: "test",
	}
}

// authority makes the certificates of broker, robot and a stranger.
func (s *site) authority(t *testing.T) {
	t.Helper()
	key := newKey(t)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fleet"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	s.write(t, "ca.pem", "CERTIFICATE", sign(t, ca, ca, key, key))
	for i, name := range []string{"broker", "r1"} {
		own := newKey(t)
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 2)), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		s.write(t, name+".pem", "CERTIFICATE", sign(t, c, ca, own, key))
		der, err := x509.MarshalECPrivateKey(own)
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, name+".key", "EC PRIVATE KEY", der)
	}
	other := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "other"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	k := newKey(t)
	s.write(t, "other.pem", "CERTIFICATE", sign(t, other, other, k, k))
	if err := os.WriteFile(s.file("password"), []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, c, by *x509.Certificate, own, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, by, &own.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (s *site) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(s.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// mochi is the broker embedded in this test.
type mochi struct {
	*site
	server *broker.Server
}

func (m *mochi) start(t *testing.T) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(m.file("broker.pem"), m.file("broker.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(m.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	m.server = broker.New(&broker.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := m.server.AddHook(new(gate), nil); err != nil {
		t.Fatal(err)
	}
	for addr, auth := range map[string]tls.ClientAuthType{m.byCert: tls.RequireAndVerifyClientCert, m.byPasswd: tls.NoClientCert} {
		l := listeners.NewTCP(listeners.Config{ID: addr, Address: addr,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: auth}})
		if err := m.server.AddListener(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.server.Serve(); err != nil {
		t.Fatal(err)
	}
}

func (m *mochi) stop(t *testing.T) {
	if m.server == nil {
		return
	}
	if err := m.server.Close(); err != nil {
		t.Error(err)
	}
	m.server = nil
}

// gate lets users in and keeps them where they belong.
type gate struct{ broker.HookBase }

func (*gate) ID() string { return "gate" }

func (*gate) Provides(b byte) bool {
	return b == broker.OnConnectAuthenticate || b == broker.OnACLCheck
}

func (*gate) OnConnectAuthenticate(cl *broker.Client, pk packets.Packet) bool {
	if c, ok := cl.Net.Conn.(*tls.Conn); ok && len(c.ConnectionState().PeerCertificates) > 0 {
		cl.Properties.Username = []byte(c.ConnectionState().PeerCertificates[0].Subject.CommonName)
		return true
	}
	return string(pk.Connect.Password) == password
}

func (*gate) OnACLCheck(cl *broker.Client, topic string, _ bool) bool {
	user := string(cl.Properties.Username)
	return user == operator || strings.HasPrefix(topic, "fleet/"+user+"/")
}

// mosquitto is the real one.
type mosquitto struct {
	*site
	path string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

func (m *mosquitto) start(t *testing.T) {
	t.Helper()
	if !exists(m.file("mosquitto.conf")) {
		m.configure(t)
	}
	m.cmd = exec.Command(m.path, "-c", m.file("mosquitto.conf"))
	m.cmd.Stdout, m.cmd.Stderr = &m.out, &m.out
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if c, err := net.Dial("tcp", m.byPasswd); err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	m.stop(t)
	t.Fatalf("mosquitto does not listen:\n%s", m.out.Bytes())
}

func (m *mosquitto) configure(t *testing.T) {
	t.Helper()
	_, cert, _ := net.SplitHostPort(m.byCert)
	_, pass, _ := net.SplitHostPort(m.byPasswd)
	common := fmt.Sprintf("cafile %s\ncertfile %s\nkeyfile %s\nacl_file %s\nallow_anonymous false\n",
		m.file("ca.pem"), m.file("broker.pem"), m.file("broker.key"), m.file("acl"))
	conf := "user root\nper_listener_settings true\npersistence true\npersistence_location " + m.dir + "/\nmax_queued_messages 5000\n" +
		"listener " + cert + " 127.0.0.1\n" + common + "require_certificate true\nuse_identity_as_username true\n" +
		"listener " + pass + " 127.0.0.1\n" + common + "password_file " + m.file("users") + "\n"
	acl := "user " + operator + "\ntopic readwrite fleet/#\n\npattern readwrite fleet/%u/#\n"
	for name, text := range map[string]string{"mosquitto.conf": conf, "acl": acl, "users": ""} {
		if err := os.WriteFile(m.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{operator, "r1", "r2"} {
		if out, err := exec.Command("mosquitto_passwd", "-b", m.file("users"), user, password).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
		}
	}
}

func (m *mosquitto) stop(t *testing.T) {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Signal(os.Interrupt)
	_ = m.cmd.Wait()
	m.cmd = nil
	if t.Failed() {
		t.Logf("mosquitto:\n%s", m.out.Bytes())
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

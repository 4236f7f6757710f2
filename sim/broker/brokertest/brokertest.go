// Package brokertest gives tests a real broker: the embedded one and, where it
// is installed, Mosquitto, with certificates for all who take part.
package brokertest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/sim/broker"
)

// Users of a Site, all with the same Password: the operator, and the robots r1
// and r2.
const (
	Operator = "operator"
	Password = "correct horse"
)

// Site is a broker and what it takes to get in. File knows ca.pem, r1.pem and
// r1.key, other.pem (an authority that vouches for nobody), and password.
type Site struct {
	ByCert, ByPassword string // host:port
	// Embedded tells the embedded broker from Mosquitto.
	Embedded bool

	dir    string
	broker server
}

// server is a broker that can be started again.
type server interface {
	start(t *testing.T, c broker.Config)
	stop(t *testing.T)
}

// Each runs f with the embedded broker and with Mosquitto.
func Each(t *testing.T, f func(t *testing.T, s *Site)) {
	t.Run("mochi", func(t *testing.T) { f(t, newSite(t, new(embedded))) })
	t.Run("mosquitto", func(t *testing.T) {
		path, err := broker.FindMosquitto()
		if err != nil {
			t.Skip(err)
		}
		f(t, newSite(t, &mosquitto{path: path, dir: t.TempDir()}))
	})
}

func newSite(t *testing.T, b server) *Site {
	t.Helper()
	_, mochi := b.(*embedded)
	s := &Site{ByCert: FreePort(t), ByPassword: FreePort(t), Embedded: mochi, dir: t.TempDir(), broker: b}
	Certificates(t, s.dir)
	if err := os.WriteFile(s.File("password"), []byte(Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Start(t)
	t.Cleanup(func() { s.Stop(t) })
	return s
}

// File is the path of one of the site's files.
func (s *Site) File(name string) string { return filepath.Join(s.dir, name) }

// Start starts the broker, again after Stop.
func (s *Site) Start(t *testing.T) {
	t.Helper()
	s.broker.start(t, broker.Config{
		CertFile: s.File("broker.pem"), KeyFile: s.File("broker.key"), CAFile: s.File("ca.pem"), ByCert: s.ByCert, ByPassword: s.ByPassword,
		Users: map[string]string{Operator: Password, "r1": Password, "r2": Password}, Operator: Operator,
	})
}

// Stop ends the broker.
func (s *Site) Stop(t *testing.T) { s.broker.stop(t) }

// embedded is the broker in the test's own process.
type embedded struct{ *broker.Embedded }

func (e *embedded) start(t *testing.T, c broker.Config) {
	t.Helper()
	var err error
	if e.Embedded, err = broker.Open(c, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

func (e *embedded) stop(t *testing.T) {
	if e.Embedded == nil {
		return
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	e.Embedded = nil
}

// mosquitto is the real one.
type mosquitto struct {
	path, dir string
	cmd       *exec.Cmd
	out       bytes.Buffer
}

func (m *mosquitto) start(t *testing.T, c broker.Config) {
	t.Helper()
	args, err := broker.Mosquitto(c, m.dir)
	if err != nil {
		t.Fatal(err)
	}
	m.cmd = exec.Command(m.path, args...) //nolint:noctx // ended by stop
	m.cmd.Stdout, m.cmd.Stderr = &m.out, &m.out
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{c.ByPassword, c.ByCert} {
		if !listens(address) {
			m.stop(t)
			t.Fatalf("mosquitto does not listen at %s:\n%s", address, m.out.Bytes())
		}
	}
}

func listens(address string) bool {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { //nolint:forbidigo // a test's wait
		if c, err := net.Dial("tcp", address); err == nil { //nolint:noctx // this machine answers at once
			return c.Close() == nil
		}
	}
	return false
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

// FreePort is an address at which nobody listens, and that no other caller gets,
// in whatever process, until the test has ended: a name in the kernel claims it.
// It lies below the ports that the kernel gives to outgoing connections.
func FreePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := 10000 + mrand.N(20000)
		claim, err := net.Listen("unix", fmt.Sprintf("@robot-ota-test-port-%d", port)) //nolint:noctx // it does not wait
		if err != nil {
			continue
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", address) //nolint:noctx // nor does this
		if err != nil {
			_ = claim.Close() // it was free a moment ago
			continue
		}
		_ = l.Close() // nobody has connected
		t.Cleanup(func() { _ = claim.Close() })
		return address
	}
	t.Fatal("no free port")
	return ""
}

// Certificates writes ca.pem, the authority; broker.pem and .key for
// 127.0.0.1, and r1.pem and .key, which it vouches for; and other.pem, an
// authority that vouches for none of them.
func Certificates(t *testing.T, dir string) {
	t.Helper()
	w := writer{t: t, dir: dir, number: 1}
	ca := authority("fleet")
	key := w.key()
	w.certificate("ca.pem", ca, ca, &key.PublicKey, key)
	for _, name := range []string{"broker", "r1"} {
		own := w.key()
		c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		w.certificate(name+".pem", c, ca, &own.PublicKey, key)
		der, err := x509.MarshalECPrivateKey(own)
		if err != nil {
			t.Fatal(err)
		}
		w.file(name+".key", "EC PRIVATE KEY", der)
	}
	other, k := authority("other"), w.key()
	w.certificate("other.pem", other, other, &k.PublicKey, k)
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
}

// writer writes keys and certificates.
type writer struct {
	t      *testing.T
	dir    string
	number int64 // of the next certificate
}

func (w *writer) key() *ecdsa.PrivateKey {
	w.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

func (w *writer) certificate(name string, c, by *x509.Certificate, own *ecdsa.PublicKey, key *ecdsa.PrivateKey) {
	w.t.Helper()
	c.SerialNumber = big.NewInt(w.number)
	w.number++
	der, err := x509.CreateCertificate(rand.Reader, c, by, own, key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.file(name, "CERTIFICATE", der)
}

func (w *writer) file(name, kind string, der []byte) {
	w.t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(filepath.Join(w.dir, name), text, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

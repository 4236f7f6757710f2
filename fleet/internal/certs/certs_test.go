package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a folder of certificates and a clock.
type world struct {
	t     *testing.T
	files Files
	now   time.Time
	log   bytes.Buffer
	ca    *x509.Certificate
	key   *ecdsa.PrivateKey
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	w := &world{t: t, now: noon, files: Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}}
	w.ca, w.key = w.make("ca", nil, nil, noon.Add(time.Hour))
	return w
}

func (w *world) make(name string, by *x509.Certificate, byKey *ecdsa.PrivateKey, until time.Time) (*x509.Certificate, *ecdsa.PrivateKey) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: noon.Add(-time.Hour), NotAfter: until, BasicConstraintsValid: true, IsCA: by == nil,
	}
	if by == nil {
		by, byKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, byKey)
	if err != nil {
		w.t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		w.t.Fatal(err)
	}
	return c, key
}

// write puts a server's pair into the files.
func (w *world) write(name string, until time.Time) {
	w.t.Helper()
	c, key := w.make(name, w.ca, w.key, until)
	w.put(w.files.Cert, certPEM(c))
	w.put(w.files.Key, keyPEM(w.t, key))
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (w *world) put(path string, b []byte) {
	w.t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) source() *Source {
	w.t.Helper()
	s, err := New(w.files, func() time.Time { return w.now }, slog.New(slog.NewTextHandler(&w.log, nil)))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// shake shakes hands and gives the server's name, and the client's as the server saw it.
func (w *world) shake(s *Source, client *tls.Config) (server, peer string, err error) {
	a, b := net.Pipe()
	defer a.Close()
	srv := tls.Server(b, s.Config())
	seen := make(chan string, 1)
	go func() {
		defer b.Close()
		name := ""
		if srv.Handshake() == nil {
			if p := srv.ConnectionState().VerifiedChains; len(p) > 0 {
				name = p[0][0].Subject.CommonName
			}
			_, _ = srv.Write([]byte{1})
		}
		seen <- name
	}()
	client.RootCAs, client.ServerName, client.InsecureSkipVerify = x509.NewCertPool(), "any", true //nolint:gosec // the name is what is asked for
	client.Time = func() time.Time { return w.now }
	c := tls.Client(a, client)
	if err := c.Handshake(); err != nil {
		a.Close()
		<-seen
		return "", "", err
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		a.Close()
		<-seen
		return "", "", err
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, <-seen, nil
}

func (w *world) serves(s *Source, want string) {
	w.t.Helper()
	if got, _, err := w.shake(s, &tls.Config{}); got != want || err != nil {
		w.t.Errorf("serves %q, %v, want %q", got, err, want)
	}
}

func TestRenewal(t *testing.T) {
	w := newWorld(t)
	w.write("first", noon.Add(time.Hour))
	s := w.source()
	w.serves(s, "first")
	before := s.current()

	// It is looked at now and then, not with every handshake.
	w.write("second", noon.Add(time.Hour))
	w.serves(s, "first")
	w.now = w.now.Add(often)
	w.serves(s, "second")
	if s.current() == before {
		t.Error("the configuration stays")
	}
	before = s.current()
	w.now = w.now.Add(often)
	if s.current() != before {
		t.Error("the configuration changes though the files stay")
	}

	// What is broken is told once, and the one before stays.
	next, key := w.make("third", w.ca, w.key, noon.Add(time.Hour))
	w.put(w.files.Cert, certPEM(next)) // without its key: half of a renewal
	for range 3 {
		w.now = w.now.Add(often)
		w.serves(s, "second")
	}
	if n := strings.Count(w.log.String(), "cannot be used"); n != 1 || !strings.Contains(w.log.String(), "private key does not match public key") {
		t.Errorf("told %d times: %s", n, w.log.String())
	}
	w.put(w.files.Key, keyPEM(t, key))
	w.now = w.now.Add(often)
	w.serves(s, "third")
	for name, broken := range map[string]func(){
		"garbage": func() { w.put(w.files.Cert, []byte("x")) },
		"empty":   func() { w.put(w.files.Cert, nil) },
		"huge":    func() { w.put(w.files.Cert, make([]byte, maxFile+1)) },
		"missing": func() { _ = os.Remove(w.files.Cert) },
		"expired": func() { w.write("old", noon) },
	} {
		w.log.Reset()
		broken()
		w.now = w.now.Add(often)
		w.serves(s, "third")
		if !strings.Contains(w.log.String(), "cannot be used") {
			t.Errorf("%s: the log: %s", name, w.log.String())
		}
	}
	// A clock that is set back does not stop it.
	w.now = noon.Add(-time.Minute)
	w.write("fourth", noon.Add(time.Hour))
	w.serves(s, "fourth")
}

func TestClientCertificates(t *testing.T) {
	w := newWorld(t)
	w.files.ClientCA = filepath.Join(filepath.Dir(w.files.Cert), "ca.pem")
	w.write("server", noon.Add(time.Hour))
	w.put(w.files.ClientCA, certPEM(w.ca))
	s := w.source()
	client := func(c *x509.Certificate, key *ecdsa.PrivateKey) *tls.Config {
		return &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}, nil
		}}
	}
	if _, peer, err := w.shake(s, &tls.Config{}); err != nil || peer != "" {
		t.Errorf("without a certificate: %q, %v", peer, err)
	}
	if _, peer, err := w.shake(s, client(w.make("robot-1", w.ca, w.key, noon.Add(time.Hour)))); err != nil || peer != "robot-1" {
		t.Errorf("with a certificate: %q, %v", peer, err)
	}
	if _, peer, err := w.shake(s, client(w.make("robot-1", nil, nil, noon.Add(time.Hour)))); err == nil {
		t.Errorf("by nobody: %q", peer)
	}
	if _, peer, err := w.shake(s, client(w.make("robot-1", w.ca, w.key, noon.Add(-time.Minute)))); err == nil {
		t.Errorf("expired: %q", peer)
	}
	// The authority is renewed as well.
	other, otherKey := w.make("other ca", nil, nil, noon.Add(time.Hour))
	w.put(w.files.ClientCA, certPEM(other))
	w.now = w.now.Add(often)
	if _, peer, err := w.shake(s, client(w.make("robot-2", other, otherKey, noon.Add(time.Hour)))); err != nil || peer != "robot-2" {
		t.Errorf("by the new authority: %q, %v", peer, err)
	}
	if _, peer, err := w.shake(s, client(w.make("robot-1", w.ca, w.key, noon.Add(time.Hour)))); err == nil {
		t.Errorf("by the old authority: %q", peer)
	}
}

func TestNotUsable(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		want    string
		prepare func()
	}{
		{"no such file", func() {}},
		{"failed to find any PEM", func() { w.put(w.files.Cert, []byte("x")); w.put(w.files.Key, nil) }},
		{"it expired on 2026-03-01", func() { w.write("old", noon.Add(-time.Second)) }},
		{"it holds no certificate", func() { w.write("server", noon.Add(time.Hour)); w.files.ClientCA = w.files.Key }},
	} {
		tt.prepare()
		if _, err := New(w.files, func() time.Time { return w.now }, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

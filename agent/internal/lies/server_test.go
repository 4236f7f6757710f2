package lies

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// world is everything around one robot.
type world struct {
	t          *testing.T
	keys       []signer // of the operator: the first is stolen, the third is in no robot's configuration
	stranger   signer
	ca, evilCA authority
	flash      []byte // of a new robot
	apps       map[testimage.Spec][]byte
	server     *server       // the update server
	repo       *tuftest.Repo // what the owner of the fleet has signed of its release metadata
	lists      int64         // how often he has listed something
	evil       *server       // another one, of an attacker, with a good certificate of its own
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// issue makes a certificate for an address, valid from and to so many hours from
// now.
func (a authority) issue(t *testing.T, ip string, from, to int) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hours := func(n int) time.Time { return time.Now().Add(time.Duration(n) * time.Hour) }
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: ip}, IPAddresses: []net.IP{net.ParseIP(ip)},
		NotBefore: hours(from), NotAfter: hours(to), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, keys: keyringtest.Signers(3), stranger: keyringtest.Signers(1)[0], apps: map[testimage.Spec][]byte{},
		ca: newAuthority(t, "the operator's"), evilCA: newAuthority(t, "a public one")}
	var err error
	if w.flash, err = espsim.Provision(espsim.DefaultFlashSize, 0, map[string][]byte{"factory": w.app(testimage.Spec{Version: "0.2.0"})}); err != nil {
		t.Fatal(err)
	}
	w.repo = tuftest.New(time.Now())
	w.server = w.serve(w.ca.issue(t, "127.0.0.1", -1, 1))
	w.evil = w.serve(w.evilCA.issue(t, "127.0.0.1", -1, 1))
	return w
}

// app is an app image of the simulator's, which shares no code with the agent.
func (w *world) app(s testimage.Spec) []byte {
	w.t.Helper()
	b, err := testimage.Build(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// signed is an image, signed by the key that is safe unless by another.
func (w *world) signed(s testimage.Spec, by ...signer) []byte {
	w.t.Helper()
	if len(by) == 0 {
		by = w.keys[1:2]
	}
	return w.sign(w.app(s), by[0])
}

func (w *world) sign(app []byte, by signer) []byte {
	w.t.Helper()
	b, err := image.Sign(app, by.Private)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// good is the image that an honest server would offer.
func (w *world) good() []byte { return w.signed(testimage.Spec{Version: "0.2.1"}) }

// document is a keyring document.
func (w *world) document(c keyring.Content, by ...signer) []byte {
	return keyringtest.Document(c, by...).Encode()
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// server is an update server: with what it was given it is an honest one, and
// does what it is told otherwise.
type server struct {
	*httptest.Server
	base     string // of the URLs that it names
	mu       sync.Mutex
	offer    map[string]any    // the answer to a check; nil: 204
	files    map[string][]byte // by SHA-256
	keyring  string            // version that it announces; "": none
	document []byte
	metadata map[string][]byte // release metadata, by name
	instead  http.HandlerFunc  // of everything else
	asked    []*http.Request
}

func (w *world) serve(cert tls.Certificate, change ...func(*httptest.Server)) *server {
	w.t.Helper()
	s := &server{files: map[string][]byte{}}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} //nolint:gosec // the client decides what is too old
	for _, c := range change {
		c(s.Server)
	}
	s.StartTLS()
	s.base = s.URL
	w.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// honest offers a file as its publisher would.
func (s *server) honest(version string, file []byte) {
	sum := sumOf(file)
	s.set(func() {
		s.instead, s.keyring, s.document = nil, "", nil
		s.files = map[string][]byte{sum: file}
		s.offer = map[string]any{"version": version, "url": s.base + "/v1/artifacts/" + sum, "sha256": sum, "size": len(file), "protocol": 1, "release": "r"}
	})
}

// lie offers a file, with some fields said otherwise.
func (s *server) lie(version string, file []byte, fields ...any) {
	s.honest(version, file)
	s.set(func() {
		for i := 0; i < len(fields); i += 2 {
			s.offer[fields[i].(string)] = fields[i+1]
		}
	})
}

// do has it answer everything so.
func (s *server) do(h http.HandlerFunc) { s.set(func() { s.instead = h }) }

// artifacts has it answer downloads so, and offer a file of that size.
func (s *server) artifacts(size int, h http.HandlerFunc) {
	s.lie("0.2.1", []byte("x"), "size", size)
	s.do(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/artifacts/") {
			h(w, r)
			return
		}
		s.good(w, r)
	})
}

func (s *server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	instead := s.instead
	s.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}
	s.good(w, r)
}

func (s *server) good(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keyring != "" {
		w.Header().Set("Robot-OTA-Keyring", s.keyring)
	}
	switch file, there := s.files[path.Base(r.URL.Path)]; {
	case r.URL.Path == "/v1/check" && s.offer == nil:
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Path == "/v1/check":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.offer)
	case r.URL.Path == "/v1/keyring" && s.document != nil:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.document)
	case strings.HasPrefix(r.URL.Path, "/v1/tuf/") && s.metadata[path.Base(r.URL.Path)] != nil:
		_, _ = w.Write(s.metadata[path.Base(r.URL.Path)])
	case there:
		w.Header().Set("ETag", `"`+path.Base(r.URL.Path)+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// send writes at once.
func send(w http.ResponseWriter, b []byte) error {
	if _, err := w.Write(b); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

// endless gives bytes until the other side has had enough.
func endless(w http.ResponseWriter, _ *http.Request) {
	for send(w, make([]byte, 64<<10)) == nil {
	}
}

// trickle gives a byte now and then, for ever.
func trickle(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for send(w, []byte("x")) == nil {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

package httpguard

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts an HTTPS server; what it logs about bad handshakes is dropped.
func serve(t *testing.T, h http.HandlerFunc, change ...func(*httptest.Server)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{}
	for _, c := range change {
		c(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// caFile writes the server's own certificate as an authority.
func caFile(t *testing.T, s *httptest.Server) string {
	t.Helper()
	return writeFile(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func writeFile(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func client(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func get(t *testing.T, c *Client, target string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestServerMayBePrivateAndOthersNot(t *testing.T) {
	s := serve(t, hello)
	ca := caFile(t, s)
	if body, err := get(t, client(t, Config{Server: parse(t, s.URL), CAFile: ca}), s.URL); err != nil || body != "hello" {
		t.Errorf("update server on loopback: %q, %v", body, err)
	}
	if body, err := get(t, client(t, Config{CAFile: ca, AllowPrivate: true}), s.URL); err != nil || body != "hello" {
		t.Errorf("allow_private: %q, %v", body, err)
	}
	port := parse(t, s.URL).Port()
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		_, err := get(t, client(t, Config{Server: parse(t, "https://updates.example.org"), CAFile: ca}), "https://"+host+":"+port)
		want := fmt.Sprintf("refused to ask %s:%s: 127.0.0.1 is a loopback, private or otherwise special address; "+
			"set server.allow_private: true if images may come from there", host, port)
		// localhost may be ::1 as well, and the last address tried is the one told.
		if err == nil || strings.ReplaceAll(err.Error(), " ::1 is", " 127.0.0.1 is") != want {
			t.Errorf("%s:\n got %v\nwant %s", host, err, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = get(t, client(t, Config{AllowPrivate: true}), "https://"+addr+"/secret?sig=abc")
	want := "cannot reach the server " + addr + ": dial tcp " + addr + ": connect: connection refused; " +
		"check the network, the server's address and that it is running"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	var u *UnreachableError
	if !errors.As(err, &u) || u.Final() || u.Code() != "server_unreachable" {
		t.Errorf("%#v", err)
	}
	_, err = get(t, client(t, Config{}), "https://no-such-host.invalid/")
	if !errors.As(err, &u) || !strings.HasPrefix(err.Error(), "cannot reach the server no-such-host.invalid:443: ") {
		t.Errorf("unknown name: %v", err)
	}
}

func TestCertificateNotTrusted(t *testing.T) {
	s := serve(t, hello)
	addr := parse(t, s.URL).Host
	_, err := get(t, client(t, Config{Server: parse(t, s.URL)}), s.URL)
	want := "the certificate of " + addr + ` is not trusted: it was issued by itself ("O=Acme Co"), which is not among the trusted authorities; ` +
		"put that authority's certificate (PEM) into the file that server.ca_file names"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	var c *CertificateError
	if !errors.As(err, &c) || !c.Final() || c.Code() != "certificate_untrusted" {
		t.Errorf("%#v", err)
	}

	named := "https://localhost:" + parse(t, s.URL).Port()
	_, err = get(t, client(t, Config{CAFile: caFile(t, s), AllowPrivate: true}), named)
	if !errors.As(err, &c) || !strings.Contains(err.Error(), "it is not for this name") {
		t.Errorf("another name: %v", err)
	}
}

func TestCertificateOutOfTime(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct {
		from, to time.Duration
		want     string
	}{
		{-2 * day, -day, "it expired on "},
		{day, 2 * day, "this computer's clock says "},
	} {
		cert := selfSigned(t, time.Now().Add(tt.from), time.Now().Add(tt.to))
		s := serve(t, hello, func(s *httptest.Server) { s.TLS.Certificates = []tls.Certificate{cert} })
		_, err := get(t, client(t, Config{CAFile: caFile(t, s), Server: parse(t, s.URL)}), s.URL)
		var c *CertificateError
		if !errors.As(err, &c) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "set the clock") {
			t.Errorf("%v", err)
		}
	}
}

func selfSigned(t *testing.T, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, NotBefore: from, NotAfter: to,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestOldTLSAndNoTLS(t *testing.T) {
	old := serve(t, hello, func(s *httptest.Server) { s.TLS.MinVersion, s.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	var u *UnreachableError
	for name, cfg := range map[string]Config{"update server": {Server: parse(t, old.URL)}, "another": {AllowPrivate: true}} {
		cfg.CAFile = caFile(t, old)
		if _, err := get(t, client(t, cfg), old.URL); !errors.As(err, &u) || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("TLS 1.1, %s: %v", name, err)
		}
	}
	plain := httptest.NewServer(http.HandlerFunc(hello))
	defer plain.Close()
	_, err := get(t, client(t, Config{AllowPrivate: true}), strings.Replace(plain.URL, "http:", "https:", 1))
	if !errors.As(err, &u) || !strings.Contains(err.Error(), "what answers there does not speak TLS") {
		t.Errorf("no TLS: %v", err)
	}
}

func TestRedirects(t *testing.T) {
	var other, s *httptest.Server
	var loops atomic.Int32
	other = serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "other auth=%q referer=%q range=%q", r.Header.Get("Authorization"), r.Header.Get("Referer"), r.Header.Get("Range"))
	})
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/other":
			http.Redirect(w, r, other.URL+"/?x=1", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, "http://"+r.Host+"/", http.StatusFound)
		case "/private":
			http.Redirect(w, r, "https://169.254.169.254/", http.StatusFound)
		case "/loop":
			loops.Add(1)
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			fmt.Fprintf(w, "self auth=%q", r.Header.Get("Authorization"))
		}
	})
	token := writeFile(t, []byte("t0ken\n"))
	ca := writeFile(t, append(must(os.ReadFile(caFile(t, s))), must(os.ReadFile(caFile(t, other)))...))
	strict := client(t, Config{Server: parse(t, s.URL), CAFile: ca, TokenFile: token})
	open := client(t, Config{Server: parse(t, s.URL), CAFile: ca, TokenFile: token, AllowPrivate: true,
		AllowHosts: []string{parse(t, other.URL).Host}})

	if body, err := get(t, strict, s.URL+"/x"); err != nil || body != `self auth="Bearer t0ken"` {
		t.Errorf("token to the update server: %q, %v", body, err)
	}
	hawk := client(t, Config{Server: parse(t, s.URL), CAFile: ca, TokenFile: token, TokenScheme: "TargetToken"})
	if body, err := get(t, hawk, s.URL+"/x"); err != nil || body != `self auth="TargetToken t0ken"` {
		t.Errorf("token of another scheme: %q, %v", body, err)
	}
	if body, err := get(t, open, s.URL+"/other"); err != nil || body != `other auth="" referer="" range=""` {
		t.Errorf("to a listed host: %q, %v", body, err)
	}
	for path, want := range map[string]string{
		"/other":   "redirected to this other host; add \"" + parse(t, other.URL).Host + "\" to server.allow_hosts",
		"/plain":   "only https:// is fetched",
		"/private": "redirected to this other host",
		"/loop":    "it redirected more than 5 times",
	} {
		_, err := get(t, strict, s.URL+path)
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if n := loops.Load(); n != 1+maxRedirects {
		t.Errorf("%d requests around the loop", n)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Where an authority was named for the update server, the system's do not
// vouch for it.
func TestOnlyTheNamedAuthorityVouchesForTheServer(t *testing.T) {
	pair := selfSigned(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	c := client(t, Config{CAFile: writeFile(t, ca)})
	only, system := x509.NewCertPool(), must(x509.SystemCertPool())
	only.AppendCertsFromPEM(ca)
	system.AppendCertsFromPEM(ca)
	if !c.server.TLSClientConfig.RootCAs.Equal(only) {
		t.Error("somebody else vouches for the update server")
	}
	if !c.others.TLSClientConfig.RootCAs.Equal(system) {
		t.Error("for others it should be the system's authorities and the named one")
	}
}

func TestClientCertificateGoesToTheServerAlone(t *testing.T) {
	pair := selfSigned(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile := writeFile(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	keyFile := writeFile(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	count := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, len(r.TLS.PeerCertificates)) }
	ask := func(s *httptest.Server) { s.TLS.ClientAuth = tls.RequestClientCert }
	s, other := serve(t, count, ask), serve(t, count, ask)
	c := client(t, Config{Server: parse(t, s.URL), CAFile: caFile(t, s), CertFile: certFile, KeyFile: keyFile, AllowPrivate: true})
	for target, want := range map[string]string{s.URL: "1", other.URL: "0"} {
		if got, err := get(t, c, target); err != nil || got != want {
			t.Errorf("%s got %q certificates, %v; want %s", target, got, err, want)
		}
	}
}

func TestEndOfContextStaysWhatItIs(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := client(t, Config{Server: parse(t, s.URL), CAFile: caFile(t, s)})
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	go cancel(cause)
	if _, err := c.Do(req); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nothing")
	seen := writeFile(t, []byte("t0ken"))
	if err := os.Chmod(seen, 0o640); err != nil {
		t.Fatal(err)
	}
	empty, big := writeFile(t, []byte(" \n")), writeFile(t, make([]byte, maxTokenFile+1))
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{CAFile: missing}, "server.ca_file: open " + missing},
		{Config{CAFile: empty}, "server.ca_file: " + empty + " holds no certificate; want PEM"},
		{Config{TokenFile: missing}, "server.token_file: open " + missing},
		{Config{TokenFile: empty}, "server.token_file: " + empty + " holds no token"},
		{Config{TokenFile: big}, "more than 4096 bytes"},
		{Config{TokenFile: seen}, "server.token_file: others may read " + seen + ": chmod 0600 " + seen},
		{Config{CertFile: empty, KeyFile: empty}, "the robot's certificate: "},
		{Config{Server: &url.URL{Scheme: "http", Host: "a"}}, "the update server's address: "},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

func TestStatus(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	resp := &http.Response{
		StatusCode: 429,
		Header:     http.Header{"Content-Type": {"application/problem+json; charset=utf-8"}, "Retry-After": {"90"}},
		Body:       io.NopCloser(strings.NewReader(`{"title":"slow down","detail":"100 downloads a day\u001b[31m\n` + strings.Repeat("x", 400) + `"}`)),
		Request:    &http.Request{URL: parse(t, "https://updates.example.org/v1/check")},
	}
	got := Status(resp, now).Error()
	want := "updates.example.org:443 answered 429 Too Many Requests: 100 downloads a day [31m xxx"
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "x… (try again in 1m30s)") || len(got) > 450 {
		t.Errorf("got %s", got)
	}
	for status, final := range map[int]bool{400: true, 401: true, 403: true, 404: true, 408: false, 410: true, 425: false, 429: false, 500: false, 502: false, 503: false} {
		if e := (&StatusError{Status: status}); e.Final() != final || e.Code() != fmt.Sprintf("http_%d", status) {
			t.Errorf("%d: final %v, code %s", status, e.Final(), e.Code())
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-5": 0, "soon": 0, "1.5": 0, strings.Repeat("9", 80): 0,
		"99999999999999999999": maxRetryAfter, "2147483647": maxRetryAfter,
		"Sun, 01 Mar 2026 12:01:00 GMT": time.Minute, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
		"Fri, 01 Jan 9999 00:00:00 GMT": maxRetryAfter,
	} {
		if got := RetryAfter(s, now); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
}

func TestLeaveAlone(t *testing.T) {
	for status, want := range map[int]time.Duration{429: time.Minute, 503: time.Minute, 500: 0, 404: 0} {
		if got := (&StatusError{Status: status, RetryAfter: time.Minute}).LeaveAlone(); got != want {
			t.Errorf("%d: %s", status, got)
		}
	}
}

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// serving is a server in this process.
type serving struct {
	*lab
	at   map[string]string // address of each listener
	stop context.CancelFunc
	end  chan int
	said *bufio.Reader
}

// serveHere starts a server with as many listeners beside the robots'.
func serveHere(t *testing.T, beside int, options ...string) *serving {
	t.Helper()
	l := &lab{dir: t.TempDir(), pool: x509.NewCertPool()}
	l.do(t, "dev-cert", "--dir", l.file("tls"))
	ca, err := os.ReadFile(l.file("tls/ca.pem"))
	if err != nil || !l.pool.AppendCertsFromPEM(ca) {
		t.Fatal("no authority", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	s := &serving{lab: l, at: map[string]string{}, stop: stop, end: make(chan int, 1), said: bufio.NewReader(r)}
	args := append([]string{"serve", "--data", l.file("data"), "--tls-cert", l.file("tls/server.pem"), "--tls-key", l.file("tls/server-key.pem"), "--listen", "127.0.0.1:0"}, options...)
	go func() { s.end <- run(ctx, args, w, io.Discard); w.Close() }()
	t.Cleanup(func() { stop(); <-s.end })
	for range beside + 1 {
		line, err := s.said.ReadString('\n')
		name, at, ok := strings.Cut(strings.TrimSpace(line), " on ")
		if err != nil || !ok {
			t.Fatalf("%q, %v", line, err)
		}
		s.at[name] = at
	}
	return s
}

// ended demands that it ends soon, and well.
func (s *serving) ended(t *testing.T) {
	t.Helper()
	began := time.Now()
	s.stop()
	code := <-s.end
	if s.end <- code; code != exitOK || time.Since(began) > drain {
		t.Errorf("exit code %d after %v", code, time.Since(began))
	}
}

// The dashboard over real TLS: log-in, a page that is followed, and an end that
// does not wait for who follows it.
func TestServeDashboard(t *testing.T) {
	t.Parallel()
	s := serveHere(t, 1, "--dashboard", "127.0.0.1:0")
	const word = "correct horse battery"
	if err := os.WriteFile(s.file("word"), []byte(word), 0o600); err != nil {
		t.Fatal(err)
	}
	s.do(t, "user", "add", "--data", s.file("data"), "--password-file", s.file("word"), "ben")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, proto := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pool}, ForceAttemptHTTP2: proto}
		t.Cleanup(tr.CloseIdleConnections)
		client := &http.Client{Transport: tr, Jar: jar}
		resp, err := client.PostForm(s.at["dashboard"]+"/login", url.Values{"name": {"ben"}, "password": {word}})
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(page), "ben (viewer)") {
			t.Fatalf("%s: %d %s, %v", name, resp.StatusCode, page, err)
		}
		live, err := client.Get(s.at["dashboard"] + "/live/")
		if err != nil {
			t.Fatal(err)
		}
		defer live.Body.Close()
		if line, err := bufio.NewReader(live.Body).ReadString('\n'); line != "event: content\n" {
			t.Fatalf("%s: %q, %v", name, line, err)
		}
	}
	// Robots' port knows no people, and people's no robots.
	if resp, _ := s.ask(t, "listening", "/login"); resp != http.StatusNotFound {
		t.Errorf("the dashboard on robots' port: %d", resp)
	}
	if resp, body := s.ask(t, "dashboard", "/v1/manifest"); resp == http.StatusOK && !strings.Contains(body, `action="/login"`) {
		t.Errorf("robots on people's port: %d %s", resp, body)
	}
	s.ended(t)
}

func (s *serving) ask(t *testing.T, name, path string) (int, string) {
	t.Helper()
	resp, err := s.client(t).Get(s.at[name] + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestServeWhatCannotListen(t *testing.T) {
	t.Parallel()
	l := &lab{dir: t.TempDir()}
	l.do(t, "dev-cert", "--dir", l.file("tls"))
	var said strings.Builder
	code := run(t.Context(), []string{"serve", "--data", l.file("data"), "--tls-cert", l.file("tls/server.pem"), "--tls-key", l.file("tls/server-key.pem"), "--listen", "127.0.0.1:0", "--dashboard", "nowhere:x"}, io.Discard, &said)
	if code != exitFailed || !strings.Contains(said.String(), "--dashboard nowhere:x: ") {
		t.Errorf("%d %s", code, said.String())
	}
}

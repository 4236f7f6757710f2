package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
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

// person is somebody before the dashboard.
type person struct {
	*http.Client
	at string
}

// person logs somebody in.
func (s *serving) person(t *testing.T, role string) person {
	t.Helper()
	const word = "correct horse battery"
	if err := os.WriteFile(s.file("word"), []byte(word), 0o600); err != nil {
		t.Fatal(err)
	}
	s.do(t, "user", "add", "--data", s.file("data"), "--role", role, "--password-file", s.file("word"), role)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := person{s.client(t), s.at["dashboard"]}
	p.Jar = jar
	if status, page := p.post(t, "/login", url.Values{"name": {role}, "password": {word}}); status != http.StatusOK || !strings.Contains(page, role+" ("+role+")") {
		t.Fatalf("%d %s", status, page)
	}
	return p
}

func (p person) post(t *testing.T, path string, form url.Values) (int, string) {
	t.Helper()
	resp, err := p.PostForm(p.at+path, form)
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

// order confirms one on the page of a rollout.
func (p person) order(t *testing.T, verb, reason string) (int, string) {
	t.Helper()
	resp, err := p.Get(p.at + "/rollouts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), `name="csrf" value="`)
	token, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("no token in %s", page)
	}
	return p.post(t, "/rollouts/standard-0.2.1/"+verb, url.Values{"csrf": {token}, "stage": {"internal"}, "reason": {reason}})
}

// A rollout is paused and halted on its page, through the real controller: from
// the next request on nobody gets the image. A viewer can do neither.
func TestSteerOnTheDashboard(t *testing.T) {
	t.Parallel()
	s := serveHere(t, 1, "--dashboard", "127.0.0.1:0", "--identity", "optional")
	if err := makeImages(s.dir); err != nil {
		t.Fatal(err)
	}
	data := s.file("data")
	s.do(t, "robot", "add", "--data", data, "--sku", "standard", "--internal", "--no-token", "r1")
	s.do(t, "publish", "--data", data, "--sku", "standard", "--key", s.file("pub.der"), s.file("0.2.1.bin"))
	s.do(t, "rollout", "start", "--data", data, "--reason", "the new one", "standard-0.2.1")
	signed, err := os.ReadFile(s.file("0.2.1.bin"))
	if err != nil {
		t.Fatal(err)
	}
	artifact := fmt.Sprintf("/v1/artifacts/%x", sha256.Sum256(signed))

	viewer, operator := s.person(t, "viewer"), s.person(t, "operator")
	if status, page := viewer.order(t, "halt", "because"); status != http.StatusForbidden || !strings.Contains(page, "Nothing was done.") {
		t.Errorf("a viewer: %d %s", status, page)
	}
	if status, page := operator.order(t, "pause", "lunch"); status != http.StatusOK || !strings.Contains(page, "paused by operator") {
		t.Errorf("paused: %d %s", status, page)
	}
	if status, page := operator.order(t, "promote", "lunch"); status != http.StatusConflict || !strings.Contains(page, "cannot be done") {
		t.Errorf("promoted, although it is paused: %d %s", status, page)
	}
	if status, _ := s.ask(t, "listening", artifact); status != http.StatusOK {
		t.Errorf("the image before: %d", status)
	}
	if status, page := operator.order(t, "halt", "wheels lock"); status != http.StatusOK || !strings.Contains(page, "halted by operator") || !strings.Contains(page, "/incidents/") {
		t.Errorf("halted: %d %s", status, page)
	}
	if status, _ := s.ask(t, "listening", artifact); status != http.StatusGone {
		t.Errorf("the image afterwards: %d", status)
	}
}

// Metrics on the loopback address for everybody on it, and with a token where it is asked for.
func TestServeMetrics(t *testing.T) {
	t.Parallel()
	s := serveHere(t, 1, "--metrics", "127.0.0.1:0", "--identity", "optional")
	if status, _ := s.ask(t, "listening", "/v1/check?sku=standard&version=0.1.0"); status != http.StatusNoContent {
		t.Fatalf("a check: %d", status)
	}
	if !strings.HasPrefix(s.at["metrics"], "http://127.0.0.1:") {
		t.Fatalf("at %q", s.at["metrics"])
	}
	// A request is counted after it was answered.
	const want = `ota_fleet_http_requests_total{code="204",method="GET",route="/v1/check"} 1`
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		status, text := s.ask(t, "metrics", "")
		if status == 200 && strings.Contains(text, want) && strings.Contains(text, "ota_fleet_store_up 1") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %s", status, text)
		}
	}
	s.ended(t)
}

func TestServeMetricsElsewhere(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef0123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveHere(t, 1, "--metrics", ":0", "--metrics-token-file", token)
	u, err := url.Parse(s.at["metrics"])
	if err != nil || u.Scheme != "https" {
		t.Fatal(s.at, err)
	}
	s.at["metrics"] = "https://127.0.0.1:" + u.Port() + u.Path
	if status, text := s.ask(t, "metrics", ""); status != http.StatusUnauthorized || strings.Contains(text, "ota_fleet_robots") {
		t.Errorf("without the token: %d %s", status, text)
	}
	s.url = s.at["metrics"]
	if resp, body := s.get(t, "", "Authorization: Bearer 0123456789abcdef0123"); resp.StatusCode != 200 || !strings.Contains(string(body), "ota_fleet_store_up 1") {
		t.Errorf("with it: %d %s", resp.StatusCode, body)
	}
}

func TestServeWhatCannotListen(t *testing.T) {
	t.Parallel()
	l := &lab{dir: t.TempDir()}
	l.do(t, "dev-cert", "--dir", l.file("tls"))
	if err := os.WriteFile(l.file("short"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, options := range map[string][]string{
		"--dashboard nowhere:x: ":               {"--dashboard", "nowhere:x"},
		"--metrics nowhere:x: ":                 {"--metrics", "nowhere:x"},
		"so it takes --metrics-token-file":      {"--metrics", ":0"},
		"--metrics-token-file: open ":           {"--metrics", ":0", "--metrics-token-file", l.file("missing")},
		"want a token of 16 to 1024 characters": {"--metrics", ":0", "--metrics-token-file", l.file("short")},
	} {
		var said strings.Builder
		args := append([]string{"serve", "--data", l.file("data"), "--tls-cert", l.file("tls/server.pem"), "--tls-key", l.file("tls/server-key.pem"), "--listen", "127.0.0.1:0"}, options...)
		if code := run(t.Context(), args, io.Discard, &said); code != exitFailed || !strings.Contains(said.String(), want) {
			t.Errorf("%v: %d %s", options, code, said.String())
		}
	}
}

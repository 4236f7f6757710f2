package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lab is a server process with its folder.
type lab struct {
	dir  string
	url  string
	cmd  *exec.Cmd
	log  *bytes.Buffer // read after the process has ended
	pool *x509.CertPool
}

// start makes certificates and images, publishes 0.2.0, and starts the server
// of a laboratory.
func start(t *testing.T, options ...string) *lab {
	t.Helper()
	l := prepare(t)
	l.serve(t, append([]string{"--identity", "optional"}, options...)...)
	return l
}

// prepare makes certificates, for robot r1 as well, and images, and publishes 0.2.0.
func prepare(t *testing.T) *lab {
	t.Helper()
	l := &lab{dir: t.TempDir(), log: &bytes.Buffer{}, pool: x509.NewCertPool()}
	if err := makeImages(l.dir); err != nil {
		t.Fatal(err)
	}
	l.do(t, "dev-cert", "--dir", l.file("tls"), "--robot", "r1")
	l.do(t, "publish", "--stable", "--data", l.file("data"), "--sku", "standard", "--key", l.file("pub.der"), l.file("0.2.0.bin"))
	ca, err := os.ReadFile(l.file("tls/ca.pem"))
	if err != nil || !l.pool.AppendCertsFromPEM(ca) {
		t.Fatal("no authority", err)
	}
	return l
}

// serve starts a server.
func (l *lab) serve(t *testing.T, options ...string) {
	t.Helper()
	args := []string{"serve", "--data", l.file("data"), "--tls-cert", l.file("tls/server.pem"), "--tls-key", l.file("tls/server-key.pem"), "--listen", "127.0.0.1:0"}
	l.cmd = exec.Command("ota-fleet", append(args, options...)...)
	l.cmd.Stderr = l.log
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.cmd.Process.Kill(); _ = l.cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("got %q, %v", line, err)
	}
	l.url = url
}

func (l *lab) file(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) do(t *testing.T, args ...string) {
	t.Helper()
	var out bytes.Buffer
	if code := run(t.Context(), args, &out, &out); code != exitOK {
		t.Fatalf("%v: %d\n%s", args, code, out.String())
	}
}

func (l *lab) client(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.pool}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

func (l *lab) get(t *testing.T, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", l.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := l.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// The whole of it, in a process of its own: check, download in ranges, publish
// beside the running server, end by SIGTERM.
func TestServe(t *testing.T) {
	t.Parallel()
	l := start(t)
	const question = "/v1/check?sku=standard&version=0.1.0&robot_id=robot-1"
	_, body := l.get(t, question)
	var o struct{ Version, URL, SHA256 string }
	if err := json.Unmarshal(body, &o); err != nil || o.Version != "0.2.0" || o.URL != l.url+"/v1/artifacts/"+o.SHA256 {
		t.Fatalf("got %s, %v", body, err)
	}

	l.do(t, "publish", "--stable", "--data", l.file("data"), "--sku", "standard", "--key", l.file("pub.der"), l.file("0.2.1.bin"))
	_, body = l.get(t, question)
	if err := json.Unmarshal(body, &o); err != nil || o.Version != "0.2.1" {
		t.Fatalf("after 0.2.1 was published: %s, %v", body, err)
	}
	want, err := os.ReadFile(l.file("0.2.1.bin"))
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(o.URL, l.url)
	if _, got := l.get(t, path); !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d", len(got), len(want))
	}
	resp, got := l.get(t, path, "Range: bytes=100000-", `If-Range: "`+o.SHA256+`"`)
	if resp.StatusCode != http.StatusPartialContent || !bytes.Equal(got, want[100_000:]) {
		t.Errorf("the rest: %d, %d bytes", resp.StatusCode, len(got))
	}
	if resp, _ := l.get(t, "/v1/check?sku=standard&version=0.2.1"); resp.StatusCode != http.StatusNoContent {
		t.Errorf("nothing newer: %d", resp.StatusCode)
	}
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Wait(); err != nil {
		t.Errorf("its end: %v\n%s", err, l.log)
	}
	if !strings.Contains(l.log.String(), "robot=robot-1") || !strings.Contains(l.log.String(), "msg=stopping") {
		t.Errorf("the log:\n%s", l.log)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	l := start(t)
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(l.url, "https://"), &tls.Config{RootCAs: l.pool, MinVersion: version, MaxVersion: version})
		if err == nil {
			conn.Close()
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	// Without TLS it answers nothing but that it wants TLS.
	resp, err := http.Get(strings.Replace(l.url, "https:", "http:", 1) + "/v1/manifest")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: %d", resp.StatusCode)
	}
}

// Too much from a client ends in a refusal, and the server goes on.
func TestRudeClients(t *testing.T) {
	t.Parallel()
	l := start(t)
	for name, request := range map[string]string{
		"huge header": "GET /v1/manifest HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"path trick":  "GET /v1/artifacts/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"no HTTP":     "\x16\x03\x01hello\r\n\r\n",
		"huge body":   "POST /v1/report HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + strings.Repeat("x", 1<<20),
		"two Hosts":   "GET /v1/manifest HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	} {
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{RootCAs: l.pool}}
		conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(l.url, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, request) // it may be cut off in the middle
		answer, _ := io.ReadAll(conn)
		conn.Close()
		status, _, _ := strings.Cut(string(answer), "\r\n")
		if bytes.Contains(answer, []byte("root:")) || strings.Contains(status, " 200 ") {
			t.Errorf("%s: %.200s", name, answer)
		}
	}
	if resp, _ := l.get(t, "/v1/manifest"); resp.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
}

// A transfer that goes on when the server is told to end is finished.
func TestGracefulEnd(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.do(t, "publish", "--stable", "--data", l.file("data"), "--sku", "standard", "--key", l.file("pub.der"), l.file("0.2.1.bin"))
	_, body := l.get(t, "/v1/check?sku=standard&version=0.1.0")
	var o struct{ URL string }
	if err := json.Unmarshal(body, &o); err != nil {
		t.Fatal(err)
	}
	resp, err := l.client(t).Get(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(resp.Body)
	if err != nil || int64(len(rest)+1000) != resp.ContentLength {
		t.Errorf("%d bytes of %d: %v", len(rest)+1000, resp.ContentLength, err)
	}
	if err := l.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, l.log)
	}
}

// The server in this process, for the coverage of its end.
func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l := &lab{dir: t.TempDir()}
	l.do(t, "dev-cert", "--dir", l.file("tls"))
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		code := run(ctx, []string{"serve", "--data", l.file("data"), "--tls-cert", l.file("tls/server.pem"), "--tls-key", l.file("tls/server-key.pem"), "--listen", "127.0.0.1:0", "--log-format", "json"}, w, io.Discard)
		if code != exitOK {
			t.Errorf("exit code %d", code)
		}
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "listening on https://127.0.0.1:") {
		t.Errorf("%q, %v", line, err)
	}
	cancel()
	wg.Wait()
}

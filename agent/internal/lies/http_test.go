package lies

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/updateserver"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// rawServer speaks TLS as it should, and then whatever it is told.
type rawServer struct {
	l     net.Listener
	wg    sync.WaitGroup
	mu    sync.Mutex
	speak func(net.Conn)
	asked int
}

func newRawServer(t *testing.T, cert tls.Certificate) *rawServer {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{l: l}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); s.wg.Wait() })
	return s
}

// serve answers one question and hangs up.
func (s *rawServer) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
		return
	}
	s.mu.Lock()
	speak := s.speak
	s.asked++
	s.mu.Unlock()
	speak(c)
}

func (s *rawServer) answers(speak func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.speak, s.asked = speak, 0
}

// head is a good beginning of an answer, and text what comes after it.
func head(text string) func(net.Conn) {
	return raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + text)
}

func raw(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) }
}

// forEver says something, and something else again and again.
func forEver(first, again string) func(net.Conn) {
	block := bytes.Repeat([]byte(again), max(1, 32<<10/len(again)))
	return func(c net.Conn) {
		_, err := io.WriteString(c, first)
		for err == nil {
			_, err = c.Write(block)
		}
	}
}

// to is a redirect.
func to(where string) func(net.Conn) {
	return raw("HTTP/1.1 302 Found\r\nLocation: " + where + "\r\nContent-Length: 0\r\n\r\n")
}

// mostMemory is what one answer may make the agent allocate, all in all.
const mostMemory = 24 << 20

// TestHostileAnswers: whatever comes through a good TLS connection in the place of
// an answer, check and download end with an error of their own, soon and without
// much memory.
func TestHostileAnswers(t *testing.T) {
	w := newWorld(t)
	file := w.good()
	s := newRawServer(t, w.ca.issue(t, "127.0.0.1", -1, 1))
	trap := newTrap(t)
	check, download := clients(t, w, s)
	told := 0
	for _, tt := range []struct {
		name  string
		speak func(net.Conn)
		check string // part of the error
		fetch string // the same of a download; "": the same
	}{
		{"nothing", raw(""), "EOF", ""},
		{"a length below zero", head("Content-Length: -1\r\n\r\n"), "bad Content-Length", ""},
		{"two lengths", head("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), "Content-Length", ""},
		{"a length that is no number", head("Content-Length: 0x10\r\n\r\n"), "bad Content-Length", ""},
		{"a length with a sign", head("Content-Length: +5\r\n\r\nhello"), "bad Content-Length", ""},
		{"length 2^31", head("Content-Length: 2147483648\r\n\r\n"), "EOF", "the server's file has 2147483648 bytes"},
		{"length 2^32 and the right one", head(fmt.Sprintf("Content-Length: %d\r\n\r\n", 1<<32+len(file))), "EOF", fmt.Sprintf("the server's file has %d bytes", 1<<32+len(file))},
		{"length 2^63-1", head("Content-Length: 9223372036854775807\r\n\r\n"), "EOF", "the server's file has 9223372036854775807 bytes"},
		{"length 2^63", head("Content-Length: 9223372036854775808\r\n\r\n"), "bad Content-Length", ""},
		{"length 2^64 and the right one", head("Content-Length: 18446744073709617288\r\n\r\n"), "bad Content-Length", ""},
		{"less than was announced", head(fmt.Sprintf("Content-Length: %d\r\n\r\nshort", len(file))), "EOF", "the server closed the connection"},
		{"no length, and less than offered", head("\r\nshort"), "no JSON", "the server closed the connection"},
		{"no length, and no end", forEver("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", " "), "longer than 65536 bytes", "the server sends more than the 65672 bytes"},
		{"chunks and a length", head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"), "no JSON", "the server closed the connection"},
		{"chunks of 2^64", head("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx"), "chunk", "chunk"},
		{"chunks below zero", head("Transfer-Encoding: chunked\r\n\r\n-1\r\nx"), "chunk", "chunk"},
		{"chunks of a byte, for ever", forEver("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"), "longer than 65536 bytes", "the server sends more than the 65672 bytes"},
		{"a chunk's extension without end", forEver("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1;", "a=b;"), "header line too long", ""},
		{"trailers without end", forEver("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n"), "trailer", "trailer"},
		{"an encoding of transfer that is no chunks", head("Transfer-Encoding: gzip\r\n\r\nx"), "unsupported transfer encoding", ""},
		{"two encodings of transfer", head("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"), "transfer encoding", ""},
		{"headers without end", forEver("HTTP/1.1 200 OK\r\n", "A: b\r\n"), "exceeded", ""},
		{"a header without end", forEver("HTTP/1.1 200 OK\r\nA: ", "b"), "exceeded", ""},
		{"a status without end", forEver("HTTP/1.1 200 ", "OK "), "exceeded", ""},
		{"continue, for ever", forEver("", "HTTP/1.1 100 Continue\r\n\r\n"), "exceeded", ""},
		{"early hints, for ever", forEver("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), "exceeded", ""},
		{"another protocol", raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), "101", ""},
		{"no HTTP", raw("220 mail.example ESMTP\r\n"), "malformed HTTP", ""},
		{"HTTP of another time", raw("HTTP/9.9 200 OK\r\n\r\n"), "application/json", "the server closed the connection"},
		{"a status that is none", raw("HTTP/1.1 20000 OK\r\n\r\n"), "malformed HTTP", ""},
		{"a status below zero", raw("HTTP/1.1 -20 OK\r\n\r\n"), "malformed HTTP", ""},
		{"a status of nobody's", raw("HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n"), "answered 299", ""},
		{"nothing changed", raw("HTTP/1.1 304 Not Modified\r\n\r\n"), "answered 304", ""},
		{"a name with a space", head("Content Length: 5\r\n\r\nhello"), "no JSON", "the server closed the connection"},
		{"a header with a NUL", head("X: a\x00b\r\n\r\n{}"), "malformed MIME header", ""},
		{"gzip", encoded("gzip"), "no JSON", `encoded ("gzip")`},
		{"deflate", encoded("deflate"), "no JSON", `encoded ("deflate")`},
		{"zstd", encoded("zstd"), "no JSON", `encoded ("zstd")`},
		{"br", encoded("br"), "no JSON", `encoded ("br")`},
		{"gzip twice", encoded("gzip, gzip"), "no JSON", `encoded ("gzip, gzip")`},
		{"none, and then gzip", encoded("identity\r\nContent-Encoding: gzip"), "no JSON", "encoded"},
		{"an empty one, and then gzip", encoded("\r\nContent-Encoding: gzip"), "no JSON", "encoded"},
		{"a part that nobody asked for", raw("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/5\r\nContent-Length: 5\r\n\r\nhello"), "answered 206", "a part although the whole was asked for"},
		{"nothing from there on", raw("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */9223372036854775807\r\nContent-Length: 0\r\n\r\n"), "answered 416", "the server has nothing from byte 0 on"},
		{"to the trap, by its address", to(trap.url("127.0.0.1")), "redirected to this other host", ""},
		{"to the trap, by its name", to(trap.url("localhost")), "redirected to this other host", ""},
		{"to the trap, by a number", to(trap.url("2130706433")), "redirected to this other host", ""},
		{"to the trap, without its scheme", to("//127.0.0.1:" + trap.port + "/"), "redirected to this other host", ""},
		{"to the trap, by back slashes", to(`https:\\127.0.0.1:` + trap.port + `\`), "", ""},
		{"to the trap, behind a user", to("https://updates@127.0.0.1:" + trap.port + "/"), "user name", ""},
		{"down from TLS", to("http://" + s.l.Addr().String() + "/"), "only https:// is fetched", ""},
		{"to a file", to("file:///etc/passwd"), "only https:// is fetched", ""},
		{"to a socket", to("unix:///run/robot-ota/agent.sock"), "only https:// is fetched", ""},
		{"to a word", to("javascript:alert(1)"), "only https:// is fetched", ""},
		{"to data", to("data:application/json,{}"), "only https:// is fetched", ""},
		{"to no host", to("https:///x"), "names no host", ""},
		{"to nothing", to(""), "302", ""},
		{"to a URL of 10,000 bytes", to("/" + strings.Repeat("x", 10_000)), "longer than 2048 bytes", ""},
		{"to itself, with control characters", to("/\x01\x1b[31m"), "", ""},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			for what, ask := range map[string]func() error{"check": check, "download": func() error { return download(file) }} {
				want := tt.check
				if what == "download" && tt.fetch != "" {
					want = tt.fetch
				}
				s.answers(tt.speak)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				began := time.Now()
				err := ask()
				took := time.Since(began)
				runtime.ReadMemStats(&after)
				told++
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want %q", what, err, want)
				}
				if err != nil && (len(err.Error()) > 3000 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' })) {
					t.Errorf("%s: the error repeats what came: %.200q…", what, err)
				}
				if used := after.TotalAlloc - before.TotalAlloc; used > mostMemory {
					t.Errorf("%s: %d bytes were allocated", what, used)
				}
				if took > 20*time.Second {
					t.Errorf("%s: it took %v", what, took)
				}
				if s.asked == 0 {
					t.Errorf("%s: nobody was asked", what)
				}
			}
		})
	}
	if n := trap.count(); n != 0 {
		t.Errorf("%d connections to where the robot may not go", n)
	}
	report(t, figures{Part: "lies: hostile answers over TLS", Points: told, Failures: failures(t)})
}

func failures(t *testing.T) int {
	if t.Failed() {
		return 1
	}
	return 0
}

// encoded is a small answer that says to be compressed, and would be large.
func encoded(how string) func(net.Conn) {
	return head("Content-Encoding: " + how + "\r\nContent-Length: 20\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03aaaaaaaaaa")
}

// clients are the agent's ways to ask a server.
func clients(t *testing.T, w *world, s *rawServer) (check func() error, download func(file []byte) error) {
	t.Helper()
	address := &url.URL{Scheme: "https", Host: s.l.Addr().String()}
	guard, err := httpguard.New(httpguard.Config{Server: address, CAFile: w.file(w.ca.pem)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guard.CloseIdleConnections)
	source := updateserver.New(updateserver.Config{URL: address, RobotID: robotID, SKU: "standard"}, guard)
	check = func() error {
		_, found, err := source.Check(t.Context(), compat.Version{Minor: 2})
		if err == nil && !found {
			return fmt.Errorf("it found nothing, and nothing wrong")
		}
		return err
	}
	download = func(file []byte) error {
		images, err := fetch.New(fetch.Config{Dir: t.TempDir(), Patience: 2 * time.Second, GiveUp: time.Millisecond}, guard, quiet)
		if err != nil {
			return err
		}
		_, _, err = images.Download(t.Context(), update.Offer{URL: address.String() + "/x", SHA256: sumOf(file), Size: int64(len(file))}, nil)
		return err
	}
	return check, download
}

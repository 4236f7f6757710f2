package hawkbit

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// serve puts the server behind TLS, and gives the guarded way to it.
func serve(t *testing.T, h http.Handler, scheme string) (*url.URL, *httpguard.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	guard, err := httpguard.New(httpguard.Config{
		Server: u, TokenScheme: scheme, TokenFile: write("token", []byte("s3cret\n")),
		CAFile: write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guard.CloseIdleConnections)
	return u, guard
}

func connect(t *testing.T, u *url.URL, guard HTTP) *Link {
	t.Helper()
	l, err := New(Config{Server: u, Tenant: "DEFAULT", Controller: "r1", StateDir: t.TempDir()},
		guard, robot.NewBoard(), update.New(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Over real TLS, with each kind of token, and a download that breaks off and
// goes on, though hawkBit answers a plain GET with 200 and a Content-Range and
// has an ETag without quotes.
func TestTokensAndResumedDownload(t *testing.T) {
	for _, scheme := range []string{"TargetToken", "GatewayToken"} {
		h := newHawk(&assignment{id: "3", version: "0.2.1"})
		h.file = bytes.Repeat([]byte("0123456789abcdef"), 20_000)
		h.token, h.cut = scheme+" s3cret", 1
		u, guard := serve(t, h, scheme)
		h.host = "https://" + u.Host
		l := connect(t, u, guard)
		o, ok, err := l.Check(t.Context(), version("0.2.0"))
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", scheme, ok, err)
		}
		images, err := fetch.New(fetch.Config{Dir: filepath.Join(t.TempDir(), "images")}, guard, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		sum, size, err := images.Download(t.Context(), o, nil)
		if err != nil || sum != digestOf(h.file) || size != int64(len(h.file)) {
			t.Fatalf("%s: %s, %d bytes, %v", scheme, sum, size, err)
		}
		if len(h.ranges) != 2 || h.ranges[0] != "" || !strings.HasPrefix(h.ranges[1], "bytes=") || h.ranges[1] == "bytes=0-" {
			t.Errorf("%s: asked for the ranges %q", scheme, h.ranges)
		}
	}
}

func TestWrongToken(t *testing.T) {
	h := newHawk()
	h.token = "TargetToken other"
	u, guard := serve(t, h, "TargetToken")
	_, ok, err := connect(t, u, guard).Check(t.Context(), version("0.2.0"))
	var s *httpguard.StatusError
	if ok || !errors.As(err, &s) || s.Status != 401 || !strings.HasPrefix(err.Error(), "ask the hawkBit server: ") {
		t.Errorf("got %v", err)
	}
}

// What answers there may be no hawkBit server at all.
func TestOtherServers(t *testing.T) {
	page := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut:
			http.Redirect(w, r, "/login", http.StatusFound)
		case r.URL.Path == "/login":
			_, _ = io.WriteString(w, "{}")
		case r.Header.Get("Accept") == "":
			w.WriteHeader(http.StatusNotAcceptable)
		default:
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>")
		}
	}
	u, guard := serve(t, http.HandlerFunc(page), "TargetToken")
	l := connect(t, u, guard)
	_, _, err := l.Check(t.Context(), version("0.2.0"))
	if err == nil || !strings.Contains(err.Error(), `it is of type "text/html" instead of JSON; is this the address of a hawkBit server?`) {
		t.Errorf("a web page: %v", err)
	}
	// A receipt that a page behind a redirect seems to give is none.
	err = l.client.send(t.Context(), http.MethodPut, l.client.at(relConfig), configData{})
	if err == nil || !strings.Contains(err.Error(), `it redirected a PUT to "/login"`) {
		t.Errorf("a redirect: %v", err)
	}
	long := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/hal+json")
		_, _ = w.Write(slices.Repeat([]byte(" "), maxRoot+1))
	}
	u, guard = serve(t, http.HandlerFunc(long), "TargetToken")
	_, _, err = connect(t, u, guard).Check(t.Context(), version("0.2.0"))
	if err == nil || !strings.Contains(err.Error(), "it is longer than 65536 bytes") {
		t.Errorf("an endless answer: %v", err)
	}
}

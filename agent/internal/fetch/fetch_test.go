package fetch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
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
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// content is a file of n bytes that differ from block to block.
func content(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8)*7 + byte(i) + seed
	}
	return b
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// server answers each request by the next of its handlers, the last one for
// ever, and keeps the requests.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func serve(t *testing.T, handlers ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		i := len(s.requests)
		s.requests = append(s.requests, r)
		s.mu.Unlock()
		handlers[min(i, len(handlers)-1)](w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// ranges are the Range and If-Range headers of the requests so far.
func (s *server) ranges() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, r := range s.requests {
		out = append(out, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
	}
	return out
}

func (s *server) caFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// client fetches from s through the real guard, and waits for nothing.
func (s *server) client(t *testing.T, cfg Config) *Client {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := httpguard.New(httpguard.Config{Server: u, CAFile: s.caFile(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guard.CloseIdleConnections)
	return newClient(t, cfg, guard)
}

func newClient(t *testing.T, cfg Config, h HTTP) *Client {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "downloads")
	}
	c, err := New(cfg, h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c.sleep = func(context.Context, time.Duration) error { return nil }
	return c
}

// full serves b whole and in ranges, as a good server does.
func full(b []byte, etag string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(b)))
	}
}

// cut serves the first n bytes of b as if all were to come.
func cut(b []byte, etag string, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		send(w, b[:n])
		panic(http.ErrAbortHandler)
	}
}

func send(w http.ResponseWriter, b []byte) {
	_, _ = w.Write(b)
	_ = http.NewResponseController(w).Flush()
}

// answerWith sends a status, headers given as "Name: value", and a body.
func answerWith(status int, body []byte, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		if len(body) > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestDownload(t *testing.T) {
	b := content(300_000, 1)
	s := serve(t, full(b, `"a"`))
	c := s.client(t, Config{})
	var last int64
	sum, size, err := c.Download(t.Context(), Offer{URL: s.URL, SHA256: hashOf(b), Size: int64(len(b))}, func(done, total int64) {
		if done <= last || total != int64(len(b)) {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	})
	if err != nil || sum != hashOf(b) || size != int64(len(b)) || last != size {
		t.Fatalf("got %s, %d, %v; progress up to %d", sum, size, err, last)
	}
	if got := names(t, c.cfg.Dir); !slices.Equal(got, []string{sum + unverifiedEnd}) {
		t.Errorf("in the store: %v", got)
	}
	info, err := os.Stat(c.cfg.Dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the store's mode: %v, %v", info.Mode(), err)
	}
	if r := s.requests[0]; r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get("Range") != "" {
		t.Errorf("headers %v", r.Header)
	}
	if _, _, err := c.Download(t.Context(), Offer{URL: s.URL + "/elsewhere", SHA256: sum}, nil); err != nil || len(s.requests) != 1 {
		t.Errorf("what is in the store is fetched again: %v, %d requests", err, len(s.requests))
	}
}

// Each row is a server that misbehaves; the download ends with the right bytes
// all the same, or with an error that says why not.
func TestMisbehavingServers(t *testing.T) {
	a, b := content(400_000, 1), content(400_000, 2)
	const half = 200_000
	rest := fmt.Sprintf("bytes=%d-", half)
	span := func(first, last, total int) string {
		return fmt.Sprintf("Content-Range: bytes %d-%d/%d", first, last, total)
	}
	for name, tt := range map[string]struct {
		offer    Offer
		handlers []http.HandlerFunc
		want     []byte
		ranges   []string
	}{
		"cut, goes on": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), full(a, `"a"`)},
			want:     a, ranges: []string{"", rest + ` "a"`},
		},
		"cut twice": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"a"`)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half, len(a)-1, len(a)))
				w.Header().Set("Content-Length", fmt.Sprint(half))
				w.WriteHeader(206)
				send(w, a[half:half+1000])
				panic(http.ErrAbortHandler)
			}, full(a, `"a"`)},
			want: a, ranges: []string{"", rest + ` "a"`, fmt.Sprintf(`bytes=%d- "a"`, half+1000)},
		},
		"without ETag, the SHA-256 known": {
			offer:    Offer{SHA256: hashOf(a)},
			handlers: []http.HandlerFunc{cut(a, "", half), full(a, "")},
			want:     a, ranges: []string{"", rest},
		},
		"without ETag and SHA-256: from the beginning": {
			handlers: []http.HandlerFunc{cut(a, "", half), full(a, "")},
			want:     a, ranges: []string{"", ""},
		},
		"weak ETag is none": {
			handlers: []http.HandlerFunc{cut(a, `W/"a"`, half), full(a, `W/"a"`)},
			want:     a, ranges: []string{"", ""},
		},
		"ETag without quotes, and 200 with Content-Range": {
			handlers: []http.HandlerFunc{
				func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(a)-1, len(a)))
					cut(a, "da39a3ee", half)(w, r)
				},
				answerWith(206, a[half:], "ETag: da39a3ee", span(half, len(a)-1, len(a))),
			},
			want: a, ranges: []string{"", rest + " da39a3ee"},
		},
		"ignores ranges": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), answerWith(200, a, `ETag: "a"`)},
			want:     a, ranges: []string{"", rest + ` "a"`},
		},
		"the file changed, noticed by the server": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), full(b, `"b"`)},
			want:     b, ranges: []string{"", rest + ` "a"`},
		},
		"the file changed, and the server sends the new rest": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), answerWith(206, b[half:], `ETag: "b"`, span(half, len(b)-1, len(b))), full(b, `"b"`)},
			want:     b, ranges: []string{"", rest + ` "a"`, ""},
		},
		"the file changed silently: the SHA-256 tells": {
			offer:    Offer{SHA256: hashOf(b)},
			handlers: []http.HandlerFunc{cut(a, "", half), answerWith(206, b[half:], span(half, len(b)-1, len(b))), full(b, "")},
			want:     b, ranges: []string{"", rest, ""},
		},
		"the file became longer": {
			handlers: []http.HandlerFunc{cut(a[:390_000], `"a"`, half), answerWith(206, a[half:], `ETag: "a"`, span(half, len(a)-1, len(a))), full(a, `"b"`)},
			want:     a, ranges: []string{"", rest + ` "a"`, ""},
		},
		"the file became shorter": {
			handlers: []http.HandlerFunc{cut(b, `"a"`, half), answerWith(206, a[half:300_000], `ETag: "a"`, span(half, 299_999, 300_000)), full(a[:300_000], `"b"`)},
			want:     a[:300_000], ranges: []string{"", rest + ` "a"`, ""},
		},
		"another range than asked for": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), answerWith(206, a[half-1:], `ETag: "a"`, span(half-1, len(a)-1, len(a))), full(a, `"a"`)},
			want:     a, ranges: []string{"", rest + ` "a"`, ""},
		},
		"Content-Range and Content-Length contradict each other": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), answerWith(206, a[half:], `ETag: "a"`, span(half, len(a)-2, len(a))), full(a, `"a"`)},
			want:     a, ranges: []string{"", rest + ` "a"`, ""},
		},
		"no Content-Range": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), answerWith(206, a[half:], `ETag: "a"`), full(a, `"a"`)},
			want:     a, ranges: []string{"", rest + ` "a"`, ""},
		},
		"multipart": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), answerWith(206, a[half:], "Content-Type: multipart/byteranges; boundary=x"), full(a, `"a"`)},
			want:     a, ranges: []string{"", rest + ` "a"`, ""},
		},
		"part of a file, unasked": {
			handlers: []http.HandlerFunc{answerWith(206, a, span(0, len(a)-1, len(a))), full(a, "")},
			want:     a, ranges: []string{"", ""},
		},
		"only pieces": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), answerWith(206, a[half:300_000], `ETag: "a"`, span(half, 299_999, len(a))), full(a, `"a"`)},
			want:     a, ranges: []string{"", rest + ` "a"`, `bytes=300000- "a"`},
		},
		"total unknown in the part": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), answerWith(206, a[half:], fmt.Sprintf("Content-Range: bytes %d-%d/*", half, len(a)-1))},
			want:     a, ranges: []string{"", rest + ` "a"`},
		},
		"416 without reason": {
			handlers: []http.HandlerFunc{cut(a, `"a"`, half), answerWith(416, nil, "Content-Range: bytes */1000"), full(a, `"a"`)},
			want:     a, ranges: []string{"", rest + ` "a"`, ""},
		},
		"errors, then fine": {
			handlers: []http.HandlerFunc{answerWith(500, nil), answerWith(502, nil), answerWith(503, nil, "Retry-After: 7"), answerWith(429, nil), answerWith(408, nil), full(a, `"a"`)},
			want:     a, ranges: []string{"", "", "", "", "", ""},
		},
		"no length, but the offer knows": {
			offer: Offer{Size: int64(len(a))},
			handlers: []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
				send(w, a[:half])
				send(w, a[half:])
			}},
			want: a, ranges: []string{""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tt.handlers...)
			c := s.client(t, Config{})
			tt.offer.URL = s.URL
			sum, _, err := c.Download(t.Context(), tt.offer, nil)
			if err != nil || sum != hashOf(tt.want) {
				t.Errorf("got %s, %v; want %s", sum, err, hashOf(tt.want))
			}
			if got := s.ranges(); !slices.Equal(got, tt.ranges) {
				t.Errorf("requests %q, want %q", got, tt.ranges)
			}
			stored, err := os.ReadFile(filepath.Join(c.cfg.Dir, sum+unverifiedEnd))
			if err != nil || hashOf(stored) != hashOf(tt.want) {
				t.Errorf("stored %d bytes, %v", len(stored), err)
			}
		})
	}
}

func TestRefusedDownloads(t *testing.T) {
	a := content(400_000, 1)
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(a); err != nil {
				return
			}
		}
	}
	for name, tt := range map[string]struct {
		offer   Offer
		handler http.HandlerFunc
		cfg     Config
		code    string
		text    string
		kept    bool // what is held, for another time
	}{
		"endless data":             {Offer{Size: 1000}, endless, Config{}, "endless_data", "the server sends more than the 1000 bytes it announced", false},
		"no size at all":           {Offer{}, endless, Config{}, "size_unknown", "neither the offer nor the server says how large the image is", false},
		"another size":             {Offer{Size: 399_999}, full(a, ""), Config{}, "size_mismatch", "the server's file has 400000 bytes, offered were 399999", false},
		"too large":                {Offer{}, full(a, ""), Config{MaxSize: 399_999}, "too_large", "the server's file has 400000 bytes, more than the 399999", false},
		"too large by its header":  {Offer{}, answerWith(200, nil, "Content-Length: 4294967297"), Config{}, "too_large", "has 4294967297 bytes", false},
		"empty":                    {Offer{}, answerWith(200, nil), Config{}, "size_mismatch", "the server's file is empty", false},
		"offer too large":          {Offer{Size: 1 << 40}, full(a, ""), Config{}, "too_large", "the offered file has 1099511627776 bytes", false},
		"offer negative":           {Offer{Size: -1}, full(a, ""), Config{}, "bad_offer", "negative", false},
		"offer's hash":             {Offer{SHA256: "../../etc/passwd"}, full(a, ""), Config{}, "bad_offer", "64 lower-case hex digits", false},
		"gzip":                     {Offer{}, answerWith(200, a, "Content-Encoding: gzip"), Config{}, "encoded", `encoded ("gzip")`, false},
		"gzip, said after nothing": {Offer{}, twoEncodings(a), Config{}, "encoded", `encoded ("identity, gzip")`, false},
		"another file":             {Offer{SHA256: strings.Repeat("0", 64)}, full(a, ""), Config{}, "file_hash", "offered was 0000", false},
		"not there": {Offer{}, answerWith(404, []byte(`{"detail":"no such artifact"}`), "Content-Type: application/problem+json"), Config{}, "http_404",
			"answered 404 Not Found: no such artifact", true},
		"forbidden":       {Offer{}, answerWith(403, nil), Config{}, "http_403", "answered 403 Forbidden", true},
		"redirected away": {Offer{}, answerWith(302, nil, "Location: https://other.example/"), Config{}, "url_refused", "redirected to this other host", true},
		"without TLS":     {Offer{}, answerWith(302, nil, "Location: http://127.0.0.1/"), Config{}, "url_refused", "only https:// is fetched", true},
		"in circles":      {Offer{}, answerWith(302, nil, "Location: /"), Config{}, "url_refused", "redirected more than 5 times", true},
		"patience asked for": {Offer{}, answerWith(429, nil, "Retry-After: 86400"), Config{}, "http_429",
			"gave up after 1 try and 0s without progress: ", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tt.handler)
			c := s.client(t, tt.cfg)
			tt.offer.URL = s.URL
			_, _, err := c.Download(t.Context(), tt.offer, nil)
			if err == nil || codeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v (%s), want %s: %s", err, codeOf(err), tt.code, tt.text)
			}
			if left := names(t, c.cfg.Dir); !tt.kept && len(left) != 0 {
				t.Errorf("left in the store: %v", left)
			}
		})
	}
}

func TestRefusedURLs(t *testing.T) {
	c := newClient(t, Config{}, nobody{t})
	for url, want := range map[string]string{
		"":                      "the image's URL cannot be read: want https://host/path",
		"updates.example.org/x": "the image's URL cannot be read: want https://host/path",
		"https://a b/":          "the image's URL cannot be read: want https://host/path",
		"http://a.example/x":    `images are fetched over https:// only, not "http://"`,
		"ftp://a.example/x":     `images are fetched over https:// only, not "ftp://"`,
	} {
		_, _, err := c.Download(t.Context(), Offer{URL: url}, nil)
		if err == nil || err.Error() != want || codeOf(err) != "url_refused" {
			t.Errorf("%q: got %v, want %s", url, err, want)
		}
	}
}

// nobody is not to be asked.
type nobody struct{ t *testing.T }

func (n nobody) Do(*http.Request) (*http.Response, error) {
	n.t.Error("a request was made")
	return nil, io.EOF
}

func codeOf(err error) string {
	var coded interface{ Code() string }
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return ""
}

// A server that trickles is left for another try.
func TestSlowRetrieval(t *testing.T) {
	a := content(100_000, 1)
	trickle := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(a)))
		for i := 0; i < len(a) && r.Context().Err() == nil; i += 10 {
			send(w, a[i:i+10])
			select {
			case <-time.After(5 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
	}
	s := serve(t, trickle, full(a, `"a"`))
	c := s.client(t, Config{MinSpeed: 10_000, Patience: 200 * time.Millisecond})
	sum, _, err := c.Download(t.Context(), Offer{URL: s.URL}, nil)
	if err != nil || sum != hashOf(a) {
		t.Errorf("got %s, %v", sum, err)
	}
	if got := s.ranges(); len(got) != 2 || !strings.HasSuffix(got[1], ` "a"`) {
		t.Errorf("requests %q", got)
	}
}

var signer = func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}()

func keyring(t *testing.T) func() image.Keyring {
	t.Helper()
	k, err := image.NewKey(&signer.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return func() image.Keyring { return image.NewKeyring(k) }
}

func signed(t *testing.T, o imagetest.Options) []byte {
	t.Helper()
	b, err := image.Sign(imagetest.App(o), signer)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// twoEncodings says of a body first that it is not encoded, and then that it is.
func twoEncodings(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Encoding"] = []string{"identity", "gzip"}
		full(body, "")(w, r)
	}
}

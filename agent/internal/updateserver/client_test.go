package updateserver

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var running = compat.Version{Minor: 2}

// good is the answer of a good server, as a JSON object.
func good() map[string]any {
	return map[string]any{
		"version": "0.2.1", "url": "https://cdn.example.org/v1/artifacts/x", "sha256": strings.Repeat("0a", 32),
		"size": 1_400_000, "protocol": 1, "release": "standard-0.2.1",
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// memory answers every request, and allows the hosts of cdn.example.org.
type memory struct {
	status  int
	kind    string
	body    string
	headers map[string]string
	asked   *http.Request
}

func (m *memory) Do(r *http.Request) (*http.Response, error) {
	m.asked = r
	if m.status == 0 {
		m.status = 200
	}
	if m.kind == "" {
		m.kind = "application/json"
	}
	resp := &http.Response{StatusCode: m.status, Header: http.Header{"Content-Type": {m.kind}}, Body: io.NopCloser(strings.NewReader(m.body)), Request: r}
	for k, v := range m.headers {
		resp.Header.Set(k, v)
	}
	return resp, nil
}

func (m *memory) Allow(u *url.URL) error {
	if u.Scheme != "https" || u.Host != "cdn.example.org" {
		return &httpguard.RefusedError{Host: u.Host, Reason: "not allowed"}
	}
	return nil
}

func client(h HTTP) *Client {
	return New(Config{
		URL:     &url.URL{Scheme: "https", Host: "updates.example.org", Path: "/ota/"},
		RobotID: "robot-001", SKU: "standard",
	}, h)
}

func TestCheck(t *testing.T) {
	m := &memory{body: encode(t, good())}
	got, ok, err := client(m).Check(t.Context(), running)
	want := update.Offer{
		Version: compat.Version{Minor: 2, Patch: 1}, URL: "https://cdn.example.org/v1/artifacts/x",
		SHA256: strings.Repeat("0a", 32), Size: 1_400_000, Protocol: 1, Release: "standard-0.2.1",
	}
	if err != nil || !ok || got != want {
		t.Errorf("got %+v, %v, %v", got, ok, err)
	}
	if u := m.asked.URL.String(); u != "https://updates.example.org/ota/v1/check?robot_id=robot-001&sku=standard&version=0.2.0" {
		t.Errorf("asked %s", u)
	}
	if m.asked.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("headers %v", m.asked.Header)
	}
	c := client(m)
	c.cfg.Companion = compat.Version{Major: 1}
	if _, _, err := c.Check(t.Context(), running); err != nil || !strings.Contains(m.asked.URL.RawQuery, "companion=1.0.0") {
		t.Errorf("asked %s, %v", m.asked.URL, err)
	}
}

func TestNothingNewer(t *testing.T) {
	for name, m := range map[string]*memory{
		"204":           {status: 204},
		"what runs now": {body: encode(t, with("version", "0.2.0"))},
	} {
		if _, ok, err := client(m).Check(t.Context(), running); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

func with(field string, value any) map[string]any {
	g := maps.Clone(good())
	if value == nil {
		delete(g, field)
	} else {
		g[field] = value
	}
	return g
}

func TestRefusedAnswers(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for body, want := range map[string]string{
		encode(t, with("version", "0.1.9")):                                                   "it offers 0.1.9, which is older than the running 0.2.0 (roll-back attack",
		encode(t, with("version", nil)):                                                       `it has no "version"`,
		encode(t, with("version", "")):                                                        "it names no version",
		encode(t, with("version", "latest")):                                                  `"version" cannot be read`,
		encode(t, with("version", 2)):                                                         `"version" cannot be read`,
		encode(t, with("url", nil)):                                                           `it has no "url"`,
		encode(t, with("url", "")):                                                            "its url is no URL",
		encode(t, with("url", "https://cdn.example.org/"+long)):                               "its url is no URL of 1 to 2048",
		encode(t, with("url", "https://cdn.example.org/\n")):                                  "its url is no URL",
		encode(t, with("url", "http://cdn.example.org/")):                                     "refused to ask cdn.example.org: not allowed",
		encode(t, with("url", "https://evil.example/")):                                       "refused to ask evil.example: not allowed",
		encode(t, with("url", "https://[::1")):                                                "its url cannot be read",
		encode(t, with("sha256", nil)):                                                        `it has no "sha256"`,
		encode(t, with("sha256", "")):                                                         "its sha256 is not 64 lower-case hex digits",
		encode(t, with("sha256", strings.Repeat("0A", 32))):                                   "its sha256 is not 64 lower-case hex digits",
		encode(t, with("size", 136)):                                                          "its size of 136 bytes is not between 137 and 16777352",
		encode(t, with("size", 1<<32)):                                                        "is not between",
		encode(t, with("size", -5)):                                                           "is not between",
		encode(t, with("size", 1.5)):                                                          `"size" cannot be read`,
		encode(t, with("protocol", 256)):                                                      `"protocol" cannot be read`,
		encode(t, with("protocol", nil)):                                                      `it has no "protocol"`,
		encode(t, with("release", long)):                                                      "its release is longer than 128 bytes",
		encode(t, with("release", "a\u001b[31m")):                                             "not printable",
		strings.Replace(encode(t, good()), "{", `{"url":"https://evil.example/",`, 1):         `it names "url" twice`,
		strings.Replace(encode(t, good()), `"url"`, `"URL"`, 1):                               `it has no "url"`,
		strings.Replace(encode(t, good()), `"release":"standard-0.2.1"`, `"release":null`, 1): `it has no "release"`,
		encode(t, good()) + "{}":                                                              "something follows its JSON object",
		"":                                                                                    "it is no JSON object",
		"[]":                                                                                  "it is no JSON object",
		"null":                                                                                "it is no JSON object",
		`{"version":`:                                                                         "it is no JSON",
		`{"version":"0.2.1"`:                                                                  "it is no whole JSON object",
		strings.Repeat(" ", maxBody) + encode(t, good()):                                      "it is longer than 65536 bytes",
		`{"x":` + strings.Repeat("[", 20_000):                                                 "it is no JSON",
	} {
		_, ok, err := client(&memory{body: body}).Check(t.Context(), running)
		var answer *AnswerError
		if ok || !errors.As(err, &answer) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "the update server's answer is refused: ") {
			t.Errorf("%.120s:\n got %v\nwant %s", body, err, want)
		}
	}
	_, _, err := client(&memory{kind: "text/html", body: "<html>"}).Check(t.Context(), running)
	if err == nil || !strings.Contains(err.Error(), `it is of type "text/html" instead of application/json; is this the update server's address?`) {
		t.Errorf("a web page: %v", err)
	}
}

func TestUnknownFieldsArePassedOver(t *testing.T) {
	_, ok, err := client(&memory{body: encode(t, with("rollout", map[string]any{"stage": "canary", "url": 1}))}).Check(t.Context(), running)
	if !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestServerSaysNo(t *testing.T) {
	m := &memory{status: 429, kind: "application/problem+json", body: `{"title":"Too Many Requests","detail":"ask every 6 hours"}`,
		headers: map[string]string{"Retry-After": "3600"}}
	_, ok, err := client(m).Check(t.Context(), running)
	var status *httpguard.StatusError
	if ok || !errors.As(err, &status) || status.RetryAfter != time.Hour {
		t.Fatalf("got %v", err)
	}
	want := "ask the update server: updates.example.org:443 answered 429 Too Many Requests: ask every 6 hours (try again in 1h0m0s)"
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// hanging never answers.
type hanging struct{ memory }

func (*hanging) Do(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestServerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, ok, err := client(&hanging{}).Check(t.Context(), running)
		if ok || err == nil || time.Since(start) != timeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// trickling gives a byte now and then, for ever.
type trickling struct {
	memory
}

type drip struct{ r *http.Request }

func (d drip) Read(b []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		b[0] = ' '
		return 1, nil
	case <-d.r.Context().Done():
		return 0, d.r.Context().Err()
	}
}

func (drip) Close() error { return nil }

func (*trickling) Do(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: drip{r}, Request: r}, nil
}

func TestServerTrickles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, err := client(&trickling{}).Check(t.Context(), running)
		want := "ask the update server: cannot reach the server updates.example.org: no answer within 1m0s; check the network, the server's address and that it is running"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}

// Over TLS, through the real guard.
func TestRealServer(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, encode(t, with("url", "https://"+r.Host+"/v1/artifacts/x")))
	}))
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := httpguard.New(httpguard.Config{Server: u, CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer guard.CloseIdleConnections()
	if _, ok, err := New(Config{URL: u, SKU: "basic", RobotID: "r"}, guard).Check(t.Context(), running); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	s.Close()
	_, _, err = New(Config{URL: u, SKU: "basic", RobotID: "r"}, guard).Check(t.Context(), running)
	want := "ask the update server: cannot reach the server " + u.Host + ": dial tcp " + u.Host + ": connect: connection refused; check the network, the server's address and that it is running"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func FuzzOffer(f *testing.F) {
	b, err := json.Marshal(good())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":"0.2.1","version":"0.2.2"}`))
	f.Add([]byte(`{"size":9223372036854775808}`))
	withPatch := good()
	withPatch["patch"] = goodPatch()
	if b, err = json.Marshal(withPatch); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 1 << 24
		o, err := parseOffer(b, most)
		if err != nil {
			return
		}
		if o.Version.IsZero() || o.Size <= 0 || o.Size > most || len(o.SHA256) != 64 || o.URL == "" || len(o.URL) > maxURL || strings.ContainsAny(o.URL+o.Release, "\r\n\x00") {
			t.Errorf("%q: %+v", b, o)
		}
		p, err := parsePatch(b, o)
		if err == nil && p != (update.Patch{}) && (p.Size <= 0 || p.Size >= o.Size || len(p.SHA256) != 64 || len(p.From) != 64 || p.URL == "" || strings.ContainsAny(p.URL, "\r\n\x00")) {
			t.Errorf("%q: %+v", b, p)
		}
	})
}

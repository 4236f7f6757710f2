package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
)

// memory is a store of releases whose files all hold content.
type memory struct {
	releases []release.Release
	err      error
	opened   string
	keyrings []keyring.Document
	lost     error // of the keyring
}

func (m *memory) Releases(context.Context) ([]release.Release, error) { return m.releases, m.err }

func (m *memory) Keyrings(context.Context) ([]keyring.Document, error) { return m.keyrings, m.lost }

type readSeekCloser struct{ *bytes.Reader }

func (readSeekCloser) Close() error { return nil }

func (m *memory) OpenArtifact(_ context.Context, sum string) (io.ReadSeekCloser, error) {
	m.opened = sum
	if sum == goneSum {
		return nil, errors.New("input/output error on /var/lib/x")
	}
	return readSeekCloser{bytes.NewReader(content)}, nil
}

var (
	content = bytes.Repeat([]byte("0123456789"), 100)
	sum     = strings.Repeat("0a", 32)
	goneSum = strings.Repeat("0b", 32)
)

func of(sku, version, sum string) release.Release {
	v, err := compat.ParseVersion(version)
	if err != nil {
		panic(err)
	}
	return release.Release{
		SKU: sku, Version: v, SHA256: sum, Size: int64(len(content)), Protocol: 1, Name: sku + "-" + version, Status: release.Stable,
		Published: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

func stocked() *memory {
	return &memory{releases: []release.Release{
		of("standard", "0.1.9", strings.Repeat("0c", 32)), of("standard", "0.2.1", sum), of("basic", "0.2.0", goneSum),
	}}
}

// ask sends a request to the handler; headers as "Name: value".
func ask(h http.Handler, method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "updates.example.org:8443"
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func handler(m *memory, public string) http.Handler {
	var cfg Config
	if public != "" {
		cfg.PublicURL, _ = url.Parse(public)
	}
	return New(cfg, m, slog.New(slog.DiscardHandler))
}

// isProblem checks an error's form.
func isProblem(t *testing.T, w *httptest.ResponseRecorder, status int, detail string) {
	t.Helper()
	var p problem
	err := json.Unmarshal(w.Body.Bytes(), &p)
	h := w.Header()
	if err != nil || w.Code != status || p.Status != status || p.Title != http.StatusText(status) || !strings.Contains(p.Detail, detail) ||
		h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %v %s; want %d %q", w.Code, h, w.Body, status, detail)
	}
}

func TestCheck(t *testing.T) {
	h := handler(stocked(), "")
	for query, want := range map[string]string{
		"sku=standard&version=0.2.0":                      "0.2.1",
		"sku=standard&version=v0.1.0&robot_id=robot-1&x=": "0.2.1",
		"sku=standard&version=0.2.1":                      "",
		"sku=standard&version=1.0.0":                      "", // never below what runs
		"sku=industrial&version=0.1.0":                    "", // nothing published yet
	} {
		w := ask(h, "GET", "/v1/check?"+query)
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", query, w.Header())
		}
		if want == "" {
			if w.Code != http.StatusNoContent || w.Body.Len() != 0 {
				t.Errorf("%s: got %d %s", query, w.Code, w.Body)
			}
			continue
		}
		exp := fmt.Sprintf(`{"version":"%s","url":"https://updates.example.org:8443/v1/artifacts/%s","sha256":"%s","size":1000,"protocol":1,"release":"standard-%s"}`+"\n", want, sum, sum, want)
		if w.Code != http.StatusOK || w.Body.String() != exp || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: got %d %s\nwant %s", query, w.Code, w.Body, exp)
		}
	}
	w := ask(handler(stocked(), "https://cdn.example.org/ota/"), "GET", "/v1/check?sku=standard&version=0.2.0")
	if !strings.Contains(w.Body.String(), `"url":"https://cdn.example.org/ota/v1/artifacts/`+sum) {
		t.Errorf("with a public address: %s", w.Body)
	}
}

func TestBadChecks(t *testing.T) {
	h := handler(stocked(), "")
	for query, want := range map[string]struct {
		status int
		detail string
	}{
		"":                                          {400, "sku is missing: want one of basic, industrial, standard"},
		"sku=standard":                              {400, "version: not a version"},
		"sku=standard&version=latest":               {400, "version: not a version"},
		"sku=standard&version=0.0.0":                {400, "version: not a version"},
		"sku=standard&version=0.2.1-rc1":            {400, "version: not a version"},
		"sku=deluxe&version=0.2.0":                  {404, `unknown sku "deluxe": want one of basic, industrial, standard`},
		"sku=..%2F..%2Fetc&version=0.2.0":           {404, "unknown sku"},
		"sku=basic&sku=standard&version=0.2.0":      {400, "sku is given twice"},
		"sku=standard&version=0.2.0&version=1":      {400, "version is given twice"},
		"sku=standard&version=0.2.0&robot_id=a%20b": {400, "robot_id: want 1 to 64 letters"},
		"sku=standard&version=0.2.0&robot_id=" + strings.Repeat("x", 65): {400, "robot_id: want 1 to 64 letters"},
		"sku=standard&version=0.2.0&robot_id=x%0d%0aSet-Cookie:":         {400, "robot_id: want 1 to 64 letters"},
		"sku=%zz":                    {400, "the query cannot be read"},
		"sku=standard;version=0.2.0": {400, "the query cannot be read"},
		"sku=standard&version=0.2.0&x=" + strings.Repeat("x", 1024): {400, "the query is longer than 1024 bytes"},
	} {
		isProblem(t, ask(h, "GET", "/v1/check?"+query), want.status, want.detail)
	}
}

// The Host header goes into the answer only where it is one.
func TestForgedHost(t *testing.T) {
	h := handler(stocked(), "")
	for _, host := range []string{"", "a/b", "user@evil.example", "a b", "evil.example?x=", "[::1", "a:b"} {
		r := httptest.NewRequest("GET", "/v1/check?sku=standard&version=0.2.0", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		isProblem(t, w, 400, "the Host header")
	}
}

func TestManifest(t *testing.T) {
	for public, cache := range map[string]string{"": "no-store", "https://cdn.example.org": "public, max-age=60"} {
		w := ask(handler(stocked(), public), "GET", "/v1/manifest")
		var got struct{ SKUs map[string]offer }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.SKUs) != 2 || got.SKUs["standard"].Release != "standard-0.2.1" || got.SKUs["basic"].SHA256 != goneSum || w.Header().Get("Cache-Control") != cache {
			t.Errorf("got %+v, %v", got, w.Header())
		}
	}
}

func TestArtifact(t *testing.T) {
	path := "/v1/artifacts/" + sum
	tag := `"` + sum + `"`
	for name, tt := range map[string]struct {
		method  string
		headers []string
		status  int
		from    int
		to      int
		rng     string
	}{
		"all":                {"GET", nil, 200, 0, 1000, ""},
		"head":               {"HEAD", nil, 200, 0, 0, ""},
		"from the middle":    {"GET", []string{"Range: bytes=400-"}, 206, 400, 1000, "bytes 400-999/1000"},
		"a piece":            {"GET", []string{"Range: bytes=400-499"}, 206, 400, 500, "bytes 400-499/1000"},
		"the end":            {"GET", []string{"Range: bytes=-10"}, 206, 990, 1000, "bytes 990-999/1000"},
		"If-Range, the same": {"GET", []string{"Range: bytes=400-", "If-Range: " + tag}, 206, 400, 1000, "bytes 400-999/1000"},
		"If-Range, another":  {"GET", []string{"Range: bytes=400-", `If-Range: "other"`}, 200, 0, 1000, ""},
		"If-None-Match":      {"GET", []string{"If-None-Match: " + tag}, 304, 0, 0, ""},
		"If-Match, another":  {"GET", []string{`If-Match: "other"`}, 412, 0, 0, ""},
	} {
		w := ask(handler(stocked(), ""), tt.method, path, tt.headers...)
		if w.Code != tt.status || w.Body.String() != string(content[tt.from:tt.to]) || w.Header().Get("Content-Range") != tt.rng {
			t.Errorf("%s: got %d, %d bytes, %v", name, w.Code, w.Body.Len(), w.Header())
		}
		h := w.Header()
		if h.Get("ETag") != tag || h.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %v", name, h)
		}
		if tt.status == 200 && (h.Get("Content-Length") != "1000" || h.Get("Accept-Ranges") != "bytes" || h.Get("Content-Type") != "application/octet-stream") {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestRefusedRanges(t *testing.T) {
	path := "/v1/artifacts/" + sum
	for _, tt := range []struct {
		headers []string
		detail  string
	}{
		{[]string{"Range: bytes=0-1,4-5"}, "one range at a time"},
		{[]string{"Range: bytes=0-1", "Range: bytes=4-5"}, "one range at a time"},
		{[]string{"Range: bytes=1000-"}, "the range lies outside the artifact"},
		{[]string{"Range: bytes=99999999999999999999-"}, "the range lies outside the artifact"},
		{[]string{"Range: lines=1-2"}, "the range lies outside the artifact"},
	} {
		w := ask(handler(stocked(), ""), "GET", path, tt.headers...)
		isProblem(t, w, 416, tt.detail)
		if w.Header().Get("ETag") != "" || tt.detail[0] == 'o' && w.Header().Get("Content-Range") != "bytes */1000" {
			t.Errorf("%v: %v", tt.headers, w.Header())
		}
	}
}

func TestNoSuchThing(t *testing.T) {
	for _, path := range []string{
		"/", "/v1", "/v2/check", "/v1/check/", "/v1/artifacts/", "/v1/artifacts/" + strings.Repeat("0", 64),
		"/v1/artifacts/" + strings.ToUpper(sum), "/v1/artifacts/..%2F..%2Freleases.json", "/v1/artifacts/%2e%2e%2freleases.json",
		"/v1/artifacts/" + sum + "/x", "/v1/artifacts/" + sum + "%00", "/v1/artifacts/C:%5Cx",
	} {
		m := stocked()
		isProblem(t, ask(handler(m, ""), "GET", path), 404, "")
		if m.opened != "" {
			t.Errorf("%s opened %q", path, m.opened)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		w := ask(handler(stocked(), ""), method, "/v1/check")
		isProblem(t, w, 405, method+" is not possible here")
		if w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%v", w.Header())
		}
	}
}

// What is wrong inside is logged, not told.
func TestInnerErrors(t *testing.T) {
	var log bytes.Buffer
	broken := New(Config{}, &memory{err: errors.New("secret path /srv/x")}, slog.New(slog.NewTextHandler(&log, nil)))
	for _, target := range []string{"/v1/check?sku=basic&version=0.1.0", "/v1/manifest", "/v1/artifacts/" + sum} {
		w := ask(broken, "GET", target)
		isProblem(t, w, 500, "")
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("told: %s", w.Body)
		}
	}
	if n := strings.Count(log.String(), `err="secret path /srv/x"`); n != 3 {
		t.Errorf("logged %d times: %s", n, log.String())
	}
	isProblem(t, ask(handler(stocked(), ""), "GET", "/v1/artifacts/"+goneSum), 404, "no such artifact")
}

func TestLogLine(t *testing.T) {
	var log bytes.Buffer
	h := New(Config{}, stocked(), slog.New(slog.NewTextHandler(&log, nil)))
	ask(h, "GET", "/v1/check?sku=basic&version=0.1.0&robot_id=x%0aforged"+strings.Repeat("y", 200))
	ask(h, "GET", "/v1/artifacts/"+sum)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `robot="x\nforged`) || len(lines[0]) > 400 || !strings.Contains(lines[1], "status=200 bytes=1000") {
		t.Errorf("%s", log.String())
	}
}

func FuzzQuestion(f *testing.F) {
	for _, s := range []string{"sku=basic&version=0.2.0", "sku=basic&version=0.2.0&robot_id=r", "sku=%zz", "sku=a&sku=b", "version=0.0.0&sku=basic"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := parseQuestion(s)
		var p *problem
		switch {
		case err != nil && (!errors.As(err, &p) || p.Status != 400 && p.Status != 404):
			t.Errorf("%q: %v", s, err)
		case err == nil && (!release.Known(q.sku) || q.version.IsZero() || q.robot != "" && !robotID.MatchString(q.robot)):
			t.Errorf("%q: %+v", s, q)
		}
	})
}

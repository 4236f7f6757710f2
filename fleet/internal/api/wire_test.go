package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func TestNoSuchThing(t *testing.T) {
	f := newFleet(t)
	for _, path := range []string{
		"/", "/v1", "/v2/check", "/v1/check/", "/v1/artifacts/", "/v1/artifacts/" + strings.Repeat("0", 64),
		"/v1/artifacts/" + strings.ToUpper(sum), "/v1/artifacts/..%2F..%2Ffleet.db", "/v1/artifacts/%2e%2e%2ffleet.db",
		"/v1/artifacts/" + sum + "/x", "/v1/artifacts/" + sum + "%00", "/v1/artifacts/C:%5Cx", "/v1/artifacts/" + strings.Repeat("x", 5000),
	} {
		isProblem(t, f.ask("GET", path), 404, "")
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		w := f.ask(method, "/v1/check")
		isProblem(t, w, 405, method+" is not possible here")
		if w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%v", w.Header())
		}
	}
	w := f.ask("GET", "/v1/report")
	isProblem(t, w, 405, "GET is not possible here")
	if w.Header().Get("Allow") != "POST" {
		t.Errorf("%v", w.Header())
	}
}

// What is wrong inside is logged, not told.
func TestInnerErrors(t *testing.T) {
	f := newFleet(t)
	b := broken{}
	f.back = Backends{Offers: b, Artifacts: f.store, Downloads: b, Robots: b, Keyrings: f.store, Health: b}
	for i, tt := range []struct {
		target  string
		headers []string
	}{
		{"/v1/check?sku=basic&version=0.1.0", nil}, {"/v1/manifest", nil}, {"/v1/artifacts/" + sum, nil},
		{"/v1/check?sku=basic&version=0.1.0", []string{"Authorization: Bearer x"}},
	} {
		w := f.ask("GET", tt.target, tt.headers...)
		isProblem(t, w, 500, "")
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("told: %s", w.Body)
		}
		if n := strings.Count(f.log.String(), `err="secret path /srv/x"`); n != i+1 {
			t.Errorf("logged %d times: %s", n, f.log.String())
		}
	}
	isProblem(t, f.do(certified("/v1/check?sku=basic&version=0.1.0", "r1")), 500, "")
	isProblem(t, f.ask("GET", "/readyz"), 503, "the store does not answer")
}

// unnoted is a store that takes no notes.
type unnoted struct{ stored }

func (unnoted) Checked(context.Context, string, compatVersion) error { return errInside }
func (unnoted) Sent(context.Context, string, string, int64) error    { return errInside }

// What cannot be noted of an answer keeps nobody from getting it.
func TestNotNoted(t *testing.T) {
	f := newFleet(t)
	f.robot("r1")
	u := unnoted{stored{f.store}}
	f.back.Offers, f.back.Downloads, f.back.Keyrings = u, u, lostKeyrings{}
	for _, target := range []string{"/v1/check?sku=standard&version=0.2.0", "/v1/artifacts/" + sum} {
		if w := f.ask("GET", target, "Authorization: Bearer r1"); w.Code != 200 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	isProblem(t, f.ask("GET", "/v1/keyring"), 500, "")
	if n := strings.Count(f.log.String(), "secret path"); n != 4 {
		t.Errorf("logged %d times:\n%s", n, f.log.String())
	}
}

func TestLogLine(t *testing.T) {
	f := newFleet(t)
	f.robot("r1")
	f.ask("GET", "/v1/check?sku=basic&version=0.1.0&robot_id=x%0aforged"+strings.Repeat("y", 200))
	f.ask("GET", "/v1/artifacts/"+sum)
	f.ask("GET", "/v1/check?sku=standard&version=0.2.0", "Authorization: Bearer r1")
	lines := strings.Split(strings.TrimSpace(f.log.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `robot="x\nforged`) || len(lines[0]) > 400 || !strings.Contains(lines[1], "status=200 bytes=1000") ||
		!strings.Contains(lines[2], "robot=r1 known=true") || strings.Contains(lines[0], "known=true") {
		t.Errorf("%s", f.log.String())
	}
	if strings.Contains(f.log.String(), "Bearer") {
		t.Error("a token is in the log")
	}
}

// counts collects what the metrics hear.
type counts struct{ heard []string }

func (c *counts) Request(route, method string, status int, bytes int64, _ time.Duration) {
	c.heard = append(c.heard, fmt.Sprint(route, " ", method, " ", status, " ", bytes))
}

func TestMetrics(t *testing.T) {
	f := newFleet(t)
	c := &counts{}
	f.back.Metrics = c
	f.ask("GET", "/v1/artifacts/"+sum)
	f.ask("GET", "/v1/check?sku=standard&version=0.2.1")
	f.ask("BREW", "/v1/check")
	f.ask("GET", "/wp-login.php")
	want := "[/v1/artifacts/{sha256} GET 200 1000 /v1/check GET 204 0 /v1/check other 405 "
	if got := fmt.Sprint(c.heard); !strings.HasPrefix(got, want) || !strings.Contains(got, " / GET 404 ") {
		t.Errorf("got %s", got)
	}
}

// reports collects what robots say.
type reports struct {
	heard string
	err   error
}

func (r *reports) Report(_ context.Context, robot string, body []byte) error {
	r.heard = robot + " " + string(body)
	return r.err
}

type refusal struct{ error }

func (refusal) Refusal() string { return "at is missing" }

func TestReport(t *testing.T) {
	f := newFleet(t)
	f.robot("r1")
	r := &reports{}
	post := func(body, kind string, headers ...string) *httptest.ResponseRecorder {
		return f.do(request("POST", "/v1/report", body, append(headers, "Content-Type: "+kind)...))
	}
	isProblem(t, post("{}", "application/json", "Authorization: Bearer r1"), 503, "takes no reports")
	f.back.Reports = r
	if w := post(`{"x":1}`, "application/json; charset=utf-8", "Authorization: Bearer r1"); w.Code != 204 || r.heard != `r1 {"x":1}` {
		t.Errorf("%d %s, heard %q", w.Code, w.Body, r.heard)
	}
	r.heard = ""
	isProblem(t, post(`{}`, "application/json"), 401, "a report is of a robot") // also in a laboratory
	isProblem(t, post(`{}`, "application/json", "Authorization: Bearer r2"), 401, "not valid")
	isProblem(t, f.do(certifiedPost("r9")), 403, "no robot is registered")
	isProblem(t, post(`x=1`, "application/x-www-form-urlencoded", "Authorization: Bearer r1"), 415, "want application/json")
	isProblem(t, post(strings.Repeat(" ", 64<<10+1), "application/json", "Authorization: Bearer r1"), 413, "at most 65536 bytes")
	cut := request("POST", "/v1/report", "", "Content-Type: application/json", "Authorization: Bearer r1")
	cut.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{}))
	isProblem(t, f.do(cut), 400, "the report was cut")
	if r.heard != "" {
		t.Errorf("heard %q", r.heard)
	}
	r.err = fmt.Errorf("ingest: %w", refusal{errors.New("inside")})
	isProblem(t, post(`{}`, "application/json", "Authorization: Bearer r1"), 422, "at is missing")
	r.err = errInside
	isProblem(t, post(`{}`, "application/json", "Authorization: Bearer r1"), 500, "")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func certifiedPost(name string) *http.Request {
	r := certified("/v1/report", name, "Content-Type: application/json")
	r.Method, r.Body = http.MethodPost, io.NopCloser(bytes.NewReader([]byte("{}")))
	return r
}

func TestProbesAndDescription(t *testing.T) {
	f := newFleet(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if w := f.ask("GET", path); w.Code != 200 || w.Body.String() != `{"status":"ok"}`+"\n" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := f.ask("GET", "/v1/openapi.yaml"); w.Code != 200 || !bytes.HasPrefix(w.Body.Bytes(), []byte("openapi: 3.1.0\n")) {
		t.Errorf("%d %.100s", w.Code, w.Body)
	}
}

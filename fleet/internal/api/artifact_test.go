package api

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func TestArtifact(t *testing.T) {
	f := newFleet(t)
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
		w := f.ask(tt.method, path, tt.headers...)
		if w.Code != tt.status || w.Body.String() != string(content[tt.from:tt.to]) || w.Header().Get("Content-Range") != tt.rng {
			t.Errorf("%s: got %d, %d bytes, %v", name, w.Code, w.Body.Len(), w.Header())
		}
		h := w.Header()
		if h.Get("ETag") != tag || h.Get("Cache-Control") != "public, max-age=31536000, s-maxage=60, immutable" {
			t.Errorf("%s: %v", name, h)
		}
		if tt.status == 200 && (h.Get("Content-Length") != "1000" || h.Get("Accept-Ranges") != "bytes" || h.Get("Content-Type") != "application/octet-stream") {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestRefusedRanges(t *testing.T) {
	f := newFleet(t)
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
		w := f.ask("GET", "/v1/artifacts/"+sum, tt.headers...)
		isProblem(t, w, 416, tt.detail)
		if w.Header().Get("ETag") != "" || tt.detail[0] == 'o' && w.Header().Get("Content-Range") != "bytes */1000" {
			t.Errorf("%v: %v", tt.headers, w.Header())
		}
	}
	if n, err := f.store.DownloadsOn(t.Context(), "addr:192.0.2.1", f.env.Clock.Now()); err != nil || n != 0 {
		t.Errorf("they count: %d, %v", n, err)
	}
}

// What is taken back is not served from the next request on.
func TestGone(t *testing.T) {
	for name, takeBack := range map[string]func(f *fleet, tx *store.Tx) error{
		"withdrawn": func(f *fleet, tx *store.Tx) error {
			return tx.SetStatus(f.t.Context(), "standard", version("0.2.1"), release.Withdrawn, "ann", "it bites")
		},
		"revoked": func(f *fleet, tx *store.Tx) error { return tx.RevokeKey(f.t.Context(), signer.ID(), "ann", "stolen") },
	} {
		f := newFleet(t)
		h := f.handler() // one server all the while
		ask := func(target string) int {
			r := request("GET", target, "")
			w := newRecorder()
			h.ServeHTTP(w, r)
			f.spec.check(t, r, w)
			return w.Code
		}
		if got := ask("/v1/artifacts/" + sum); got != 200 {
			t.Errorf("%s, before: %d", name, got)
		}
		f.update(func(tx *store.Tx) error { return takeBack(f, tx) })
		if got := ask("/v1/artifacts/" + sum); got != http.StatusGone {
			t.Errorf("%s: %d", name, got)
		}
		isProblem(t, f.ask("GET", "/v1/artifacts/"+sum, "Range: bytes=500-", `If-Range: "`+sum+`"`), 410, "withdrawn, or the key that signed it was revoked")
		// The robot that asks is offered what is left, never less than it runs.
		if got := ask("/v1/check?sku=standard&version=0.2.0"); got != http.StatusNoContent {
			t.Errorf("%s: the check: %d", name, got)
		}
	}
}

// A download that goes on counts once; more than the limit waits until tomorrow.
func TestDownloadLimit(t *testing.T) {
	f := newFleet(t)
	f.robot("r1")
	f.robot("r2")
	f.cfg.Downloads = 3
	path := "/v1/artifacts/" + sum
	get := func(robot string, headers ...string) int {
		return f.ask("GET", path, append(headers, "Authorization: Bearer "+robot)...).Code
	}
	had := func(taker string) int {
		n, err := f.store.DownloadsOn(t.Context(), taker, f.env.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	get("r1", "Range: bytes=0-99")
	for from := 100; from < 1000; from += 100 {
		if got := get("r1", fmt.Sprintf("Range: bytes=%d-%d", from, from+99)); got != 206 {
			t.Errorf("from %d: %d", from, got)
		}
	}
	f.ask("HEAD", path, "Authorization: Bearer r1")
	f.ask("GET", path, "Authorization: Bearer r1", `If-None-Match: "`+sum+`"`)
	if had("r1") != 1 {
		t.Errorf("a resumed download counts %d times", had("r1"))
	}
	get("r1")
	get("r1")
	w := f.ask("GET", path, "Authorization: Bearer r1")
	isProblem(t, w, 429, "3 downloads a day are enough")
	if wait, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || wait != 12*60*60+1 || w.Header().Get("ETag") != "" || w.Header().Get("Content-Range") != "" {
		t.Errorf("%v", w.Header())
	}
	if w := f.ask("GET", path, "Authorization: Bearer r1", "Range: bytes=0-99"); w.Code != 429 || w.Header().Get("Content-Range") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if got := get("r1", "Range: bytes=900-"); got != 206 {
		t.Errorf("the one that goes on: %d", got)
	}
	if got := get("r2"); got != 200 {
		t.Errorf("another robot: %d", got)
	}
	// Whoever nobody knows is counted by address, whatever he calls himself.
	for i := range 5 {
		w := f.ask("GET", path+fmt.Sprintf("?robot_id=x%d", i))
		if want := map[bool]int{true: 200, false: 429}[i < 3]; w.Code != want {
			t.Errorf("download %d of an address: %d", i, w.Code)
		}
	}
	f.env.Clock.Add(12*time.Hour + time.Second)
	if got := get("r1"); got != 200 {
		t.Errorf("the next day: %d", got)
	}
}

func TestRedirect(t *testing.T) {
	f := newFleet(t)
	f.robot("r1")
	f.cfg.Downloads = 2
	f.cfg.ArtifactURL, _ = url.Parse("https://objects.example.org/fleet")
	path := "/v1/artifacts/" + sum
	w := f.ask("GET", path, "Authorization: Bearer r1")
	if w.Code != 307 || w.Header().Get("Location") != "https://objects.example.org/fleet/"+sum || w.Header().Get("Cache-Control") != "no-store" || w.Body.Len() != 0 {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	if w := f.ask("GET", path, "Authorization: Bearer r1", "Range: bytes=600-"); w.Code != 307 {
		t.Errorf("got %d", w.Code)
	}
	if n, err := f.store.DownloadsOn(t.Context(), "r1", f.env.Clock.Now()); err != nil || n != 1 {
		t.Errorf("it counts %d times, %v", n, err)
	}
	f.ask("GET", path, "Authorization: Bearer r1")
	isProblem(t, f.ask("GET", path, "Authorization: Bearer r1"), 429, "2 downloads a day")
	if w := f.ask("HEAD", path, "Authorization: Bearer r1"); w.Code != 307 {
		t.Errorf("HEAD: %d", w.Code)
	}
	isProblem(t, f.ask("GET", "/v1/artifacts/"+strings.Repeat("0", 64)), 404, "no such artifact")
	f.update(func(tx *store.Tx) error {
		return tx.SetStatus(t.Context(), "standard", version("0.2.1"), release.Withdrawn, "ann", "it bites")
	})
	isProblem(t, f.ask("GET", path, "Authorization: Bearer r1"), 410, "withdrawn")
}

func TestFirstByte(t *testing.T) {
	for rng, want := range map[string]int64{
		"": 0, "bytes=0-": 0, "bytes=10-": 10, "bytes=10-20": 10, "bytes=-10": 90, "bytes=-200": 0, "bytes=100-": 0, "bytes=x-": 0, "bytes=10": 0, "lines=10-": 0, "bytes=-": 0,
		"bytes=99999999999999999999-": 0, "bytes=--5": 0,
	} {
		if got := firstByte(rng, 100); got != want {
			t.Errorf("%q: got %d, want %d", rng, got, want)
		}
	}
}

// A file that the disk lost is no robot's fault.
func TestLostFile(t *testing.T) {
	f := newFleet(t)
	if err := os.Remove(filepath.Join(f.env.Dir, "artifacts", sum)); err != nil {
		t.Fatal(err)
	}
	isProblem(t, f.ask("GET", "/v1/artifacts/"+sum), 404, "no such artifact")
	if !strings.Contains(f.log.String(), "its file: not found") {
		t.Errorf("the log: %s", f.log.String())
	}
}

func FuzzFirstByte(f *testing.F) {
	for _, s := range []string{"bytes=0-", "bytes=400-999", "bytes=-10", "bytes=99999999999999999999-", "lines=1-2", "bytes=1-2,3-4"} {
		f.Add(s, int64(1000))
	}
	f.Fuzz(func(t *testing.T, rng string, size int64) {
		if size < 1 {
			return
		}
		if got := firstByte(rng, size); got < 0 || got >= size {
			t.Errorf("%q of %d: %d", rng, size, got)
		}
	})
}

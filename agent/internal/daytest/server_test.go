package daytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// release is a signed image that the server has.
type release struct {
	version version
	file    []byte
	sum     string
}

func newRelease(v version, file []byte) release {
	sum := sha256.Sum256(file)
	return release{v, file, hex.EncodeToString(sum[:])}
}

func (r release) url() string { return "https://updates.example/v1/artifacts/" + r.sum }

// server is the update server. The day's lock guards it.
type server struct {
	releases map[version]release
	offers   version // the latest
	storm    bool    // it fails at every turn
}

// Allow lets all hosts be asked: who may is not the matter here.
func (l *life) Allow(*url.URL) error { return nil }

// Do asks the server, over a network that is no better than it.
func (l *life) Do(req *http.Request) (*http.Response, error) {
	d := l.day
	d.mu.Lock()
	what := "check"
	if path.Dir(req.URL.Path) == "/v1/artifacts" {
		what = "artifact"
	}
	d.count(what)
	storm, luck := d.server.storm, d.rng.IntN(8)
	d.mu.Unlock()
	if !storm {
		luck = 7
	}
	rec := httptest.NewRecorder()
	switch luck {
	case 0:
		return nil, &httpguard.UnreachableError{Host: req.URL.Host, Cause: errors.New("connection refused")}
	case 1: // it hangs, for as long as httpguard lets it
		late := time.NewTimer(30 * time.Second)
		defer late.Stop()
		select {
		case <-late.C:
			return nil, &httpguard.UnreachableError{Host: req.URL.Host, Cause: errors.New("timeout awaiting response headers")}
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	case 2:
		rec.Header().Set("Retry-After", "1200")
		rec.WriteHeader(http.StatusServiceUnavailable)
	case 3:
		rec.Header().Set("Retry-After", d.right().Add(25*time.Minute).UTC().Format(http.TimeFormat))
		rec.WriteHeader(http.StatusTooManyRequests)
	case 4:
		rec.WriteHeader(http.StatusInternalServerError)
	case 5:
		rec.Header().Set("Content-Type", "application/json")
		_, _ = rec.WriteString(`{"version":"9.`)
	default:
		d.serve(rec, req)
	}
	resp := rec.Result()
	resp.Request = req
	if luck == 6 && what == "artifact" { // the connection breaks in the middle
		resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, resp.ContentLength/2), broken{}))
	}
	return resp, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// serve is a server that is well.
func (d *day) serve(w http.ResponseWriter, req *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if req.URL.Path == "/v1/check" {
		runs, err := compat.ParseVersion(req.URL.Query().Get("version"))
		r := d.server.releases[d.server.offers]
		if err != nil || r.version.Compare(runs) <= 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"version": r.version, "url": r.url(), "sha256": r.sum, "size": len(r.file), "protocol": 1, "release": "standard-" + r.version.String(),
		})
		return
	}
	for _, r := range d.server.releases {
		if r.sum == path.Base(req.URL.Path) {
			w.Header().Set("ETag", `"`+r.sum+`"`)
			http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(r.file))
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

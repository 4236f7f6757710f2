package cuttest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
)

// chunkSize is in what pieces an answer comes.
const chunkSize = 2 << 10

// Allow lets all hosts be asked: who may is not the matter here.
func (l *life) Allow(*url.URL) error { return nil }

// Do asks the update server.
func (l *life) Do(req *http.Request) (*http.Response, error) {
	w := l.world
	if l.dead() {
		return nil, errDead
	}
	hit := w.event(request)
	switch {
	case l.dead():
		return nil, errDead
	case hit == gone:
		return nil, &httpguard.UnreachableError{Host: req.URL.Host, Cause: io.ErrUnexpectedEOF}
	case hit == "stall":
		return nil, w.stalled(req)
	}
	rec := httptest.NewRecorder()
	if hit == "500" {
		rec.WriteHeader(http.StatusInternalServerError)
	} else {
		w.serve(rec, req)
	}
	if hit == after {
		w.perish(w.killer())
		return nil, errDead
	}
	resp := rec.Result()
	resp.Request = req
	resp.Body = &answer{life: l, req: req, body: rec.Body, closed: make(chan struct{})}
	return resp, nil
}

// headTime is how long httpguard waits for the head of an answer.
const headTime = 30 * time.Second

// stalled is a server that takes a request and does not answer.
func (w *world) stalled(req *http.Request) error {
	t := time.NewTimer(headTime)
	defer t.Stop()
	select {
	case <-req.Context().Done():
		return req.Context().Err()
	case <-t.C:
		return &httpguard.UnreachableError{Host: req.URL.Host, Cause: os.ErrDeadlineExceeded}
	}
}

// answer is a body that comes in pieces, each of them an event.
type answer struct {
	life   *life
	req    *http.Request
	body   *bytes.Buffer
	closed chan struct{}
	done   bool
}

func (a *answer) Read(p []byte) (int, error) {
	if a.life.dead() {
		return 0, errDead
	}
	if a.body.Len() == 0 {
		return 0, io.EOF
	}
	hit := a.life.world.event(chunk)
	switch {
	case a.life.dead():
		return 0, errDead
	case hit == gone || a.life.world.breaks(a.req, a.body.Len()):
		return 0, io.ErrUnexpectedEOF
	case hit == "stall":
		select {
		case <-a.req.Context().Done():
			return 0, a.req.Context().Err()
		case <-a.closed:
			return 0, http.ErrBodyReadAfterClose
		}
	}
	return a.body.Read(p[:min(len(p), chunkSize)])
}

func (a *answer) Close() error {
	if !a.done {
		a.done = true
		close(a.closed)
	}
	return nil
}

// breaks says whether the first download of this flow breaks off here.
func (w *world) breaks(req *http.Request, left int) bool {
	if !w.flow.breaks || path.Dir(req.URL.Path) != "/v1/artifacts" || left > imageSize/2 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.broke
	w.broke = true
	return !was
}

// serve is the update server.
func (w *world) serve(rw http.ResponseWriter, req *http.Request) {
	r := w.fresh
	switch {
	case req.URL.Path == "/v1/check" && req.URL.Query().Get("version") == w.plant.old.version:
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(map[string]any{
			"version": r.version, "url": r.url(), "sha256": r.sum, "size": len(r.file), "protocol": 1, "release": "standard-" + r.version,
		})
	case req.URL.Path == "/v1/check":
		rw.WriteHeader(http.StatusNoContent)
	case path.Base(req.URL.Path) == r.sum:
		rw.Header().Set("ETag", `"`+r.sum+`"`)
		http.ServeContent(rw, req, "", time.Time{}, bytes.NewReader(r.file))
	default:
		rw.WriteHeader(http.StatusNotFound)
	}
}

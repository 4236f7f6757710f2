package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// problem is an error that a client is told (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func (p *problem) Error() string { return p.Detail }

func problemf(status int, format string, args ...any) error {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

func bad(format string, args ...any) error { return problemf(http.StatusBadRequest, format, args...) }

func notFound(http.ResponseWriter, *http.Request) error {
	return problemf(http.StatusNotFound, "there is /v1/check, /v1/manifest, /v1/artifacts/{sha256} and /v1/keyring")
}

func onlyGET(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Allow", "GET, HEAD")
	return problemf(http.StatusMethodNotAllowed, "%.16s is not possible here", r.Method)
}

// writeProblem answers with an error. What is wrong inside is not told.
func writeProblem(w http.ResponseWriter, err error) {
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{Type: "about:blank", Title: http.StatusText(http.StatusInternalServerError), Status: http.StatusInternalServerError}
	}
	body, merr := json.Marshal(p)
	if merr != nil {
		body = nil
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	for _, name := range []string{"ETag", "Last-Modified", "Content-Length", "Accept-Ranges"} {
		h.Del(name) // of the artifact that it is not
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
	return nil
}

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
	return problemf(http.StatusNotFound, "there is nothing; /v1/openapi.yaml describes what there is elsewhere")
}

// only refuses methods other than those allowed.
func only(allowed string) handling {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", allowed)
		return problemf(http.StatusMethodNotAllowed, "%.16s is not possible here", r.Method)
	}
}

// An unauthorizedError asks who somebody is (RFC 6750).
type unauthorizedError struct {
	error
	code string
}

func (e *unauthorizedError) Unwrap() error { return e.error }

func unauthorized(code, detail string) error {
	return &unauthorizedError{problemf(http.StatusUnauthorized, "%s", detail), code}
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
	var who *unauthorizedError
	if errors.As(err, &who) {
		challenge := `Bearer realm="ota-fleet"`
		if who.code != "" {
			challenge += `, error="` + who.code + `"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	for _, name := range []string{"ETag", "Last-Modified", "Content-Length", "Accept-Ranges"} {
		h.Del(name) // of the artifact that it is not
	}
	if p.Status != http.StatusRequestedRangeNotSatisfiable {
		h.Del("Content-Range")
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

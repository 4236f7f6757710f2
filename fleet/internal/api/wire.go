package api

import (
	"net/http"
	"strings"
	"time"
)

// handling answers a request, or returns the problem.
type handling func(http.ResponseWriter, *http.Request) error

// handler answers with the problem that f returns.
func (a *api) handler(f handling) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		err := a.tellWait(w, f(w, r))
		if err == nil {
			return
		}
		if w, ok := w.(*recorder); ok {
			w.err = err
		}
		writeProblem(w, err)
	})
}

// logged bounds each request, writes one line for it, and counts it.
func (a *api) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := a.cfg.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(rec, r)
		took := a.cfg.Now().Sub(start)
		if a.Metrics != nil {
			a.Metrics.Request(route(r), method(r), rec.status, rec.bytes, took)
		}
		attrs := []any{
			"method", r.Method, "path", clip(r.URL.Path, 128), "status", rec.status, "bytes", rec.bytes,
			"took", took.Round(time.Microsecond), "from", a.cfg.Proxies.Of(r), "robot", rec.robot, "known", rec.robot != "",
		}
		if rec.robot == "" { // what it says, which proves nothing
			attrs[len(attrs)-3] = clip(r.URL.Query().Get("robot_id"), 64)
		}
		if rec.err != nil {
			attrs = append(attrs, "err", rec.err)
		}
		if rec.status >= http.StatusInternalServerError {
			a.log.Error("request", attrs...)
			return
		}
		a.log.Info("request", attrs...)
	})
}

// route is the pattern that a request was answered by.
func route(r *http.Request) string {
	_, path, ok := strings.Cut(r.Pattern, " ")
	if !ok {
		path = r.Pattern
	}
	return path
}

// method is one of those that are asked for, or "other".
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return r.Method
	}
	return "other"
}

// clip bounds what goes into the log.
func clip(s string, most int) string { return s[:min(len(s), most)] }

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	robot  string // who asked, where that is known
	err    error
}

// Unwrap lets http.ResponseController through.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the status.
func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (w *recorder) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

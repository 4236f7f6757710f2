package api

import (
	"net/http"
	"time"
)

// handler answers with the problem that f returns.
func (a *api) handler(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		err := f(w, r)
		if err == nil {
			return
		}
		if w, ok := w.(*recorder); ok {
			w.err = err
		}
		writeProblem(w, err)
	})
}

// logged writes one line for each request.
func (a *api) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		attrs := []any{
			"method", r.Method, "path", clip(r.URL.Path, 128), "status", rec.status, "bytes", rec.bytes,
			"took", time.Since(start).Round(time.Microsecond), "from", r.RemoteAddr, "robot", clip(r.URL.Query().Get("robot_id"), 64),
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

// clip bounds what goes into the log.
func clip(s string, most int) string { return s[:min(len(s), most)] }

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
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

// paced gives each piece of a long answer its own time, and makes a problem of
// http.ServeContent's plain-text refusal of a range.
type paced struct {
	http.ResponseWriter
	control *http.ResponseController
	refused bool
}

// WriteHeader replaces the answer to a range that cannot be had.
func (w *paced) WriteHeader(status int) {
	if status != http.StatusRequestedRangeNotSatisfiable {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.refused = true
	writeProblem(w.ResponseWriter, problemf(status, "the range lies outside the artifact"))
}

// Write gives the piece its time.
func (w *paced) Write(b []byte) (int, error) {
	if w.refused {
		return len(b), nil
	}
	// Where the connection knows no deadlines the server's time-out holds.
	_ = w.control.SetWriteDeadline(time.Now().Add(stall))
	return w.ResponseWriter.Write(b)
}

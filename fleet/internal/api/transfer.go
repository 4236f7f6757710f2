package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// stall is how long a robot may take for the next piece of an artifact.
const stall = time.Minute

// transfer stands between http.ServeContent and the connection: it asks whether
// the bytes may be had once it is known which, gives each piece its own time,
// and keeps the plain-text refusal of a range back, in place of which a problem
// is told.
type transfer struct {
	http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time
	admit   func(first int64) error // nil: nothing is sent that counts
	refused error                   // instead of an answer
	sent    int64                   // bytes
}

// WriteHeader answers, or notes why not.
func (w *transfer) WriteHeader(status int) {
	switch {
	case status == http.StatusRequestedRangeNotSatisfiable:
		w.refused = problemf(status, "the range lies outside the artifact")
	case w.admit != nil && (status == http.StatusOK || status == http.StatusPartialContent):
		w.refused = w.admit(firstOf(w.Header().Get("Content-Range")))
	}
	if w.refused == nil {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write gives the piece its time.
func (w *transfer) Write(b []byte) (int, error) {
	if w.refused != nil {
		return 0, w.refused
	}
	// Where the connection knows no deadlines the server's time-out holds.
	_ = w.control.SetWriteDeadline(w.now().Add(stall))
	n, err := w.ResponseWriter.Write(b)
	w.sent += int64(n)
	return n, err
}

// firstOf is the first byte of what an answer holds: "bytes 400-999/1000".
func firstOf(contentRange string) int64 {
	from, _, _ := strings.Cut(strings.TrimPrefix(contentRange, "bytes "), "-")
	first, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return 0
	}
	return first
}

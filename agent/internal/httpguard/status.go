package httpguard

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A StatusError is an answer of the server that is not the one wanted.
type StatusError struct {
	Host   string // host:port
	Status int
	// Detail is what the server said about it (RFC 9457), shortened; "":
	// nothing.
	Detail string
	// RetryAfter is how long the server asks to be left alone; 0: it did not
	// say. At most a year.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s answered %d %s", e.Host, e.Status, http.StatusText(e.Status))
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.RetryAfter > 0 {
		s += fmt.Sprintf(" (try again in %v)", e.RetryAfter.Round(time.Second))
	}
	return s
}

// Code names the failure for machines.
func (e *StatusError) Code() string { return fmt.Sprintf("http_%d", e.Status) }

// LeaveAlone is how long the server asks to be left alone: what Retry-After says
// with an answer of too many requests or of no service (RFC 9110, 10.2.3; RFC
// 6585, 4). With others it says nothing about asking again.
func (e *StatusError) LeaveAlone() time.Duration {
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		return e.RetryAfter
	}
	return 0
}

// Final says that asking again will not change the answer.
func (e *StatusError) Final() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return e.Status < 500
}

// Bounds of what is read of an error's body, and repeated of it, in bytes.
const (
	maxProblem = 16 << 10
	maxDetail  = 300
)

// Status makes the error of an answer that is not wanted. It reads a bounded
// part of the body and leaves it to the caller to close it.
func Status(resp *http.Response, now time.Time) *StatusError {
	e := &StatusError{Status: resp.StatusCode, RetryAfter: RetryAfter(resp.Header.Get("Retry-After"), now)}
	if resp.Request != nil && resp.Request.URL != nil {
		e.Host = hostPort(resp.Request.URL)
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "application/problem+json" {
		return e
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return e
	}
	var problem struct{ Title, Detail string }
	if json.Unmarshal(body, &problem) != nil {
		return e
	}
	e.Detail = printable(problem.Detail)
	if e.Detail == "" {
		e.Detail = printable(problem.Title)
	}
	return e
}

// printable makes foreign text fit for a log line.
func printable(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, strings.TrimSpace(s))
}

const maxRetryAfter = 365 * 24 * time.Hour

// RetryAfter reads a Retry-After header: seconds or an HTTP date (RFC 9110,
// 10.2.3). It gives 0 for none, one in the past and one that cannot be read.
func RetryAfter(s string, now time.Time) time.Duration {
	if s == "" || len(s) > 64 {
		return 0
	}
	var d time.Duration
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return maxRetryAfter
		}
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(s); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

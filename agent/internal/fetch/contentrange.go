package fetch

import (
	"errors"
	"strconv"
	"strings"
)

// unknown stands for what a Content-Range leaves open.
const unknown = -1

// contentRange is a Content-Range header in bytes (RFC 9110, 14.4).
type contentRange struct {
	first, last int64 // both unknown in "bytes */123"
	total       int64 // unknown in "bytes 0-9/*"
}

var errContentRange = errors.New("malformed Content-Range")

// parseContentRange reads "bytes 0-9/100", "bytes 0-9/*" and "bytes */100".
func parseContentRange(s string) (contentRange, error) {
	span, total, ok := strings.Cut(s, "/")
	unit, span, ok2 := strings.Cut(span, " ")
	if !ok || !ok2 || !strings.EqualFold(unit, "bytes") {
		return contentRange{}, errContentRange
	}
	r := contentRange{first: unknown, last: unknown, total: unknown}
	if total != "*" {
		if r.total, ok = offset(total); !ok {
			return contentRange{}, errContentRange
		}
	}
	if span == "*" {
		if r.total == unknown {
			return contentRange{}, errContentRange
		}
		return r, nil
	}
	first, last, _ := strings.Cut(span, "-")
	r.first, ok = offset(first)
	r.last, ok2 = offset(last)
	if !ok || !ok2 || r.last < r.first || r.total != unknown && r.last >= r.total {
		return contentRange{}, errContentRange
	}
	return r, nil
}

// offset reads a decimal number without sign or space, below 2^62, so that one
// can be added to another.
func offset(s string) (int64, bool) {
	if s == "" || len(s) > 19 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 63)
	return n, err == nil
}

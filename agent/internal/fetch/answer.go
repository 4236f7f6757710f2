package fetch

import (
	"net/http"
	"strings"
)

// asked is what a request was for, and what is known of the file.
type asked struct {
	from    int64  // first byte wanted; 0: the whole file, without a Range header
	size    int64  // as an earlier answer said; 0: none
	offered int64  // as the offer said; 0: it did not
	max     int64  // largest file taken
	etag    string // of the pieces held, as it was received; "": none
}

// answer is what a server's answer means.
type answer struct {
	from   int64  // where its body begins in the file: asked.from or 0
	length int64  // bytes of the body
	size   int64  // of the whole file
	etag   string // a strong one, as received; "": none
	whole  bool   // nothing is missing: there is no body to read
}

// judge interprets a status of 200, 206 or 416. It gives an *oddAnswer where
// asking anew from the beginning may help, and a *RefusedError where not.
// length is the Content-Length, unknown where there is none.
func (a asked) judge(status int, h http.Header, length int64) (answer, error) {
	if enc := strings.Join(h.Values("Content-Encoding"), ", "); strings.Trim(enc, ", ") != "" && !strings.EqualFold(enc, "identity") {
		return answer{}, refusef("encoded", "the server sent the image encoded (%.40q) although that was not asked for; switch compression off for images there", enc)
	}
	switch status {
	case http.StatusPartialContent:
		return a.piece(h, length)
	case http.StatusRequestedRangeNotSatisfiable:
		return a.beyond(h)
	default:
		return a.all(h, length)
	}
}

// all: 200, the file from its beginning, whether that was asked for or not.
func (a asked) all(h http.Header, length int64) (answer, error) {
	size := length
	if s := h.Get("Content-Range"); s != "" { // some servers send one with 200 as well
		r, err := parseContentRange(s)
		switch {
		case err != nil:
			return answer{}, oddf("the server sent a Content-Range that cannot be read: %.80q", s)
		case r.first != 0 || length >= 0 && r.last != length-1 || r.total != unknown && r.total != r.last+1:
			return answer{}, oddf("the server answered 200 with %d bytes and the Content-Range %.80q, which contradict each other", length, s)
		}
		size = r.last + 1
	}
	if size == unknown {
		size = a.offered
	}
	if size == 0 && length != 0 {
		return answer{}, refusef("size_unknown", "neither the offer nor the server says how large the image is, so it is not downloaded; have the server send a Content-Length")
	}
	if err := a.checkSize(size); err != nil {
		return answer{}, err
	}
	return answer{length: size, size: size, etag: strong(h.Get("ETag"))}, nil
}

// piece: 206, the file from where it was asked for.
func (a asked) piece(h http.Header, length int64) (answer, error) {
	s := h.Get("Content-Range")
	r, err := parseContentRange(s)
	switch {
	case a.from == 0:
		return answer{}, oddf("the server sent a part although the whole was asked for")
	case err != nil || r.first == unknown:
		return answer{}, oddf("the server sent a part with a Content-Range that cannot be read: %.80q", s)
	case r.first != a.from:
		return answer{}, oddf("the server sent a part from byte %d on, asked for was %d", r.first, a.from)
	case length >= 0 && length != r.last-r.first+1:
		return answer{}, oddf("the server sent a part of %d bytes with the Content-Range %.80q, which contradict each other", length, s)
	case r.total != unknown && r.total != a.size:
		return answer{}, oddf("the file on the server has %d bytes now, it had %d", r.total, a.size)
	case r.last >= a.size:
		return answer{}, oddf("the server sent a part up to byte %d of a file of %d", r.last, a.size)
	}
	etag := strong(h.Get("ETag"))
	if a.etag != "" && etag != "" && etag != a.etag {
		return answer{}, oddf("the file on the server has changed (its ETag was %.80q and is %.80q)", a.etag, etag)
	}
	if etag == "" {
		etag = a.etag
	}
	return answer{from: a.from, length: r.last - r.first + 1, size: a.size, etag: etag}, nil
}

// beyond: 416, there is nothing from there on.
func (a asked) beyond(h http.Header) (answer, error) {
	r, err := parseContentRange(h.Get("Content-Range"))
	if err == nil && r.first == unknown && a.from > 0 && r.total == a.from && a.size == a.from {
		return answer{from: a.from, size: a.size, etag: a.etag, whole: true}, nil
	}
	return answer{}, oddf("the server has nothing from byte %d on (Content-Range %.80q)", a.from, h.Get("Content-Range"))
}

func (a asked) checkSize(size int64) error {
	switch {
	case a.offered != 0 && size != a.offered:
		return refusef("size_mismatch", "the server's file has %d bytes, offered were %d: it is another file", size, a.offered)
	case size > a.max:
		return refusef("too_large", "the server's file has %d bytes, more than the %d that an image may have", size, a.max)
	case size == 0:
		return refusef("size_mismatch", "the server's file is empty")
	}
	return nil
}

// strong gives an ETag that may go into If-Range (RFC 9110, 13.1.5): not a weak
// one. hawkBit sends it without quotes, and wants it back so.
func strong(etag string) string {
	if len(etag) > 256 || strings.HasPrefix(etag, "W/") || strings.ContainsFunc(etag, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return etag
}

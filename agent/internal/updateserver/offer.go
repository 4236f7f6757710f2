package updateserver

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/strictjson"
)

// An AnswerError says that the update server's answer is not taken.
type AnswerError struct{ Reason string }

func (e *AnswerError) Error() string { return "the update server's answer is refused: " + e.Reason }

// Code names the refusal for machines.
func (*AnswerError) Code() string { return "bad_answer" }

// Final: the server has to be put right.
func (*AnswerError) Final() bool { return true }

func badAnswer(format string, args ...any) error {
	return &AnswerError{Reason: fmt.Sprintf(format, args...)}
}

const (
	maxURL     = update.MaxURL
	maxRelease = 128 // bytes
)

// parseOffer reads the body of a 200: version, url, sha256, size, protocol,
// release. Each must be there once, spelt so, with a sensible value; fields
// that later servers may add are passed over. An empty release is none.
func parseOffer(body []byte, maxSize int64) (update.Offer, error) {
	fields, err := strictjson.Object(body)
	if err != nil {
		return update.Offer{}, badAnswer("%v", err)
	}
	var o update.Offer
	for _, f := range []struct {
		name string
		to   any
	}{
		{"version", &o.Version}, {"url", &o.URL}, {"sha256", &o.SHA256},
		{"size", &o.Size}, {"protocol", &o.Protocol}, {"release", &o.Release},
	} {
		raw, ok := fields[f.name]
		if !ok || string(raw) == "null" {
			return update.Offer{}, badAnswer("it has no %q", f.name)
		}
		if err := json.Unmarshal(raw, f.to); err != nil {
			return update.Offer{}, badAnswer("%q cannot be read: %v", f.name, err)
		}
	}
	return o, checkOffer(o, maxSize)
}

func checkOffer(o update.Offer, maxSize int64) error {
	switch {
	case o.Version == compat.Version{}:
		return badAnswer("it names no version")
	case o.URL == "" || len(o.URL) > maxURL || strings.ContainsFunc(o.URL, odd):
		return badAnswer("its url is no URL of 1 to %d printable characters", maxURL)
	case len(o.SHA256) != 64 || strings.Trim(o.SHA256, "0123456789abcdef") != "":
		return badAnswer("its sha256 is not 64 lower-case hex digits")
	case o.Size <= image.HeaderSize || o.Size > maxSize:
		return badAnswer("its size of %d bytes is not between %d and %d", o.Size, image.HeaderSize+1, maxSize)
	case len(o.Release) > maxRelease || strings.ContainsFunc(o.Release, odd):
		return badAnswer("its release is longer than %d bytes, or not printable", maxRelease)
	}
	return nil
}

// parsePatch reads the field patch of such a body, zero where there is none:
// url, sha256, size and from_sha256. A patch that is no smaller than its image
// is refused as well.
func parsePatch(body []byte, of update.Offer) (update.Patch, error) {
	fields, err := strictjson.Object(body)
	raw, ok := fields["patch"]
	if err != nil || !ok {
		return update.Patch{}, nil //nolint:nilerr // parseOffer has told
	}
	if fields, err = strictjson.Object(raw); err != nil {
		return update.Patch{}, badAnswer("its patch: %v", err)
	}
	var p update.Patch
	for _, f := range []struct {
		name string
		to   any
	}{{"url", &p.URL}, {"sha256", &p.SHA256}, {"size", &p.Size}, {"from_sha256", &p.From}} {
		raw, ok := fields[f.name]
		if !ok || string(raw) == "null" {
			return update.Patch{}, badAnswer("its patch has no %q", f.name)
		}
		if err := json.Unmarshal(raw, f.to); err != nil {
			return update.Patch{}, badAnswer("%q of its patch cannot be read: %v", f.name, err)
		}
	}
	switch {
	case p.URL == "" || len(p.URL) > maxURL || strings.ContainsFunc(p.URL, odd):
		return update.Patch{}, badAnswer("the url of its patch is no URL of 1 to %d printable characters", maxURL)
	case len(p.SHA256) != 64 || strings.Trim(p.SHA256, "0123456789abcdef") != "":
		return update.Patch{}, badAnswer("sha256 of its patch is not 64 lower-case hex digits")
	case len(p.From) != 64 || strings.Trim(p.From, "0123456789abcdef") != "":
		return update.Patch{}, badAnswer("from_sha256 of its patch is not 64 lower-case hex digits")
	case p.Size <= 0 || p.Size >= of.Size:
		return update.Patch{}, badAnswer("its patch has %d bytes, the image %d", p.Size, of.Size)
	}
	return p, nil
}

func odd(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }

package update

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode"
)

// Bounds of a Request, in bytes.
const (
	MaxURL     = 2048
	MaxCommand = 128
)

// ErrRequest is wrapped by every refusal of a malformed Request.
var ErrRequest = errors.New("bad request")

// Validate says what is wrong with a request as it came from outside. It is
// the one place where that is decided, whoever brings the request: ROS, MQTT
// or the command line. A SHA-256 must be in lower case: see Normalized.
func (r Request) Validate() error {
	if err := validURL(r.URL); err != nil {
		return err
	}
	if r.Local() && r.Origin != FromCLI && r.Origin != FromROS {
		return fmt.Errorf("%w: a file:// url is taken from this robot alone: from ota-agent trigger or /ota/trigger", ErrRequest)
	}
	if r.SHA256 != "" && !isSHA256(r.SHA256) {
		return fmt.Errorf("%w: sha256 must be 64 lower-case hex digits (the SHA-256 of the whole signed file), not %q", ErrRequest, cut(r.SHA256))
	}
	if len(r.Command) > MaxCommand || strings.ContainsFunc(r.Command, unprintable) {
		return fmt.Errorf("%w: the command's id must be at most %d printable characters", ErrRequest, MaxCommand)
	}
	switch r.Origin {
	case FromROS, FromMQTT, FromSchedule, FromCLI, FromHawkbit:
		return nil
	}
	return fmt.Errorf("%w: unknown origin %q", ErrRequest, cut(string(r.Origin)))
}

// Normalized is the request without the differences that mean nothing: space
// around its parts, and the case of the digest.
func (r Request) Normalized() Request {
	r.URL = strings.TrimSpace(r.URL)
	r.SHA256 = strings.ToLower(strings.TrimSpace(r.SHA256))
	r.Command = strings.TrimSpace(r.Command)
	return r
}

// Local says that the image is a file of this robot, or lies in a folder of it.
func (r Request) Local() bool {
	u, err := url.Parse(r.URL)
	return err == nil && u.Scheme == "file"
}

func validURL(s string) error {
	if s == "" {
		return nil
	}
	if len(s) > MaxURL {
		return fmt.Errorf("%w: the url has %d bytes, and may have %d", ErrRequest, len(s), MaxURL)
	}
	if strings.ContainsFunc(s, unprintable) || strings.ContainsRune(s, ' ') {
		return fmt.Errorf("%w: the url holds spaces or control characters", ErrRequest)
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("%w: the url cannot be read: want https://host/path", ErrRequest)
	}
	switch {
	case u.User != nil: // said without repeating it
		return fmt.Errorf("%w: the url holds a user or password: it would end up in logs", ErrRequest)
	case u.Scheme == "file":
		return validFile(u)
	case u.Scheme != "https":
		return fmt.Errorf("%w: the url must begin with https://, or with file:// for a file of this robot, not %q", ErrRequest, cut(s))
	case u.Hostname() == "":
		return fmt.Errorf("%w: the url %q names no host", ErrRequest, cut(s))
	case u.Fragment != "":
		return fmt.Errorf("%w: the url has a fragment (#…), which no server ever sees", ErrRequest)
	}
	return nil
}

// validFile checks what a file URL (RFC 8089) says. Which folders are open to
// it is for those who read the file to decide.
func validFile(u *url.URL) error {
	switch p := u.Path; {
	case u.Host != "" || u.Opaque != "" || !strings.HasPrefix(p, "/"):
		return fmt.Errorf("%w: a file's url needs three slashes: want file:///media/usb/image.signed, not %q", ErrRequest, cut(u.String()))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Errorf("%w: the file's url has a query or fragment; write ? and # in a name as %%3F and %%23", ErrRequest)
	case strings.ContainsFunc(p, unprintable):
		return fmt.Errorf("%w: the file's name holds control characters", ErrRequest)
	case path.Clean(p) != p && path.Clean(p)+"/" != p:
		return fmt.Errorf("%w: the file's path %q holds . or .. or a double slash: want the path as it is", ErrRequest, cut(p))
	}
	return nil
}

func isSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// cut shortens what is repeated in a message.
func cut(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

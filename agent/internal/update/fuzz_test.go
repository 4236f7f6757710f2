package update

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzRequest: a request that is valid names a URL of the two kinds there are, one
// that says the same to whoever reads it next.
func FuzzRequest(f *testing.F) {
	f.Add("https://updates.example.org/v1/artifacts/x", strings.Repeat("0a", 32), "mqtt", "order-1")
	f.Add("file:///media/usb/x.signed", "", "cli", "")
	f.Fuzz(func(t *testing.T, raw, sha, origin, command string) {
		r := Request{URL: raw, SHA256: sha, Origin: Origin(origin), Command: command}.Normalized()
		if r != r.Normalized() {
			t.Fatalf("%+v is not normal", r)
		}
		if r.Validate() != nil || r.URL == "" {
			return
		}
		u, err := url.Parse(r.URL)
		switch {
		case err != nil || u.User != nil || len(r.URL) > MaxURL:
			t.Fatalf("%q, %v", r.URL, err)
		case u.Scheme == "https" && u.Hostname() != "":
		case u.Scheme == "file" && u.Host == "" && (r.Origin == FromCLI || r.Origin == FromROS) && !strings.Contains(u.Path, ".."+"/"):
		default:
			t.Fatalf("%q by %s", r.URL, r.Origin)
		}
	})
}

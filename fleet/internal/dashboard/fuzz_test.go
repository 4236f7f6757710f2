package dashboard

import (
	"net/url"
	"testing"
)

// FuzzInside: wherever a log-in form leads, it is on this server.
func FuzzInside(f *testing.F) {
	f.Add("/robots?id=7")
	f.Add("//evil.example/")
	base := &url.URL{Scheme: "https", Host: "fleet.example", Path: "/login"}
	f.Fuzz(func(t *testing.T, next string) {
		to, err := base.Parse(inside(next))
		if err != nil || to.Scheme != base.Scheme || to.Host != base.Host || to.User != nil {
			t.Fatalf("%q leads to %v, %v", next, to, err)
		}
	})
}

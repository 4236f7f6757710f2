package httpguard

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestNamedURL(t *testing.T) {
	listed := []string{"cdn.example.org", "lab.example.org:8443", "*.robots.example", "[2001:db8::1]:444"}
	for _, tt := range []struct {
		url   string
		allow []string
		want  string // part of the refusal; "" allowed
	}{
		{"https://anywhere.example/x", nil, ""},
		{"https://updates.example.org/x", listed, ""},
		{"https://UPDATES.example.org.:443/x", listed, ""},
		{"https://updates.example.org:8443/x", listed, `the host is not allowed; add "updates.example.org:8443" to server.allow_hosts`},
		{"https://cdn.example.org/x", listed, ""},
		{"https://cdn.example.org:22/x", listed, "not allowed"},
		{"https://lab.example.org:8443/x", listed, ""},
		{"https://lab.example.org/x", listed, `add "lab.example.org" to`},
		{"https://a.robots.example/", listed, ""},
		{"https://a.b.robots.example/", listed, ""},
		{"https://robots.example/", listed, "not allowed"},
		{"https://evilrobots.example/", listed, "not allowed"},
		{"https://a.robots.example.evil.org/", listed, "not allowed"},
		{"https://.robots.example/", listed, "not allowed"},
		{"https://[2001:db8::1]:444/", listed, ""},
		{"https://[2001:db8::2]:444/", listed, "not allowed"},
		{"http://updates.example.org/x", nil, `the URL begins with "http:"; only https:// is fetched`},
		{"file:///etc/passwd", nil, `the URL begins with "file:"`},
		{"https://user:secret@updates.example.org/", nil, "holds a user name or password"},
		{"https:///x", nil, "names no host"},
		{"https:opaque", nil, "names no host"},
		{"https://b\u00fccher.example/", nil, "xn--"},
		{"https://[fe80::1%25eth0]/", nil, "other than letters"},
		{"https://a.example/" + strings.Repeat("x", maxURL), nil, "longer than 2048 bytes"},
		{"https://" + strings.Repeat("x", 300) + "/", nil, "names no host"},
	} {
		h, err := newHosts(parse(t, "https://updates.example.org/ota"), tt.allow)
		if err != nil {
			t.Fatal(err)
		}
		err = h.named(parse(t, tt.url))
		var refused *RefusedError
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.url, err)
		case tt.want != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", tt.url, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the password is repeated: %v", tt.url, err)
		}
	}
}

func TestRedirectStaysUnlessListed(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		allow    []string
		ok       bool
	}{
		{"https://a.example/1", "https://a.example/2", nil, true},
		{"https://a.example/1", "https://b.example/2", nil, false},
		{"https://a.example/1", "https://a.example:444/2", nil, false},
		{"https://a.example/1", "http://a.example/2", nil, false},
		{"https://a.example/1", "https://updates.example.org/2", nil, true},
		{"https://updates.example.org/1", "https://b.example/2", nil, false},
		{"https://updates.example.org/1", "https://x.cdn.example/2", []string{"*.cdn.example"}, true},
	} {
		h, err := newHosts(parse(t, "https://updates.example.org"), tt.allow)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.redirect(parse(t, tt.from), parse(t, tt.to)); (err == nil) != tt.ok {
			t.Errorf("%s → %s (allowed %v): %v", tt.from, tt.to, tt.allow, err)
		}
	}
}

func TestBadLists(t *testing.T) {
	for _, entry := range []string{"", "*.", "a/b", "https://a.example", "a b", "u@h", "*"} {
		if _, err := newHosts(nil, []string{entry}); err == nil || !strings.Contains(err.Error(), `want "host", "host:port" or "*.domain"`) {
			t.Errorf("%q: %v", entry, err)
		}
	}
	if _, err := newHosts(parse(t, "http://updates.example.org"), nil); err == nil {
		t.Error("an update server without TLS is accepted")
	}
}

func TestPublicAddress(t *testing.T) {
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "::ffff:93.184.216.34": true,
		"64:ff9b::5db8:d822": true, "2002:5db8:d822::1": true,
		"127.0.0.1": false, "127.255.0.9": false, "::1": false, "0.0.0.0": false, "0.1.2.3": false, "::": false,
		"10.0.0.1": false, "172.16.5.5": false, "192.168.1.1": false, "fd00::1": false,
		"169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false,
		"100.64.0.1": false, "192.0.0.8": false, "198.18.0.1": false, "224.0.0.1": false, "ff02::1": false,
		"255.255.255.255": false, "240.0.0.1": false, "2001::1": false, "100::1": false,
		"::ffff:127.0.0.1": false, "::ffff:100.64.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false,
		"64:ff9b::a00:1": false, "64:ff9b:1::1": false, "2002:7f00:1::1": false, "2002:c0a8:101::": false,
		"::127.0.0.1": false,
	} {
		if got := public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: public = %v, want %v", addr, got, want)
		}
	}
}

func FuzzNamed(f *testing.F) {
	for _, s := range []string{"https://updates.example.org/x", "https://cdn.example.org:444/", "https://u:p@cdn.example.org/", "https://cdn.example.org.evil/", "https://[::1]/", "https:\\\\cdn.example.org"} {
		f.Add(s)
	}
	h, err := newHosts(&url.URL{Scheme: "https", Host: "updates.example.org"}, []string{"cdn.example.org", "*.robots.example"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || h.named(u) != nil {
			return
		}
		host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
		if u.Scheme != "https" || u.User != nil || u.Port() != "" && u.Port() != "443" ||
			host != "updates.example.org" && host != "cdn.example.org" && !strings.HasSuffix(host, ".robots.example") {
			t.Errorf("%q is allowed", s)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "Sun, 01 Mar 2026 12:01:00 GMT", "-1", "99999999999999999999", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := RetryAfter(s, time.Unix(1_800_000_000, 0)); d < 0 || d > maxRetryAfter {
			t.Errorf("%q: %v", s, d)
		}
	})
}

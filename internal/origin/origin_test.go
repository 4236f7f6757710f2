package origin

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func from(remote string, forwarded ...string) *http.Request {
	return &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": forwarded}}
}

func TestOf(t *testing.T) {
	ours, err := Parse([]string{"10.0.0.7", "10.1.0.0/16", "2001:db8:aa::/48"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		r    *http.Request
		want string
	}{
		"nobody between":                    {from("192.0.2.1:1234"), "192.0.2.1"},
		"says to be another":                {from("192.0.2.1:1234", "198.51.100.9"), "192.0.2.1"},
		"says to be one of ours":            {from("192.0.2.1:1234", "10.0.0.7"), "192.0.2.1"},
		"through one":                       {from("10.0.0.7:99", "192.0.2.1"), "192.0.2.1"},
		"through one, with a forged start":  {from("10.0.0.7:99", "198.51.100.9, 10.0.0.7, 192.0.2.1"), "192.0.2.1"},
		"the forged start in its own line":  {from("10.0.0.7:99", "198.51.100.9", "192.0.2.1"), "192.0.2.1"},
		"through two":                       {from("10.0.0.7:99", "192.0.2.1,10.1.2.3"), "192.0.2.1"},
		"through two, two lines":            {from("10.0.0.7:99", "192.0.2.1", "10.1.2.3"), "192.0.2.1"},
		"through a stranger's proxy":        {from("10.0.0.7:99", "192.0.2.1, 198.51.100.9"), "198.51.100.9"},
		"the proxy itself asks":             {from("10.0.0.7:99"), "10.0.0.7"},
		"all are ours":                      {from("10.0.0.7:99", "10.1.0.1, 10.1.0.2"), "10.1.0.1"},
		"it does not know":                  {from("10.0.0.7:99", "192.0.2.1, unknown"), "10.0.0.7"},
		"an empty entry":                    {from("10.0.0.7:99", "192.0.2.1, "), "10.0.0.7"},
		"an empty line":                     {from("10.0.0.7:99", ""), "10.0.0.7"},
		"with ports":                        {from("10.0.0.7:99", "192.0.2.1:5555"), "192.0.2.1"},
		"IPv6":                              {from("[2001:db8:aa::1]:99", "2001:db8::1"), "2001:db8::1"},
		"IPv6 with a port":                  {from("[2001:db8:aa::1]:99", "[2001:db8::1]:5"), "2001:db8::1"},
		"IPv6 in brackets":                  {from("[2001:db8:aa::1]:99", "[2001:db8::1]"), "2001:db8::1"},
		"IPv4 written as IPv6":              {from("[::ffff:10.0.0.7]:99", "::ffff:192.0.2.1"), "192.0.2.1"},
		"a zone":                            {from("[fe80::1%eth0]:1"), "fe80::1"},
		"no port":                           {from("192.0.2.7"), "192.0.2.7"},
		"no address":                        {from("@", "192.0.2.1"), "invalid IP"},
		"ever more of ours":                 {from("10.0.0.7:99", strings.Repeat("10.1.0.1, ", 1000)+"10.1.0.1"), "10.1.0.1"},
		"a name":                            {from("10.0.0.7:99", "localhost"), "10.0.0.7"},
		"an address that is not quite ours": {from("10.0.0.8:99", "192.0.2.1"), "10.0.0.8"},
	} {
		said := slices.Clone(tt.r.Header.Values("X-Forwarded-For"))
		if got := ours.Of(tt.r).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
		if !slices.Equal(said, tt.r.Header.Values("X-Forwarded-For")) {
			t.Errorf("%s: the request was changed to %q", name, tt.r.Header)
		}
	}
	if got := Proxies(nil).Of(from("10.0.0.7:99", "192.0.2.1")).String(); got != "10.0.0.7" {
		t.Errorf("nobody is believed, and it comes from %s", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"0.0.0.0/0": "everybody", "::/0": "everybody", "proxy.example": "no address", "": "no address", "10.0.0.0/33": "no address",
		"::ffff:10.0.0.0/104": "write it as IPv4", "fe80::1%eth0/64": "no address",
	} {
		if _, err := Parse([]string{"10.0.0.7", text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234": "192.0.2.7", "[::ffff:192.0.2.7]:1234": "192.0.2.7", "[2001:db8::1]:1": "2001:db8::/64",
		"[2001:db8::ffff:1]:1": "2001:db8::/64", "[fe80::1%eth0]:1": "fe80::/64", "192.0.2.7": "192.0.2.7", "@": "", "": "",
	} {
		if got := Network(Proxies(nil).Of(from(remote))); got != want {
			t.Errorf("%q: got %q, want %q", remote, got, want)
		}
	}
}

// Whatever is said: where nobody is trusted it does not count, and where
// somebody is, an address that a stranger wrote before the last hop does not.
func FuzzOf(f *testing.F) {
	f.Add("198.51.100.9, 10.0.0.7, 192.0.2.1")
	f.Add("[2001:db8::1]:5,,:,%")
	ours, err := Parse([]string{"10.0.0.0/8"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said string) {
		if got := Proxies(nil).Of(from("192.0.2.1:1", said)).String(); got != "192.0.2.1" {
			t.Errorf("%q: %s", said, got)
		}
		if got := ours.Of(from("10.0.0.7:1", said+", 192.0.2.1")).String(); got != "192.0.2.1" {
			t.Errorf("%q: %s", said, got)
		}
		Network(ours.Of(from("10.0.0.7:1", said)))
	})
}

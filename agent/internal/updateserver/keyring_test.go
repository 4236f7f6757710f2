package updateserver

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// pages answers by path.
type pages map[string]*memory

func (p pages) Do(r *http.Request) (*http.Response, error) {
	m := p[r.URL.Path]
	if m == nil {
		m = &memory{status: 404}
	}
	return m.Do(r)
}

func (pages) Allow(u *url.URL) error { return (&memory{}).Allow(u) }

// asked says whether a path was asked for.
func (p pages) asked(path string) bool { return p[path] != nil && p[path].asked != nil }

// ring is a ring of straw at version 5.
type ring struct {
	took   []string
	from   string
	missed []error
}

func (*ring) Wants(version uint64) bool { return version > 5 }

func (r *ring) Take(document []byte, from string) {
	r.took, r.from = append(r.took, string(document)), from
}

func (r *ring) Missed(from string, err error) { r.missed, r.from = append(r.missed, err), from }

const (
	checkPath   = "/ota/v1/check"
	keyringPath = "/ota/v1/keyring"
)

func withRing(p pages, r *ring) *Client {
	c := client(p)
	if r != nil {
		c.cfg.Keyring = r
	}
	return c
}

func TestANewerKeyringIsFetched(t *testing.T) {
	for name, tt := range map[string]struct {
		check  *memory
		answer *memory
		took   bool
		missed string
		asked  bool
		found  bool
		err    string
	}{
		"with an offer":             {&memory{body: encode(t, good()), headers: announce("6")}, &memory{body: "{doc}"}, true, "", true, true, ""},
		"with nothing newer":        {&memory{status: 204, headers: announce("6")}, &memory{body: "{doc}"}, true, "", true, false, ""},
		"with an offer that is bad": {&memory{body: "{}", headers: announce("6")}, &memory{body: "{doc}"}, true, "", true, false, `it has no "version"`},
		"ours":                      {&memory{status: 204, headers: announce("5")}, &memory{body: "{doc}"}, false, "", false, false, ""},
		"an old one":                {&memory{status: 204, headers: announce("4")}, &memory{body: "{doc}"}, false, "", false, false, ""},
		"none":                      {&memory{status: 204}, &memory{body: "{doc}"}, false, "", false, false, ""},
		"no number":                 {&memory{body: encode(t, good()), headers: announce("six")}, &memory{body: "{doc}"}, false, `its Robot-OTA-Keyring "six" is no version`, false, true, ""},
		"a sign":                    {&memory{status: 204, headers: announce("+6")}, &memory{body: "{doc}"}, false, "is no version", false, false, ""},
		"beyond all versions":       {&memory{status: 204, headers: announce("9007199254740992")}, &memory{body: "{doc}"}, false, "is no version", false, false, ""},
		"the server refuses":        {&memory{status: 403, headers: announce("6")}, &memory{body: "{doc}"}, false, "", false, false, "403 Forbidden"},
		"it is not there":           {&memory{body: encode(t, good()), headers: announce("6")}, &memory{status: 404}, false, "version 6 could not be fetched: ask for the keyring: ", true, true, ""},
		"it is a web page":          {&memory{body: encode(t, good()), headers: announce("6")}, &memory{kind: "text/html"}, false, `of type "text/html"`, true, true, ""},
		"it is endless":             {&memory{body: encode(t, good()), headers: announce("6")}, &memory{body: strings.Repeat("x", keyring.MaxDocument+1)}, false, "longer than 32768 bytes", true, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, r := pages{checkPath: tt.check, keyringPath: tt.answer}, &ring{}
			_, found, err := withRing(p, r).Check(t.Context(), running)
			if found != tt.found || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("found %v, %v", found, err)
			}
			if tt.took != (len(r.took) == 1 && r.took[0] == "{doc}") || p.asked(keyringPath) != tt.asked {
				t.Errorf("took %q, asked %v", r.took, p.asked(keyringPath))
			}
			if tt.missed == "" != (len(r.missed) == 0) || len(r.missed) > 0 && !strings.Contains(r.missed[0].Error(), tt.missed) {
				t.Errorf("missed %v, want %q", r.missed, tt.missed)
			}
			if (tt.took || tt.missed != "") && r.from != "https://updates.example.org/ota/v1/keyring" {
				t.Errorf("from %q", r.from)
			}
		})
	}
	if _, ok, err := withRing(pages{checkPath: {body: encode(t, good()), headers: announce("6")}}, nil).Check(t.Context(), running); !ok || err != nil {
		t.Errorf("nobody wants keyrings: %v, %v", ok, err)
	}
}

func announce(version string) map[string]string {
	return map[string]string{"Robot-OTA-Keyring": version}
}

func TestRefreshKeyring(t *testing.T) {
	for name, tt := range map[string]struct {
		answer *memory
		took   bool
		err    string
	}{
		"newer":            {&memory{body: "{doc}", headers: announce("6")}, true, ""},
		"ours":             {&memory{body: "{doc}", headers: announce("5")}, false, ""},
		"it does not say":  {&memory{body: "{doc}"}, true, ""},
		"there is none":    {nil, false, ""},
		"the server fails": {&memory{status: 500}, false, "500"},
	} {
		p, r := pages{}, &ring{}
		if tt.answer != nil {
			p[keyringPath] = tt.answer
		}
		err := withRing(p, r).RefreshKeyring(t.Context())
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || tt.took != (len(r.took) == 1) {
			t.Errorf("%s: took %q, %v", name, r.took, err)
		}
	}
	if err := withRing(pages{}, nil).RefreshKeyring(t.Context()); err != nil {
		t.Error(err)
	}
}

// slowKeyring answers checks at once and never hands out its keyring.
type slowKeyring struct{ memory }

func (s *slowKeyring) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/keyring") {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	return s.memory.Do(r)
}

// A server that holds its keyring back does not keep the robot from its offer.
func TestAKeyringThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &ring{}
		c := client(&slowKeyring{memory{body: encode(t, good()), headers: announce("6")}})
		c.cfg.Keyring = r
		start := time.Now()
		if _, ok, err := c.Check(t.Context(), running); !ok || err != nil || time.Since(start) != timeout {
			t.Errorf("after %v: %v, %v", time.Since(start), ok, err)
		}
		if len(r.missed) != 1 || !strings.Contains(r.missed[0].Error(), "no answer within 1m0s") {
			t.Errorf("missed %v", r.missed)
		}
		// The agent stops meanwhile: that is nobody's fault.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, _, err := c.Check(ctx, running); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if len(r.missed) != 1 {
			t.Errorf("missed %v", r.missed)
		}
	})
}

package updateserver

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
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

func (*ring) Wants(version uint64) (after uint64, wanted bool) { return 5, version > 5 }

func (r *ring) Take(documents [][]byte, from string) {
	for _, d := range documents {
		r.took = append(r.took, string(d))
	}
	r.from = from
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
		"it does not say":  {&memory{body: "{doc}"}, false, ""},
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

// chained is a server that has several documents, and counts how often it is
// asked.
type chained struct {
	memory
	documents map[uint64][]byte // by version
	asked     []string
	newest    bool // it gives its newest whatever it is asked for
}

func (c *chained) Do(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/keyring") {
		return c.memory.Do(r)
	}
	c.asked = append(c.asked, r.URL.RawQuery)
	after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if err != nil {
		return nil, err
	}
	versions := slices.Sorted(maps.Keys(c.documents))
	i := slices.IndexFunc(versions, func(v uint64) bool { return v > after })
	if c.newest {
		i = len(versions) - 1
	}
	if i < 0 {
		return (&memory{status: 404}).Do(r)
	}
	return (&memory{body: string(c.documents[versions[i]])}).Do(r)
}

// A robot at version 5 fetches what came after it, one after the other.
func TestTheDocumentsInBetweenAreFetched(t *testing.T) {
	many := map[uint64][]byte{}
	for v := uint64(1); v <= 100; v++ {
		many[v] = keyringtest.Any(v).Encode()
	}
	few := map[uint64][]byte{3: many[3], 6: many[6], 9: many[9]}
	for name, tt := range map[string]struct {
		server   *chained
		announce string
		took     []uint64
		asked    int
		missed   string
	}{
		"two":                      {&chained{documents: few}, "9", []uint64{6, 9}, 2, ""},
		"the newest alone":         {&chained{documents: few, newest: true}, "9", []uint64{9}, 1, ""},
		"as many as are bearable":  {&chained{documents: many}, "100", seq(6, 37), maxDocuments, ""},
		"fewer than was announced": {&chained{documents: few}, "20", []uint64{6, 9}, 3, "version 20 could not be fetched: ask for the keyring: "},
		"the same for ever":        {&chained{documents: few, newest: true}, "20", []uint64{9, 9}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tt.server.memory = memory{status: 204, headers: announce(tt.announce)}
			r := &ring{}
			c := client(tt.server)
			c.cfg.Keyring = r
			if _, _, err := c.Check(t.Context(), running); err != nil {
				t.Error(err)
			}
			var want []string
			for _, v := range tt.took {
				want = append(want, string(tt.server.documents[v]))
			}
			if !slices.Equal(r.took, want) || len(tt.server.asked) != tt.asked || tt.server.asked[0] != "after=5" {
				t.Errorf("took %d, asked %v", len(r.took), tt.server.asked)
			}
			if tt.missed == "" != (len(r.missed) == 0) || len(r.missed) > 0 && !strings.Contains(r.missed[0].Error(), tt.missed) {
				t.Errorf("missed %v", r.missed)
			}
		})
	}
}

func seq(from, to uint64) (out []uint64) {
	for v := from; v <= to; v++ {
		out = append(out, v)
	}
	return out
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

package api

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/origin"
)

// certified is a request over TLS with a client certificate that was verified.
func certified(target, name string, headers ...string) *http.Request {
	r := request("GET", target, "", headers...)
	r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: name}}}}}
	return r
}

func TestIdentity(t *testing.T) {
	f := newFleet(t)
	f.robot("r1")
	f.robot("r2")
	f.update(func(tx *store.Tx) error {
		return tx.AddRobot(t.Context(), store.Robot{ID: "r3", SKU: "standard", Certificate: "robot-three"})
	})
	const check = "/v1/check?sku=standard&version=0.2.0"
	for name, tt := range map[string]struct {
		target   string
		cert     string
		headers  []string
		required int // the status
		optional int
		detail   string
	}{
		"a token":                        {check, "", []string{"Authorization: Bearer r1"}, 200, 200, ""},
		"a token, in other letters":      {check, "", []string{"Authorization: bearer r1"}, 200, 200, ""},
		"a token and its id":             {check + "&robot_id=r1", "", []string{"Authorization: Bearer r1"}, 200, 200, ""},
		"a certificate":                  {check + "&robot_id=r2", "r2", nil, 200, 200, ""},
		"a certificate of another name":  {check + "&robot_id=r3", "robot-three", nil, 200, 200, ""},
		"a certificate and its token":    {check, "r1", []string{"Authorization: Bearer r1"}, 200, 200, ""},
		"nothing":                        {check, "", nil, 401, 200, "say who you are"},
		"an id alone":                    {check + "&robot_id=r1", "", nil, 401, 200, "say who you are"},
		"another's id":                   {check + "&robot_id=r2", "", []string{"Authorization: Bearer r1"}, 403, 403, `robot_id is "r2", the certificate or token is of another robot`},
		"another's id, by certificate":   {check + "&robot_id=r1", "r2", nil, 403, 403, "is of another robot"},
		"another's SKU":                  {"/v1/check?sku=basic&version=0.1.0", "", []string{"Authorization: Bearer r1"}, 403, 403, "registered as standard"},
		"a token that is none":           {check, "", []string{"Authorization: Bearer r9"}, 401, 401, "the bearer token is not valid"},
		"another's token":                {check, "r1", []string{"Authorization: Bearer r2"}, 403, 403, "the token and the certificate are of different robots"},
		"a certificate nobody knows":     {check, "r9", nil, 403, 403, `no robot is registered with the certificate "r9"`},
		"an id as certificate":           {check, "r3", nil, 403, 403, "no robot is registered"},
		"no certificate, a token's hash": {check, "", []string{"Authorization: Bearer e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}, 401, 401, "not valid"},
		"an empty token":                 {check, "", []string{"Authorization: Bearer "}, 401, 401, "want one Bearer token"},
		"a password":                     {check, "", []string{"Authorization: Basic cjE6cjE="}, 401, 401, "want one Bearer token"},
		"two tokens":                     {check, "", []string{"Authorization: Bearer r1", "Authorization: Bearer r2"}, 401, 401, "want one Bearer token"},
		"a long token":                   {check, "", []string{"Authorization: Bearer " + strings.Repeat("x", 257)}, 401, 401, "want one Bearer token"},
		"an artifact, for a token":       {"/v1/artifacts/" + sum, "", []string{"Authorization: Bearer r1"}, 200, 200, ""},
		"an artifact, for nobody":        {"/v1/artifacts/" + sum, "", nil, 401, 200, "say who you are"},
		"an artifact, for a stranger":    {"/v1/artifacts/" + sum, "r9", nil, 403, 403, "no robot is registered"},
		"the keyring, for nobody":        {"/v1/keyring", "", nil, 404, 404, "there is no keyring document"},
	} {
		for identity, status := range map[Identity]int{IdentityRequired: tt.required, IdentityOptional: tt.optional} {
			f.cfg.Identity = identity
			r := request("GET", tt.target, "", tt.headers...)
			if tt.cert != "" {
				r = certified(tt.target, tt.cert, tt.headers...)
			}
			w := f.do(r)
			if status < 400 && w.Code != status {
				t.Errorf("%s, %s: got %d %s", name, identity, w.Code, w.Body)
			}
			if status >= 400 {
				isProblem(t, w, status, tt.detail)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (status == 401) != strings.HasPrefix(challenge, `Bearer realm="ota-fleet"`) {
				t.Errorf("%s, %s: challenge %q", name, identity, challenge)
			}
		}
	}
}

// A certificate that TLS did not verify is none.
func TestUnverifiedCertificate(t *testing.T) {
	f := newFleet(t)
	f.robot("r1")
	f.cfg.Identity = IdentityRequired
	r := request("GET", "/v1/check?sku=standard&version=0.2.0", "")
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "r1"}}}}
	isProblem(t, f.do(r), 401, "say who you are")
}

func TestTokenThatWasTakenAway(t *testing.T) {
	f := newFleet(t)
	f.robot("r1")
	f.cfg.Identity = IdentityRequired
	const check = "/v1/check?sku=standard&version=0.2.0"
	if w := f.ask("GET", check, "Authorization: Bearer r1"); w.Code != 200 {
		t.Errorf("got %d", w.Code)
	}
	f.update(func(tx *store.Tx) error { return tx.SetToken(t.Context(), "r1", "") })
	isProblem(t, f.ask("GET", check, "Authorization: Bearer r1"), 401, "not valid")
	if w := f.ask("GET", check, "Authorization: Bearer r1"); !strings.Contains(w.Header().Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("%v", w.Header())
	}
	f.update(func(tx *store.Tx) error { return tx.RemoveRobot(t.Context(), "r1") })
	isProblem(t, f.do(certified(check, "r1")), 403, "no robot is registered")
}

// Who proves nothing is counted by the address: that of the network behind a
// proxy that is trusted, and of nobody else.
func TestStrangersAreCountedByTheirAddress(t *testing.T) {
	ours, err := origin.Parse([]string{"10.0.0.7"})
	if err != nil {
		t.Fatal(err)
	}
	a := &api{cfg: Config{Proxies: ours}}
	for remote, want := range map[string]string{"10.0.0.7:1": "addr:2001:db8::/64", "10.0.0.8:1": "addr:10.0.0.8", "@": "addr:unknown"} {
		if got := a.addressOf(&http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {"192.0.2.1, 2001:db8::1"}}}); got != want {
			t.Errorf("%q: got %q, want %q", remote, got, want)
		}
	}
}

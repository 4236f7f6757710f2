package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// token registers a robot and gives its token.
func (l *lab) token(t *testing.T, id string, more ...string) string {
	t.Helper()
	file := l.file("token-" + id)
	l.do(t, append([]string{"robot", "add", "--data", l.file("data"), "--sku", "standard", "--file", file, id}, more...)...)
	b, err := os.ReadFile(file)
	if info, ierr := os.Stat(file); err != nil || ierr != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(err, info, ierr)
	}
	return strings.TrimSpace(string(b))
}

// Who a robot is, over real TLS: nobody, another, by a token, by a certificate.
func TestWhoIsServed(t *testing.T) {
	t.Parallel()
	l := prepare(t)
	l.serve(t, "--client-ca", l.file("tls/ca.pem"), "--downloads", "2")
	one, two := l.token(t, "r1"), l.token(t, "r2")
	const check = "/v1/check?sku=standard&version=0.1.0"
	var artifact string
	for _, tt := range []struct {
		name, path, token string
		status            int
	}{
		{"nobody", check, "", 401}, {"an id", check + "&robot_id=r1", "", 401}, {"a wrong token", check, one[:42], 401},
		{"another's id", check + "&robot_id=r2", one, 403}, {"its token", check + "&robot_id=r1", one, 200}, {"its token, no id", check, two, 200},
		{"the manifest, for everybody", "/v1/manifest", "", 200}, {"a stranger's artifact", "artifact", "", 401},
		{"a download", "artifact", one, 200}, {"the second", "artifact", one, 200}, {"more than enough", "artifact", one, 429}, {"another robot's", "artifact", two, 200},
	} {
		if tt.path == "artifact" {
			tt.path = artifact
		}
		var headers []string
		if tt.token != "" {
			headers = []string{"Authorization: Bearer " + tt.token}
		}
		resp, body := l.get(t, tt.path, headers...)
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %d %s", tt.name, resp.StatusCode, body)
		}
		var o struct{ URL string }
		if tt.status == 200 && artifact == "" && json.Unmarshal(body, &o) == nil {
			artifact = strings.TrimPrefix(o.URL, l.url)
		}
	}

	// By certificate, and without any token.
	pair, err := tls.LoadX509KeyPair(l.file("tls/robots/r1.pem"), l.file("tls/robots/r1-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	with := func(cert tls.Certificate, path string) (int, error) {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.pool, Certificates: []tls.Certificate{cert}}}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get(l.url + path)
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	for path, want := range map[string]int{check: 200, check + "&robot_id=r1": 200, check + "&robot_id=r2": 403} {
		if got, err := with(pair, path); got != want || err != nil {
			t.Errorf("by certificate, %s: %d, %v", path, got, err)
		}
	}
	l.do(t, "dev-cert", "--dir", l.file("forged"), "--robot", "r1") // by another authority
	forged, err := tls.LoadX509KeyPair(l.file("forged/robots/r1.pem"), l.file("forged/robots/r1-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := with(forged, check); err == nil {
		t.Errorf("a forged certificate is served: %d", got)
	}

	// What is taken away counts no more, beside the running server.
	l.do(t, "robot", "token", "--data", l.file("data"), "--remove", "r2")
	if resp, _ := l.get(t, check, "Authorization: Bearer "+two); resp.StatusCode != 401 {
		t.Errorf("a token that was taken away: %d", resp.StatusCode)
	}
	l.do(t, "robot", "remove", "--data", l.file("data"), "--yes", "r1")
	if got, err := with(pair, check); got != 403 || err != nil {
		t.Errorf("a robot that was removed: %d, %v", got, err)
	}
}

// What is taken back is not served from the next request on, by any server.
func TestWithdrawnBesideTheServer(t *testing.T) {
	t.Parallel()
	l := start(t)
	_, body := l.get(t, "/v1/check?sku=standard&version=0.1.0")
	var o struct{ URL string }
	if err := json.Unmarshal(body, &o); err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(o.URL, l.url)
	if resp, _ := l.get(t, path); resp.StatusCode != 200 {
		t.Errorf("before: %d", resp.StatusCode)
	}
	l.do(t, "withdraw", "--data", l.file("data"), "--reason", "it bites", "standard-0.2.0")
	if resp, _ := l.get(t, path); resp.StatusCode != http.StatusGone {
		t.Errorf("withdrawn: %d", resp.StatusCode)
	}
	l.do(t, "publish", "--stable", "--data", l.file("data"), "--sku", "standard", l.file("0.2.1.bin"))
	if resp, _ := l.get(t, "/v1/check?sku=standard&version=0.2.0"); resp.StatusCode != 200 {
		t.Errorf("the next release: %d", resp.StatusCode)
	}
	l.do(t, "key", "revoke", "--data", l.file("data"), "--reason", "stolen", l.file("pub.der"))
	if resp, _ := l.get(t, "/v1/check?sku=standard&version=0.2.0"); resp.StatusCode != 204 {
		t.Errorf("its key is revoked: %d", resp.StatusCode)
	}
}

// A certificate that is renewed in its file is used without a restart, and
// connections that are open stay.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	l := start(t)
	open := l.client(t)
	if resp, err := open.Get(l.url + "/healthz"); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	} else {
		resp.Body.Close()
	}
	l.do(t, "dev-cert", "--dir", l.file("new"))
	for _, name := range []string{"server-key.pem", "server.pem"} {
		if err := os.Rename(l.file("new/"+name), l.file("tls/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := os.ReadFile(l.file("new/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	l.pool = x509.NewCertPool()
	l.pool.AppendCertsFromPEM(ca)
	for deadline := time.Now().Add(20 * time.Second); ; {
		resp, err := l.client(t).Get(l.url + "/healthz")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new one is not used: %v", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if resp, err := open.Get(l.url + "/healthz"); err != nil || resp.StatusCode != 200 {
		t.Errorf("the open connection: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
}

// Two servers share a PostgreSQL and a folder: what one is told the other knows.
func TestTwoServersOnePostgres(t *testing.T) {
	t.Parallel()
	env := storetest.Postgres(t)
	l := prepare(t)
	l.do(t, "publish", "--stable", "--data", l.file("data"), "--db", env.DB, "--sku", "standard", "--key", l.file("pub.der"), l.file("0.2.0.bin"))
	second := *l
	l.serve(t, "--db", env.DB, "--downloads", "1")
	second.serve(t, "--db", env.DB, "--downloads", "1")
	l.do(t, "robot", "add", "--data", l.file("data"), "--db", env.DB, "--sku", "standard", "--file", l.file("token"), "r1")
	token, err := os.ReadFile(l.file("token"))
	if err != nil {
		t.Fatal(err)
	}
	auth := "Authorization: Bearer " + strings.TrimSpace(string(token))
	path := ""
	for _, s := range []*lab{l, &second} {
		resp, body := s.get(t, "/v1/check?sku=standard&version=0.1.0", auth)
		var o struct{ URL string }
		if err := json.Unmarshal(body, &o); err != nil || resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		path = strings.TrimPrefix(o.URL, s.url)
	}
	if resp, _ := l.get(t, path, auth); resp.StatusCode != 200 {
		t.Errorf("the first server: %d", resp.StatusCode)
	}
	if resp, _ := second.get(t, path, auth); resp.StatusCode != 429 {
		t.Errorf("the download limit is the fleet's, not a server's: %d", resp.StatusCode)
	}
	l.do(t, "withdraw", "--data", l.file("data"), "--db", env.DB, "--reason", "it bites", "standard-0.2.0")
	for _, s := range []*lab{l, &second} {
		if resp, _ := s.get(t, path, auth); resp.StatusCode != http.StatusGone {
			t.Errorf("withdrawn: %d", resp.StatusCode)
		}
		if resp, _ := s.get(t, "/readyz"); resp.StatusCode != 200 {
			t.Errorf("ready: %d", resp.StatusCode)
		}
	}
}

func TestConfirmed(t *testing.T) {
	for answer, want := range map[string]error{"y\n": nil, "YES\r\n": nil, "n\n": errNotConfirmed, "": errNotConfirmed, "yes please\n": errNotConfirmed, "\n": errNotConfirmed} {
		if got := confirmed(strings.NewReader(answer)); !errors.Is(got, want) {
			t.Errorf("%q: %v", answer, got)
		}
	}
}

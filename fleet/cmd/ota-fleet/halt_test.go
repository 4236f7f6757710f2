package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// A release is called back beside a running server: check, manifest and
// artifact say so with the next request, and a robot that turns up afterwards
// is told by the server.
func TestCallBackBesideServer(t *testing.T) {
	t.Parallel()
	l := start(t, "--public-url", "https://updates.example")
	l.do(t, "publish", "--stable", "--data", l.file("data"), "--sku", "standard", l.file("0.2.1.bin"))
	for _, id := range []string{"r1", "r2"} {
		l.do(t, "robot", "add", "--data", l.file("data"), "--sku", "standard", "--no-token", id)
	}
	var offer struct{ Version, SHA256 string }
	_, body := l.get(t, "/v1/check?sku=standard&version=0.1.0")
	if err := json.Unmarshal(body, &offer); err != nil || offer.Version != "0.2.1" {
		t.Fatalf("before: %s, %v", body, err)
	}
	artifact := "/v1/artifacts/" + offer.SHA256
	if resp, _ := l.get(t, artifact, "Range: bytes=0-99"); resp.StatusCode != http.StatusPartialContent {
		t.Fatalf("before: %d", resp.StatusCode)
	}

	l.do(t, "rollback", "--data", l.file("data"), "--release", "standard-0.2.1", "--reason", "it bites", "--yes")
	if _, body := l.get(t, "/v1/check?sku=standard&version=0.1.0"); !strings.Contains(string(body), `"version":"0.2.0"`) {
		t.Errorf("the check: %s", body)
	}
	if resp, _ := l.get(t, "/v1/check?sku=standard&version=0.2.0"); resp.StatusCode != http.StatusNoContent {
		t.Errorf("the check of one that is back: %d", resp.StatusCode)
	}
	if _, body := l.get(t, "/v1/manifest"); strings.Contains(string(body), "0.2.1") || !strings.Contains(string(body), "standard-0.2.0") {
		t.Errorf("the manifest: %s", body)
	}
	for _, of := range []string{"", "bytes=100-"} { // a download that was begun is not finished
		if resp, body := l.get(t, artifact, "Range: "+of); resp.StatusCode != http.StatusGone || !strings.Contains(string(body), "withdrawn") {
			t.Errorf("the artifact, %q: %d, %s", of, resp.StatusCode, body)
		}
	}

	s, err := store.Open(t.Context(), store.Options{Dir: l.file("data"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	bad, err := compat.ParseVersion("0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), "says", func(tx *store.Tx) error {
		return tx.SetState(t.Context(), "r2", store.RobotState{Version: bad})
	})
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		all, err := s.Commands(t.Context(), store.CommandQuery{})
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("r2 is not told: %v\n%s", err, l.log)
		}
		if len(all) == 1 && all[0].Robot == "r2" && all[0].Verb == store.VerbRollback {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Of two servers over one PostgreSQL one follows incidents. When it is killed,
// the other one tells the robots that turn up afterwards.
func TestAnotherServerFollows(t *testing.T) {
	t.Parallel()
	env := storetest.Postgres(t)
	l := &lab{dir: env.Dir, log: &bytes.Buffer{}, pool: x509.NewCertPool()}
	if err := makeImages(l.dir); err != nil {
		t.Fatal(err)
	}
	db := []string{"--db", env.DB}
	l.do(t, "dev-cert", "--dir", l.file("tls"))
	l.do(t, append([]string{"publish", "--stable", "--data", l.file("data"), "--sku", "standard", "--key", l.file("pub.der"), l.file("0.2.1.bin")}, db...)...)
	for _, id := range []string{"r1", "r2"} {
		l.do(t, append([]string{"robot", "add", "--data", l.file("data"), "--sku", "standard", "--no-token", id}, db...)...)
	}
	l.do(t, append([]string{"rollback", "--data", l.file("data"), "--release", "standard-0.2.1", "--reason", "it bites", "--yes"}, db...)...)

	s, err := store.Open(t.Context(), store.Options{Dir: l.file("data"), DB: env.DB, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	turnsUp := func(robot string) {
		t.Helper()
		if err := s.Update(t.Context(), "says", func(tx *store.Tx) error {
			return tx.SetState(t.Context(), robot, store.RobotState{Version: compat.Version{Minor: 2, Patch: 1}})
		}); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
			told, err := s.Commands(t.Context(), store.CommandQuery{Robot: robot})
			if err != nil || time.Now().After(end) {
				t.Fatalf("%s is not told: %v", robot, err)
			}
			if len(told) > 0 {
				return
			}
		}
	}
	l.serve(t, db...)
	turnsUp("r1")
	first, err := s.Lease(t.Context(), incidentLease)
	if err != nil {
		t.Fatal(err)
	}
	leader := l.cmd
	l.log = &bytes.Buffer{}
	l.serve(t, db...)
	if err := leader.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	turnsUp("r2")
	if next, err := s.Lease(t.Context(), incidentLease); err != nil || next.Epoch != first.Epoch+1 {
		t.Errorf("the lease: %+v after %+v, %v", next, first, err)
	}
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func TestCheck(t *testing.T) {
	f := newFleet(t)
	f.publish("standard", "1.0.0", release.Stable, []byte(strings.Repeat("new", 100)))
	f.publish("standard", "0.2.2", release.Published, []byte(strings.Repeat("young", 100)))
	for query, want := range map[string]string{
		"sku=standard&version=0.2.0":                           "0.2.1",
		"sku=standard&version=v0.1.0&robot_id=robot-1&x=":      "0.2.1",
		"sku=standard&version=0.2.1":                           "", // nobody knows whether its companion fits 1.0.0
		"sku=standard&version=0.2.1&companion=0.2.0":           "",
		"sku=standard&version=0.2.1&companion=v1.0.0":          "1.0.0",
		"sku=standard&version=1.0.0&companion=1.0.0":           "",
		"sku=standard&version=1.0.1&companion=1.0.0":           "", // never below what runs
		"sku=industrial&version=0.1.0":                         "", // nothing published yet
		"sku=standard&version=0.2.0&companion=&robot_id=&y=&z": "0.2.1",
	} {
		w := f.ask("GET", "/v1/check?"+query)
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", query, w.Header())
		}
		if want == "" {
			if w.Code != http.StatusNoContent || w.Body.Len() != 0 {
				t.Errorf("%s: got %d %s", query, w.Code, w.Body)
			}
			continue
		}
		var got offer
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Version.String() != want {
			t.Errorf("%s: got %d %s", query, w.Code, w.Body)
		}
	}
	exp := fmt.Sprintf(`{"version":"0.2.1","url":"https://updates.example.org:8443/v1/artifacts/%s","sha256":"%s","size":1000,"protocol":1,"release":"standard-0.2.1"}`+"\n", sum, sum)
	if w := f.ask("GET", "/v1/check?sku=standard&version=0.2.0"); w.Body.String() != exp {
		t.Errorf("got %s\nwant %s", w.Body, exp)
	}
	f.public("https://cdn.example.org/ota/")
	if w := f.ask("GET", "/v1/check?sku=standard&version=0.2.0"); !strings.Contains(w.Body.String(), `"url":"https://cdn.example.org/ota/v1/artifacts/`+sum) {
		t.Errorf("with a public address: %s", w.Body)
	}
	if w := f.ask("HEAD", "/v1/check?sku=standard&version=0.2.0"); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
}

// A robot is offered the release of a rollout when it has its turn.
func TestCheckInARollout(t *testing.T) {
	f := newFleet(t)
	for _, id := range []string{"r1", "r2", "r3"} {
		f.robot(id)
	}
	f.publish("standard", "0.2.2", release.Published, []byte(strings.Repeat("young", 100)))
	r := store.Rollout{ID: "o1", Version: version("0.2.2"), SKUs: []string{"standard"}, Phase: "running", Stage: "internal"}
	f.update(func(tx *store.Tx) (err error) {
		if r, err = tx.StartRollout(t.Context(), r); err != nil {
			return err
		}
		return tx.Assign(t.Context(), store.Assignment{Rollout: "o1", Robot: "r1", SKU: "standard", Stage: "internal"},
			store.Assignment{Rollout: "o1", Robot: "r2", SKU: "standard", Stage: "canary"})
	})
	offered := func(id string) string {
		var headers []string
		if id != "" {
			headers = []string{"Authorization: Bearer " + id}
		}
		w := f.ask("GET", "/v1/check?sku=standard&version=0.2.1&robot_id="+id, headers...)
		var o offer
		if w.Code == http.StatusOK {
			if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil {
				t.Error(err)
			}
			return o.Version.String()
		}
		return ""
	}
	save := func(phase, stage string, active bool) {
		f.update(func(tx *store.Tx) (err error) {
			r.Phase, r.Stage, r.Active = phase, stage, active
			r, err = tx.SaveRollout(t.Context(), r)
			return err
		})
	}
	turns := func(name string, want ...string) {
		t.Helper()
		for _, id := range []string{"r1", "r2", "r3", ""} {
			exp := ""
			for _, w := range want {
				if w == id {
					exp = "0.2.2"
				}
			}
			if got := offered(id); got != exp {
				t.Errorf("%s: %q is offered %q, want %q", name, id, got, exp)
			}
		}
	}
	turns("internal", "r1")
	// A robot that says it is another one, without being it, gets nothing of it.
	if w := f.ask("GET", "/v1/check?sku=standard&version=0.2.1&robot_id=r1"); w.Code != http.StatusNoContent {
		t.Errorf("by its id alone: %d", w.Code)
	}
	f.env.Clock.Add(time.Minute)
	save("running", "canary", true)
	turns("canary", "r1", "r2")
	save("paused", "canary", true)
	turns("paused")
	save("halted", "canary", false)
	turns("halted")
	a, err := f.store.Assignment(t.Context(), "o1", "r2")
	if err != nil || !a.Offered.Equal(f.env.Clock.Now()) {
		t.Errorf("r2 was offered it at %v, %v", a.Offered, err)
	}
	if robot, err := f.store.Robot(t.Context(), "r3"); err != nil || !robot.State.Checked.Equal(f.env.Clock.Now()) {
		t.Errorf("r3 asked at %v, %v", robot.State.Checked, err)
	}
	f.update(func(tx *store.Tx) error {
		return tx.SetStatus(t.Context(), "standard", version("0.2.2"), release.Stable, "ann", "")
	})
	turns("stable", "r1", "r2", "r3", "")
}

// What the robot reported of its companion counts where it does not say.
func TestCheckKnowsTheCompanion(t *testing.T) {
	f := newFleet(t)
	f.publish("standard", "1.0.0", release.Stable, []byte(strings.Repeat("new", 100)))
	f.robot("r1")
	f.update(func(tx *store.Tx) error {
		return tx.SetState(t.Context(), "r1", store.RobotState{Companion: version("1.2.0")})
	})
	for query, status := range map[string]int{"": 200, "&companion=0.2.0": 204} {
		if w := f.ask("GET", "/v1/check?sku=standard&version=0.2.1"+query, "Authorization: Bearer r1"); w.Code != status {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	}
}

func TestBadChecks(t *testing.T) {
	f := newFleet(t)
	for query, want := range map[string]struct {
		status int
		detail string
	}{
		"":                                        {400, "sku is missing: want one of basic, industrial, standard"},
		"sku=standard":                            {400, "version: not a version"},
		"sku=standard&version=latest":             {400, "version: not a version"},
		"sku=standard&version=0.0.0":              {400, "version: not a version"},
		"sku=standard&version=0.2.1-rc1":          {400, "version: not a version"},
		"sku=standard&version=0.2.1&companion=x":  {400, "companion: not a version"},
		"sku=deluxe&version=0.2.0":                {404, `unknown sku "deluxe": want one of basic, industrial, standard`},
		"sku=..%2F..%2Fetc&version=0.2.0":         {404, "unknown sku"},
		"sku=basic&sku=standard&version=0.2.0":    {400, "sku is given twice"},
		"sku=standard&version=0.2.0&from=":        {400, "from: want a SHA-256"},
		"sku=standard&version=0.2.0&from=../../x": {400, "from: want a SHA-256"},
		"sku=standard&version=0.2.0" + strings.Repeat("&from="+strings.Repeat("0a", 32), 5): {400, "from is given 5 times, at most 4"},
		"sku=standard&version=0.2.0&version=1":                                              {400, "version is given twice"},
		"sku=standard&version=0.2.0&robot_id=a%20b":                                         {400, "robot_id: want 1 to 64 letters"},
		"sku=standard&version=0.2.0&robot_id=" + strings.Repeat("x", 65):                    {400, "robot_id: want 1 to 64 letters"},
		"sku=standard&version=0.2.0&robot_id=x%0d%0aSet-Cookie:":                            {400, "robot_id: want 1 to 64 letters"},
		"sku=%zz":                    {400, "the query cannot be read"},
		"sku=standard;version=0.2.0": {400, "the query cannot be read"},
		"sku=standard&version=0.2.0&x=" + strings.Repeat("x", 1024): {400, "the query is longer than 1024 bytes"},
	} {
		isProblem(t, f.ask("GET", "/v1/check?"+query), want.status, want.detail)
	}
}

// The Host header goes into the answer only where it is one.
func TestForgedHost(t *testing.T) {
	f := newFleet(t)
	for _, host := range []string{"", "a/b", "user@evil.example", "a b", "evil.example?x=", "[::1", "a:b"} {
		for _, target := range []string{"/v1/check?sku=standard&version=0.2.0", "/v1/manifest"} {
			r := httptest.NewRequest("GET", target, nil)
			r.Host = host
			isProblem(t, f.do(r), 400, "the Host header")
		}
	}
}

func TestManifest(t *testing.T) {
	f := newFleet(t)
	f.publish("industrial", "0.2.2", release.Published, []byte(strings.Repeat("young", 100)))
	f.cfg.Identity = IdentityRequired // it is for everybody all the same
	for public, cache := range map[string]string{"": "no-store", "https://cdn.example.org": "public, max-age=60"} {
		if f.cfg.PublicURL = nil; public != "" {
			f.public(public)
		}
		w := f.ask("GET", "/v1/manifest")
		var got struct{ SKUs map[string]offer }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.SKUs) != 2 || got.SKUs["standard"].Release != "standard-0.2.1" || got.SKUs["basic"].Release != "basic-0.2.0" || w.Header().Get("Cache-Control") != cache {
			t.Errorf("got %+v, %v", got, w.Header())
		}
	}
}

func FuzzQuestion(f *testing.F) {
	for _, s := range []string{"sku=basic&version=0.2.0", "sku=basic&version=0.2.0&robot_id=r&companion=1.0.0", "sku=%zz", "sku=a&sku=b", "version=0.0.0&sku=basic"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := parseQuestion(s)
		var p *problem
		switch {
		case err != nil && (!errors.As(err, &p) || p.Status != 400 && p.Status != 404):
			t.Errorf("%q: %v", s, err)
		case err == nil && (!release.Known(q.sku) || q.version.IsZero() || q.robot != "" && !store.IsRobotID(q.robot)):
			t.Errorf("%q: %+v", s, q)
		}
	})
}

// A patch is offered to who asks for one, served like any artifact, and gone with
// its release.
func TestCheckWithAPatch(t *testing.T) {
	f := newFleet(t)
	old, file := digest([]byte(strings.Repeat("old", 100))), []byte("a patch")
	if err := f.store.KeepPatch(t.Context(), store.Patch{From: old, To: sum}, file); err != nil {
		t.Fatal(err)
	}
	ask := func(from ...string) (o offer) {
		t.Helper()
		query := "/v1/check?sku=standard&version=0.1.9"
		for _, s := range from {
			query += "&from=" + s
		}
		w := f.ask("GET", query)
		if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || o.SHA256 != sum {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return o
	}
	if w := f.ask("GET", "/v1/check?sku=standard&version=0.1.9"); strings.Contains(w.Body.String(), "patch") {
		t.Errorf("not asked for: %s", w.Body)
	}
	if o := ask(strings.Repeat("0a", 32)); o.Patch != nil {
		t.Errorf("from another file: %+v", o.Patch)
	}
	want := patch{URL: "https://updates.example.org:8443/v1/artifacts/" + digest(file), SHA256: digest(file), Size: int64(len(file)), From: old}
	o := ask(strings.Repeat("0a", 32), old)
	if o.Patch == nil || *o.Patch != want {
		t.Fatalf("got %+v, want %+v", o.Patch, want)
	}
	path := "/v1/artifacts/" + o.Patch.SHA256
	w := f.ask("GET", path)
	if w.Code != http.StatusOK || w.Body.String() != "a patch" || w.Header().Get("ETag") != `"`+digest(file)+`"` || w.Header().Get("Cache-Control") != cacheArtifact {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := f.ask("GET", path, "Range: bytes=2-"); w.Code != http.StatusPartialContent || w.Body.String() != "patch" {
		t.Errorf("a range: %d %s", w.Code, w.Body)
	}
	f.back.Patches = brokenPatches{}
	if o := ask(old); o.Patch != nil || !strings.Contains(f.log.String(), "no patch is offered") {
		t.Errorf("with a store that fails: %+v", o.Patch)
	}
	f.update(func(tx *store.Tx) error {
		return tx.SetStatus(t.Context(), "standard", version("0.2.1"), release.Withdrawn, "me", "it bites")
	})
	isProblem(t, f.ask("GET", path), http.StatusGone, "the release was withdrawn")
}

type brokenPatches struct{}

func (brokenPatches) PatchTo(context.Context, string, []string) (store.Patch, error) {
	return store.Patch{}, errInside
}
